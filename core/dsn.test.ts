import fc from 'fast-check';
import { findInPgpass, parseDsn, type Dsn } from './dsn';
import { GamedayError } from './errors';

const EMPTY: Dsn = { hosts: [], user: null, password: null, database: null, sslMode: null, connectTimeoutMs: null, passfile: null };
const failure = (text: string): GamedayError => {
  try {
    parseDsn(text);
  } catch (error) {
    if (error instanceof GamedayError) return error;
    throw error;
  }
  throw new Error(`${text} was taken`);
};

test.each<[string, Partial<Dsn>]>([
  ['postgresql://', {}],
  ['postgres://db.example', { hosts: [{ host: 'db.example', port: null }] }],
  [
    'postgresql://probe@a:5433,b/gameday',
    {
      user: 'probe',
      database: 'gameday',
      hosts: [
        { host: 'a', port: 5433 },
        { host: 'b', port: null },
      ],
    },
  ],
  ['postgresql://u@[::1]:6000/x', { user: 'u', database: 'x', hosts: [{ host: '::1', port: 6000 }] }],
  ['postgresql://u@%2Fvar%2Frun%2Fpg/x', { user: 'u', database: 'x', hosts: [{ host: '/var/run/pg', port: null }] }],
  ['postgresql:///x?host=/tmp&port=5999', { database: 'x', hosts: [{ host: '/tmp', port: 5999 }] }],
  [
    'postgresql://u:p%40ss%3Aw@h/d?sslmode=require&connect_timeout=3&application_name=me&target_session_attrs=read-write',
    {
      user: 'u',
      password: { kind: 'literal', value: 'p@ss:w' },
      hosts: [{ host: 'h', port: null }],
      database: 'd',
      sslMode: 'require',
      connectTimeoutMs: 3_000,
    },
  ],
  [
    'postgresql://u:env:DB_PASSWORD@h',
    { user: 'u', password: { kind: 'named', name: 'env:DB_PASSWORD' }, hosts: [{ host: 'h', port: null }] },
  ],
  [
    'postgresql://u:file:%2Frun%2Fsecret@h',
    { user: 'u', password: { kind: 'named', name: 'file:/run/secret' }, hosts: [{ host: 'h', port: null }] },
  ],
  [
    "host=a,b,c port=5432 user = probe password='it\\'s \\\\ here' dbname=gameday",
    {
      hosts: [
        { host: 'a', port: 5432 },
        { host: 'b', port: 5432 },
        { host: 'c', port: 5432 },
      ],
      user: 'probe',
      password: { kind: 'literal', value: "it's \\ here" },
      database: 'gameday',
    },
  ],
  [
    "host=a,b port=1,2 passfile='/x y/pgpass'",
    {
      hosts: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
      passfile: '/x y/pgpass',
    },
  ],
  ["user=''", {}],
])('%s', (text, expected) => {
  expect(parseDsn(text)).toEqual({ ...EMPTY, ...expected });
});

test.each([
  ['', 'it is empty'],
  ['just words', 'after "just"'],
  ['host', 'after "host"'],
  ["user='open", 'after "user"'],
  ['host=a,b,c port=1,2', '3 hosts and 2 ports'],
  ['host=a port=70000', 'a port is no number from 1 to 65535'],
  ['port=5432', 'a port and no host'],
  ['host=a,,b', 'a host is empty'],
  ['host=a sslmode=maybe', 'sslmode "maybe"'],
  ['host=a sslrootcert=/x', 'sslrootcert is not supported'],
  ['host=a options=-csearch_path=x', 'parameter "options" is not supported'],
  ['host=a target_session_attrs=standby', 'target_session_attrs=standby'],
  ['host=a connect_timeout=0', 'connect_timeout "0"'],
  ['postgresql://h?sslmode', 'has no value'],
  ['postgresql://u:100%@h', 'password holds a %'],
  ['postgresql://a:b:c/x', 'a host and port cannot be read'],
])('%s is refused: %s', (text, words) => {
  const error = failure(text);
  expect([error.code, error.exit]).toEqual(['setting_invalid', 2]);
  expect(error.message).toContain(words);
});

test('whatever goes wrong, the password stands in no message', () => {
  const secret = 'S3cr3tS3cr3t';
  for (const text of [
    `postgresql://u:${secret}@h:port/x`,
    `postgresql://u:${secret}@h/x?nonsense=1`,
    `postgresql://u:${secret}%@h`,
    `postgresql://u:${secret}/more@h/x`,
    `postgresql://u:${secret}:x,b`,
    `host=a password=${secret} sslmode=no`,
    `host=a password='${secret}`,
  ])
    expect(() => {
      const error = failure(text);
      if (`${error.message} ${error.hint}`.includes(secret)) throw new Error('leaked');
    }).not.toThrow();
});

test('what is written in either form is read back, whatever characters it holds', () => {
  const word = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => !/^(env:|file:)/.test(text));
  fc.assert(
    fc.property(word, word, word, (user, password, database) => {
      const uri = `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@h:1/${encodeURIComponent(database)}`;
      const quote = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;
      const keywords = `host=h port=1 user=${quote(user)} password=${quote(password)} dbname=${quote(database)}`;
      const expected = { ...EMPTY, hosts: [{ host: 'h', port: 1 }], user, password: { kind: 'literal', value: password }, database };
      expect(parseDsn(uri)).toEqual(expected);
      expect(parseDsn(keywords)).toEqual(expected);
    }),
  );
});

test('the first matching line of a password file counts', () => {
  const file = '# mine\nother:5432:*:probe:no\nh:5432:gameday:probe:one\\:two\\\\\n*:*:*:*:last\nlocalhost:1:*:u:socket\n';
  const wanted = { host: 'h', port: 5432, database: 'gameday', user: 'probe' };
  expect(findInPgpass(file, wanted)).toBe('one:two\\');
  expect(findInPgpass(file, { ...wanted, user: 'x' })).toBe('last');
  expect(findInPgpass('localhost:1:*:u:socket', { host: '/tmp', port: 1, database: 'd', user: 'u' })).toBe('socket');
  expect(findInPgpass('h:5432:gameday:probe', wanted)).toBeNull();
});
