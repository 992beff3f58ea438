import { GamedayError } from '../core/errors';
import { observeRequest, type ObserveOptions, type ObserveRequest, type Surroundings } from './observe-request';

const OPTIONS: ObserveOptions = {
  dsn: ['postgresql://probe@db'],
  for: '10m',
  node: [],
  window: '10s',
  connections: '10',
  maxSize: '256MB',
  kind: 'production',
};
const AROUND: Surroundings = { env: {}, login: 'me', passfile: () => null };
const ask = (options: Partial<ObserveOptions> = {}, around: Partial<Surroundings> = {}): ObserveRequest =>
  observeRequest({ ...OPTIONS, ...options }, { ...AROUND, ...around });
const refusal = (options: Partial<ObserveOptions>, around: Partial<Surroundings> = {}): GamedayError => {
  try {
    ask(options, around);
  } catch (error) {
    if (error instanceof GamedayError) return error;
    throw error;
  }
  throw new Error('it was taken');
};

describe('safe by default', () => {
  test('20 writes a second, ten connections, in database gameday', () => {
    const { settings, paths, nodes, connections, secrets, roles } = ask();
    expect(1_000 / settings.periodMs).toBe(20);
    expect([settings.writeStreams, settings.readStreams, settings.maxConnections, connections]).toEqual([1, 1, 10, 10]);
    expect(paths).toEqual([{ name: 'entry', hosts: [{ host: 'db', port: 5432 }], database: 'gameday' }]);
    expect([nodes, secrets, roles.probe]).toEqual([[], {}, { user: 'probe', password: null }]);
  });

  test('over several ways in the writes stay 20 a second', () => {
    for (const ways of [2, 3]) {
      const { settings } = ask({ dsn: Array.from({ length: ways }, (_, n) => `postgresql://probe@h${n}`), connections: '40' });
      expect(1_000 / settings.periodMs + ((ways - 1) * 1_000) / settings.otherPeriodMs).toBeCloseTo(20);
    }
  });

  test('the nodes’ connections come out of the ten, and more ways than they can serve are refused', () => {
    expect(ask({ node: ['n1=host=a', 'n2=host=b'] }).settings.maxConnections).toBe(8);
    expect(ask({ dsn: ['postgresql://a', 'postgresql://b'] }).settings.maxConnections).toBe(10);
    expect(refusal({ dsn: ['postgresql://a', 'postgresql://b'], node: ['n1=host=a'] }).hint).toContain('--connections 11');
  });

  test('what would grow beyond 256 MB is refused before anything is touched', () => {
    expect(refusal({ for: '20h', period: '5ms' })).toMatchObject({ code: 'setting_invalid', exit: 2 });
    expect(ask({ for: '20h', period: '5ms', maxSize: '2GB' }).expectedBytes).toBeGreaterThan(1.8e9);
    expect(ask({ for: '20h', period: '5ms', readOnly: true })).toMatchObject({ expectedBytes: 0, settings: { writeStreams: 0 } });
  });
});

describe('passwords', () => {
  const said = (request: ObserveRequest): string => JSON.stringify({ ...request, secrets: null });

  test('written in the DSN they go to the environment only, with a word about `ps`', () => {
    const request = ask({ dsn: ['postgresql://probe:hunter2@db'] });
    expect(request.secrets).toEqual({ GAMEDAY_OBSERVE_PASSWORD: 'hunter2' });
    expect(request.roles.probe.password).toBe('env:GAMEDAY_OBSERVE_PASSWORD');
    expect(request.notes[0]).toContain('`ps`');
    expect(said(request)).not.toContain('hunter2');
  });

  test('named ones stay names', () => {
    expect(ask({ dsn: ['postgresql://probe:env:DB_PW@db'] })).toMatchObject({
      secrets: {},
      notes: [],
      roles: { probe: { password: 'env:DB_PW' } },
    });
    expect(ask({}, { env: { PGPASSWORD: 'x' } }).roles.probe.password).toBe('env:PGPASSWORD');
  });

  test('from a password file they are handed over like written ones', () => {
    const request = ask({ dsn: ['postgresql://probe@a,b/gameday'] }, { passfile: () => 'b:5432:gameday:probe:from-file\n' });
    expect(request).toMatchObject({
      secrets: { GAMEDAY_OBSERVE_PASSWORD: 'from-file' },
      roles: { probe: { password: 'env:GAMEDAY_OBSERVE_PASSWORD' } },
      notes: [],
    });
    expect(said(request)).not.toContain('from-file');
  });

  test('nodes take the role and password of the first DSN unless they name their own', () => {
    const node = ['n1=postgresql://10.0.0.1', 'n2=host=10.0.0.2 port=6000'];
    const request = ask({ dsn: ['postgresql://probe:pw@db'], node });
    expect(request.roles.observe).toEqual(request.roles.probe);
    expect(request.nodes).toEqual([
      { name: 'n1', host: '10.0.0.1', port: 5432 },
      { name: 'n2', host: '10.0.0.2', port: 6000 },
    ]);
    const own = ask({ dsn: ['postgresql://probe:pw@db'], node: ['n1=postgresql://watch:other@10.0.0.1'] });
    expect(own.roles.observe).toEqual({ user: 'watch', password: 'env:GAMEDAY_OBSERVE_NODE_PASSWORD' });
    expect(own.secrets).toEqual({ GAMEDAY_OBSERVE_PASSWORD: 'pw', GAMEDAY_OBSERVE_NODE_PASSWORD: 'other' });
  });
});

test('the hosts of a multi-host DSN are its nodes', () => {
  expect(ask({ dsn: ['postgresql://a,b:5433/gameday'] }).nodes).toEqual([
    { name: 'a', host: 'a', port: 5432 },
    { name: 'b', host: 'b', port: 5433 },
  ]);
  expect(ask({ dsn: ['postgresql://a:1,a:2/gameday'] }).nodes.map(({ name }) => name)).toEqual(['a:1', 'a:2']);
});

test.each([
  ['require', 'no-verify'],
  ['verify-ca', 'verify-full'],
  ['verify-full', 'verify-full'],
  ['disable', 'disable'],
])('sslmode %s becomes what pg understands', (mode, expected) => {
  expect(ask({ dsn: [`postgresql://db?sslmode=${mode}`] }).secrets).toEqual({ PGSSLMODE: expected });
  expect(ask({}, { env: { PGSSLMODE: mode } }).secrets).toEqual({ PGSSLMODE: expected });
});

test('objectives are what was asked for, or none', () => {
  expect(ask().objectives).toEqual([]);
  expect(ask({ rto: '30s', rpo: '0' }).objectives.map(({ name, target, unit }) => [name, target, unit])).toEqual([
    ['rto', 30_000, 'ms'],
    ['rpo_transactions', 0, 'tx'],
  ]);
});

test.each<[Partial<ObserveOptions>, string]>([
  [{ dsn: [] }, 'name the database'],
  [{ dsn: ['postgresql://u@a', 'postgresql://v@b'] }, 'the same role and password'],
  [{ dsn: ['postgresql:///gameday'] }, 'names no host'],
  [{ dsn: ['postgresql://a?sslmode=prefer'] }, 'plain text'],
  [{ dsn: ['postgresql://a?sslmode=disable', 'postgresql://b?sslmode=require'], connections: '40' }, 'the same sslmode'],
  [{ for: 'ever' }, '--for "ever" cannot be read'],
  [{ for: '25h' }, '--for 25h is not between'],
  [{ node: ['postgresql://a'] }, 'written name=DSN'],
  [{ node: ['n1=host=a', 'n1=host=b'] }, 'given twice'],
  [{ node: ['n1=host=a,b'] }, 'exactly one host'],
  [{ node: ['n1=postgresql://a/other'] }, 'names database other'],
  [{ rpo: '0', readOnly: true }, 'needs writes'],
  [{ rpo: '5s' }, '--rpo "5s" cannot be read'],
  [{ name: 'Prod DB' }, '--name "Prod DB"'],
  [{ connections: 'many' }, '--connections "many"'],
])('%j is refused: %s', (options, words) => {
  const error = refusal(options);
  expect(error.exit).toBe(2);
  expect(error.message).toContain(words);
});
