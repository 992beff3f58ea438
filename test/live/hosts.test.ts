/**
 * One table of behaviours over every kind of host, against a real PostgreSQL: whatever a fault asks of a node's machine comes out the same, here and over
 * ssh. The sshd is the test's own, with keys of its own, on an address of its own.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { descendants, identify, isAlive, lookUpUser, signal as signalProcess } from '../../core/process';
import { serverUser } from '../../infra/lab/places';
import { locateTools } from '../../infra/tools';
import type { TargetHost, TargetNode } from '../../model/target';
import { openLocalHost } from '../../targets/hosts/local';
import { openSshHost } from '../../targets/hosts/ssh';
import type { Host } from '../../targets/ports';

const [ADDRESS, PORT] = ['127.0.59.5', 2222];
const SSHD = '/usr/sbin/sshd';
// Over ssh each call takes tens of milliseconds, and several times that on a busy machine.
jest.setTimeout(60_000);
let dir: string;
let sshd: ChildProcess;
const osUser = serverUser();
const login = userInfo().username;

const keygen = (path: string): void => void execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);

function own(path: string): void {
  if (osUser === null) return;
  const { uid, gid } = lookUpUser(osUser);
  chownSync(path, uid, gid);
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gameday-hosts-'));
  chmodSync(dir, 0o755);
  for (const name of ['host', 'client', 'stranger']) keygen(join(dir, name));
  writeFileSync(join(dir, 'authorized'), readFileSync(join(dir, 'client.pub'), 'utf8'));
  const hostKey = readFileSync(join(dir, 'host.pub'), 'utf8').split(' ').slice(0, 2).join(' ');
  writeFileSync(join(dir, 'known'), `[${ADDRESS}]:${PORT} ${hostKey}\n`);
  writeFileSync(
    join(dir, 'known-otherwise'),
    `[${ADDRESS}]:${PORT} ${readFileSync(join(dir, 'stranger.pub'), 'utf8').split(' ').slice(0, 2).join(' ')}\n`,
  );
  // Where it runs as root it insists on this directory, which its own unit would make.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const settings = {
    ListenAddress: `${ADDRESS}:${PORT}`,
    HostKey: join(dir, 'host'),
    AuthorizedKeysFile: join(dir, 'authorized'),
    PidFile: 'none',
    UsePAM: 'no',
    StrictModes: 'no',
    PermitRootLogin: 'prohibit-password',
    PasswordAuthentication: 'no',
  };
  writeFileSync(
    join(dir, 'sshd_config'),
    Object.entries(settings)
      .map(([key, value]) => `${key} ${value}\n`)
      .join(''),
  );
  sshd = spawn(SSHD, ['-D', '-e', '-f', join(dir, 'sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  sshd.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  await until(async () => (said.includes('Server listening') ? true : null), {
    timeoutMs: 10_000,
    onTimeout: () => new Error(`sshd did not start: ${said}`),
  });
}, 60_000);

afterAll(() => {
  // With its sessions: a shared connection would keep one for a minute.
  const listener = sshd.pid === undefined ? null : identify(sshd.pid);
  if (listener !== null) for (const id of [listener, ...descendants(listener.pid)]) signalProcess(id, 'SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

const ssh = (change: Partial<Extract<TargetHost, { kind: 'ssh' }>> = {}): Extract<TargetHost, { kind: 'ssh' }> => ({
  kind: 'ssh',
  address: ADDRESS,
  port: PORT,
  user: login,
  identityFile: join(dir, 'client'),
  knownHosts: join(dir, 'known'),
  ...change,
});

const KINDS = ['local', 'ssh'] as const;
type Kind = (typeof KINDS)[number];

function nodeOf(kind: Kind, more: Partial<TargetNode> = {}): TargetNode {
  const base = join(dir, kind);
  if (!existsSync(base)) {
    mkdirSync(base, { mode: 0o755 });
    own(base);
  }
  return {
    name: kind,
    host: '127.0.59.11',
    port: 5432,
    dataDir: join(base, 'data'),
    binDir: locateTools().postgresBin,
    osUser,
    runsOn: kind === 'local' ? { kind } : ssh(),
    agent: null,
    logFile: join(base, 'log'),
    ...more,
  };
}
const open = (kind: Kind, node = nodeOf(kind)): Host => (kind === 'local' ? openLocalHost(node) : openSshHost(node, ssh()));

describe.each(KINDS)('a host of kind %s', (kind) => {
  test('runs a command as the node’s user or as root, and tells exit code, output and input apart', async () => {
    const host = open(kind);
    const argv = ['sh', '-c', 'cat; echo "$1" >&2; exit 3', 'sh', `it's "quoted" $HOME`];
    expect(await host.exec(argv, { asNode: true, timeoutMs: 10_000, input: 'handed in' })).toEqual({
      code: 3,
      stdout: 'handed in',
      stderr: `it's "quoted" $HOME\n`,
    });
    const whoami = async (asNode: boolean): Promise<string> =>
      (await host.exec(['id', '-un'], { asNode, timeoutMs: 10_000 })).stdout.trim();
    expect([await whoami(true), await whoami(false)]).toEqual([osUser ?? login, login]);
  });

  test('ends what takes too long, what is called off, and says what is not there', async () => {
    const host = open(kind);
    await expect(host.exec(['sleep', '60'], { asNode: true, timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'step_failed' });
    const signal = AbortSignal.timeout(300);
    await expect(host.exec(['sleep', '60'], { asNode: true, timeoutMs: 30_000, signal })).rejects.toThrow();
    await expect(host.exec(['/nowhere/program'], { asNode: true, timeoutMs: 10_000 })).rejects.toMatchObject({ code: 'tool_missing' });
  }, 30_000);

  test('keeps files: written whole and owned by the node’s user, renamed, removed; a missing one is null', async () => {
    const host = open(kind);
    const [one, two] = [join(dir, kind, 'made', 'one'), join(dir, kind, 'made', 'two')];
    await host.writeFile(one, 'line\n');
    expect([await host.readFile(one), await host.exists(one)]).toEqual(['line\n', true]);
    const { uid, mode } = statSync(one);
    expect([uid, mode & 0o777]).toEqual([osUser === null ? process.getuid?.() : lookUpUser(osUser).uid, 0o600]);
    await host.rename(one, two);
    expect([await host.readFile(one), await host.readFile(two)]).toEqual([null, 'line\n']);
    await host.remove(join(dir, kind, 'made'));
    expect(await host.exists(two)).toBe(false);
    expect(await host.freeBytes(dir)).toBeGreaterThan(1_000_000);
  });

  test('sees a server’s processes, stops and continues them, and kills the whole tree at once', async () => {
    const node = nodeOf(kind);
    const host = open(kind, node);
    const pg = async (...argv: readonly string[]): Promise<void> => {
      const [program = '', ...args] = argv;
      const { code, stderr } = await host.exec([join(node.binDir, program), ...args], { asNode: true, timeoutMs: 60_000 });
      if (code !== 0) throw new Error(`${program}: ${stderr}`);
    };
    expect(await host.postmaster()).toBeNull();
    await pg('initdb', '-D', node.dataDir, '--no-sync', '-A', 'trust');
    await pg(
      'pg_ctl',
      'start',
      '-w',
      '-D',
      node.dataDir,
      '-l',
      node.logFile,
      '-o',
      `-c listen_addresses= -c unix_socket_directories=${join(dir, kind)}`,
    );
    const postmaster = await host.postmaster();
    if (postmaster === null) throw new Error('no postmaster was found');
    expect(identify(postmaster.pid)).toEqual(postmaster);
    const before = await host.serverProcesses();
    expect(before.length).toBeGreaterThanOrEqual(5);
    expect(before.filter(({ stopped }) => stopped)).toEqual([]);

    expect(await host.signal(postmaster, 'SIGSTOP')).toBe(true);
    await until(async () => ((await host.processState(postmaster)) === 'T' ? true : null), {
      timeoutMs: 5_000,
      onTimeout: () => new Error('never stopped'),
    });
    expect((await host.serverProcesses()).filter(({ stopped }) => stopped).map(({ pid }) => pid)).toEqual([postmaster.pid]);
    expect(await host.signal(postmaster, 'SIGCONT')).toBe(true);
    // A process that got its number since is another one.
    expect(await host.signal({ ...postmaster, startTicks: '1' }, 'SIGKILL')).toBe(false);
    expect(await host.killTree({ ...postmaster, startTicks: '1' })).toEqual([]);

    const killed = await host.killTree(postmaster);
    expect(killed.map(({ pid }) => pid).sort()).toEqual(before.map(({ pid }) => pid).sort());
    expect(before.filter(isAlive)).toEqual([]);
    expect([await host.postmaster(), await host.serverProcesses()]).toEqual([null, []]);
    // Whoever inherited it may not have asked for its end yet.
    expect([null, 'Z']).toContain(await host.processState(postmaster));
  }, 90_000);

  test('finds the controller’s agent as the target says, or that none runs', async () => {
    const sleeper = spawn('sleep', ['300'], { stdio: 'ignore' });
    try {
      const find = ['sh', '-c', `echo ${sleeper.pid ?? 0}`];
      const agent = await open(kind, nodeOf(kind, { agent: { find, start: ['true'] } })).agent();
      expect(agent).toEqual(identify(sleeper.pid ?? 0));
    } finally {
      sleeper.kill('SIGKILL');
    }
    expect(await open(kind, nodeOf(kind, { agent: { find: ['echo', '0'], start: ['true'] } })).agent()).toBeNull();
    expect(await open(kind).agent()).toBeNull();
  });
});

describe('ssh', () => {
  const ask = (host: Host): Promise<unknown> => host.exec(['true'], { asNode: false, timeoutMs: 10_000 });

  test('a host whose key is another than the known one is not spoken to', async () => {
    const host = openSshHost(nodeOf('ssh'), ssh({ knownHosts: join(dir, 'known-otherwise'), address: 'localhost' }));
    await expect(ask(host)).rejects.toMatchObject({ code: 'host_unreachable' });
  });

  test('a key that the host does not take is refused, without a question to anybody', async () => {
    const host = openSshHost(nodeOf('ssh'), ssh({ identityFile: join(dir, 'stranger'), user: `${login}x` }));
    await expect(ask(host)).rejects.toMatchObject({ code: 'host_unreachable', message: expect.stringMatching(/Permission denied/) });
  });

  test('a command whose connection breaks is known to have ended in no known way', async () => {
    const host = open('ssh');
    const asked = host.exec(['sh', '-c', 'kill -KILL $(ps -o ppid= -p $PPID); sleep 5'], { asNode: false, timeoutMs: 20_000 });
    await expect(asked).rejects.toMatchObject({ code: 'host_unreachable', retryable: true });
  }, 40_000);
});
