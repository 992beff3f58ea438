import { chmodSync, mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { becoming, controlPath, explainSsh, sshArgv, type SshHost } from './ssh';

const host: SshHost = { kind: 'ssh', address: 'db1.example.com', port: 2222, user: 'gameday', identityFile: null, knownHosts: null };

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-ssh-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('nothing is typed, known hosts are checked, and an address is never taken for an option', () => {
  const argv = sshArgv({ ...host, address: '-oProxyCommand=true' }, '/run/x', false);
  expect(argv).toEqual(
    expect.arrayContaining(['BatchMode=yes', 'StrictHostKeyChecking=yes', 'PasswordAuthentication=no', 'ForwardAgent=no']),
  );
  expect(argv.slice(-6)).toEqual(['-p', '2222', '-l', 'gameday', '--', '-oProxyCommand=true']);
  expect(argv.filter((word) => /^(IdentityFile|IdentitiesOnly|UserKnownHostsFile)=/.test(word))).toEqual([]);
});

test('a key and a file of known hosts that the target names are the only ones that count', () => {
  const argv = sshArgv({ ...host, identityFile: '/keys/50%/a b', knownHosts: '/keys/known' }, null, false);
  const expected = [
    'IdentityFile="/keys/50%%/a b"',
    'IdentitiesOnly=yes',
    'UserKnownHostsFile="/keys/known"',
    'GlobalKnownHostsFile=/dev/null',
  ];
  expect(argv).toEqual(expect.arrayContaining(expected));
  expect(() => sshArgv({ ...host, identityFile: '/keys/${HOME}' }, null, false)).toThrow('cannot be told');
});

test('one connection is opened on purpose and shared by the commands; one of its own has no socket', () => {
  expect(sshArgv(host, '/run/x', true)).toEqual(expect.arrayContaining(['ControlMaster=auto', 'ControlPath="/run/x"']));
  expect(sshArgv(host, '/run/x', false)).toEqual(expect.arrayContaining(['ControlMaster=no', 'ControlPath="/run/x"']));
  expect(sshArgv(host, null, false)).toEqual(expect.arrayContaining(['ControlPath=none']));
});

test('the socket lies in the run directory, unless others may write there or its name would be too long', () => {
  expect(dirname(controlPath(host, dir))).toBe(dir);
  const long = join(dir, 'x'.repeat(80));
  mkdirSync(long);
  expect(dirname(controlPath(host, long))).not.toBe(long);
  chmodSync(dir, 0o777);
  expect(dirname(controlPath(host, dir))).not.toBe(dir);
  expect(dirname(controlPath(host, join(dir, 'missing')))).toMatch(/gameday-ssh-/);
});

test('ways with other keys or other known hosts never share a connection', () => {
  const ways = [host, { ...host, port: 22 }, { ...host, user: 'ann' }, { ...host, identityFile: '/k' }, { ...host, knownHosts: '/k' }];
  expect(new Set(ways.map((way) => basename(controlPath(way, dir)))).size).toBe(ways.length);
});

test.each([
  ['gameday', 'postgres', 'node', ['sudo', '-n', '-u', 'postgres', '--']],
  ['gameday', 'postgres', 'root', ['sudo', '-n', '-u', 'root', '--']],
  ['gameday', 'postgres', 'own', ['sudo', '-n', '-u', 'postgres', '--']],
  ['gameday', null, 'node', []],
  ['postgres', 'postgres', 'node', []],
  ['postgres', 'postgres', 'own', []],
  ['root', 'postgres', 'node', ['runuser', '-u', 'postgres', '--']],
  ['root', 'postgres', 'root', []],
  ['root', 'postgres', 'own', []],
] as const)('%s on a node of %s becomes %s by %j', (login, osUser, as, words) => {
  expect(becoming(login, osUser, as)).toEqual(words);
});

test.each([
  ['@@@@@\nHost key verification failed.\n', 'host_refused', 'Host key verification failed.'],
  ['gameday@db1: Permission denied (publickey).\n', 'host_refused', 'publickey'],
  ['sudo: a password is required\n', 'host_refused', 'sudo: a password'],
  ['ssh: connect to host db1 port 22: Connection refused\n', 'host_unreachable', 'Connection refused'],
  ['', 'host_unreachable', 'the connection was lost'],
])('%j is %s', (stderr, code, words) => {
  const error = explainSsh('n1 (ssh …)', stderr);
  expect({ code: error.code, retryable: error.retryable }).toEqual({ code, retryable: code === 'host_unreachable' });
  expect(error.message).toContain(words);
});
