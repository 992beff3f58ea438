/**
 * One table of behaviours over every kind of host, against a real PostgreSQL: whatever a fault asks of a node's machine comes out the same, here, over ssh,
 * over ssh as somebody who needs sudo, and in a container. What only a connection or an engine can do wrong is tried below.
 */
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { descendants, identify, isAlive, lookUpUser, processState, run, type ProcessId } from '../../core/process';
import { serverUser } from '../../infra/lab/places';
import { locateTools } from '../../infra/tools';
import type { TargetNode } from '../../model/target';
import { openDockerHost, type DockerHost } from '../../targets/hosts/docker';
import { openLocalHost } from '../../targets/hosts/local';
import { openSshHost } from '../../targets/hosts/ssh';
import type { ContainerPower, Host } from '../../targets/ports';
import { startDocker, type DockerGround } from './docker-ground';
import { startSshd, type SshdGround, type SshWay } from './sshd-ground';

const ADDRESS = '127.0.59.5';
// Over ssh each call takes tens of milliseconds, and several times that on a busy machine.
jest.setTimeout(60_000);
let dir: string;
let sshd: SshdGround;
/** Null where the test does not run as root. */
let docker: DockerGround | null = null;
let container: DockerHost = { kind: 'docker', socket: '/nowhere', container: 'none' };
const osUser = serverUser();
const login = userInfo().username;

beforeAll(async () => {
  dir = mkdtempSync('/tmp/gd-hosts-');
  chmodSync(dir, 0o755);
  mkdirSync(join(dir, 'run'), { mode: 0o755 });
  sshd = await startSshd(dir, ADDRESS, osUser);
  if (osUser === null) return;
  docker = await startDocker(join(dir, 'engine'), `172.31.${process.pid % 256}`);
  container = docker.start('idle', 'root', baseOf('docker'), ['sleep', 'infinity']);
}, 120_000);

afterAll(async () => {
  for (const host of opened) {
    const postmaster = await host.postmaster();
    if (postmaster !== null) await host.killTree(postmaster);
  }
  sshd.close();
  await docker?.close();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

const KINDS = ['local', 'ssh', ...(osUser === null ? [] : (['sudo', 'docker'] as const))] as const;
type Kind = 'local' | 'ssh' | 'sudo' | 'docker';

/** Every node has a directory of its user's own. */
function baseOf(kind: Kind): string {
  const base = join(dir, kind);
  mkdirSync(base, { recursive: true, mode: 0o755 });
  if (osUser !== null) chownSync(base, lookUpUser(osUser).uid, lookUpUser(osUser).gid);
  return base;
}

const wayOf = (kind: 'ssh' | 'sudo'): SshWay => sshd.way(kind === 'sudo' ? { user: sshd.sudoer ?? login } : {});

function nodeOf(kind: Kind, more: Partial<TargetNode> = {}): TargetNode {
  const base = baseOf(kind);
  return {
    name: kind,
    host: '127.0.59.11',
    port: 5432,
    dataDir: join(base, 'data'),
    binDir: locateTools().postgresBin,
    osUser,
    runsOn: kind === 'local' ? { kind } : kind === 'docker' ? container : wayOf(kind),
    agent: null,
    logFile: join(base, 'log'),
    ...more,
  };
}

const opened: Host[] = [];
function make(kind: Kind, node: TargetNode): Host {
  switch (kind) {
    case 'local':
      return openLocalHost(node);
    case 'docker':
      return openDockerHost(node, container);
    default:
      return openSshHost(node, wayOf(kind), join(dir, 'run'));
  }
}
function open(kind: Kind, node = nodeOf(kind)): Host {
  const host = make(kind, node);
  opened.push(host);
  return host;
}

const pidsOf = (processes: readonly ProcessId[]): readonly number[] => processes.map(({ pid }) => pid).sort((a, b) => a - b);
/** Everything here runs on this machine, so that what is left of a command can be looked for. The bracket keeps the search from finding itself. */
const runs = async (words: string): Promise<boolean> =>
  (await run(['pgrep', '-f', `[${words[0] ?? ''}]${words.slice(1).replaceAll('.', '[.]')}$`], { timeoutMs: 5_000 })).code === 0;
const goneWithin = (words: string, timeoutMs: number): Promise<true> =>
  until(async () => ((await runs(words)) ? null : true), { timeoutMs, onTimeout: () => new Error(`${words} still runs`) });

const initdb = async (host: Host, node: TargetNode): Promise<void> => {
  const argv = [join(node.binDir, 'initdb'), '-D', node.dataDir, '--no-sync', '-A', 'trust'];
  const { code, stderr } = await host.exec(argv, { asNode: true, timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`initdb: ${stderr}`);
};
const settingsOf = (node: TargetNode): readonly string[] => [
  '-c',
  'listen_addresses=',
  '-c',
  `unix_socket_directories=${join(node.dataDir, '..')}`,
];

/** A real server, started through the host; its postmaster. */
async function startServer(host: Host, node: TargetNode): Promise<ProcessId> {
  await initdb(host, node);
  const argv = [join(node.binDir, 'pg_ctl'), 'start', '-w', '-D', node.dataDir, '-l', node.logFile, '-o', settingsOf(node).join(' ')];
  const { code, stderr } = await host.exec(argv, { asNode: true, timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`pg_ctl: ${stderr}`);
  const postmaster = await host.postmaster();
  if (postmaster === null) throw new Error('no postmaster was found');
  return postmaster;
}

describe.each(KINDS)('a host of kind %s', (kind) => {
  const COMMAND = { asNode: true, timeoutMs: 20_000 };

  test('runs a command as the node’s user or as root, and tells exit code, output and input apart', async () => {
    const host = open(kind);
    const argv = ['sh', '-c', 'cat; echo "$1" >&2; exit 3', 'sh', `it's "quoted" $HOME`];
    expect(await host.exec(argv, { ...COMMAND, input: 'handed in' })).toEqual({
      code: 3,
      stdout: 'handed in',
      stderr: `it's "quoted" $HOME\n`,
    });
    const say = async (word: string, asNode: boolean): Promise<string> =>
      (await host.exec(['sh', '-c', word], { ...COMMAND, asNode })).stdout.trim();
    expect([await say('id -un', true), await say('id -un', false)]).toEqual([osUser ?? login, osUser === null ? login : 'root']);
    expect(await say('pwd; echo "$LC_ALL"; env | grep ^PG', true)).toBe('/\nC.UTF-8');
    if (osUser !== null) expect(await say('echo "$HOME"', true)).toBe(lookUpUser(osUser).home);
  });

  test.each([0, 1, 124, 127, 255])('exit code %i is the command’s own', async (code) => {
    expect(await open(kind).exec(['sh', '-c', `exit ${code}`], COMMAND)).toEqual({ code, stdout: '', stderr: '' });
  });

  test('ends what takes too long and what is called off, and says what is not there', async () => {
    const host = open(kind);
    const late = `sleep 7001.${kind.length}`;
    await expect(host.exec(['sh', '-c', `exec ${late}`], { asNode: true, timeoutMs: 1_500 })).rejects.toMatchObject({
      code: 'step_failed',
    });
    await goneWithin(late, 3_000);
    const called = `sleep 7002.${kind.length}`;
    const cancel = new AbortController();
    const asked = host.exec(['sh', '-c', `exec ${called}`], { asNode: true, timeoutMs: 30_000, signal: cancel.signal });
    const rejected = expect(asked).rejects.toThrow('called off');
    await until(async () => ((await runs(called)) ? true : null), { timeoutMs: 10_000, onTimeout: () => new Error('it never started') });
    cancel.abort(new Error('called off'));
    await rejected;
    await goneWithin(called, 3_000);
    await expect(host.exec(['/nowhere/program'], COMMAND)).rejects.toMatchObject({ code: 'tool_missing' });
  }, 60_000);

  test('keeps files: written whole and owned by the node’s user, renamed, removed; a missing one is null', async () => {
    const host = open(kind);
    const made = join(baseOf(kind), 'made');
    const [one, two] = [join(made, 'deep', 'one'), join(made, 'deep', `it's two`)];
    const long = 'é line\n'.repeat(50_000);
    for (const text of ['', 'line\n', long]) {
      await host.writeFile(one, text);
      expect(await host.readFile(one)).toBe(text);
    }
    const uid = osUser === null ? process.getuid?.() : lookUpUser(osUser).uid;
    expect([statSync(one).uid, statSync(one).mode & 0o777]).toEqual([uid, 0o600]);
    expect([statSync(made).uid, statSync(made).mode & 0o777]).toEqual([uid, 0o755]);
    await host.rename(one, two);
    expect([await host.readFile(one), await host.readFile(two), await host.exists(two)]).toEqual([null, long, true]);
    await host.rename(join(made, 'deep'), join(made, 'aside'));
    await expect(host.rename(join(made, 'missing'), two)).rejects.toThrow();
    await host.remove(made);
    await host.remove(made);
    expect([await host.exists(made), await host.readFile(two)]).toEqual([false, null]);
    await expect(host.readFile(baseOf(kind))).rejects.toThrow();
    expect(await host.freeBytes(baseOf(kind))).toBeGreaterThan(1_000_000);
  });

  test('sees a server’s processes, stops and continues them, and kills the whole tree at once', async () => {
    const node = nodeOf(kind);
    const host = open(kind, node);
    expect(await host.postmaster()).toBeNull();
    const postmaster = await startServer(host, node);
    // A container numbers its processes by itself.
    if (kind !== 'docker') expect(identify(postmaster.pid)).toEqual(postmaster);
    const before = await host.serverProcesses();
    expect(before.length).toBeGreaterThanOrEqual(5);
    expect(before.filter(({ stopped }) => stopped)).toEqual([]);

    expect(await host.signal(postmaster, 'SIGSTOP')).toBe(true);
    await until(async () => ((await host.processState(postmaster)) === 'T' ? true : null), {
      timeoutMs: 5_000,
      onTimeout: () => new Error('never stopped'),
    });
    expect(pidsOf((await host.serverProcesses()).filter(({ stopped }) => stopped))).toEqual([postmaster.pid]);
    expect(await host.signal(postmaster, 'SIGCONT')).toBe(true);
    // A process that got its number since is another one.
    const other = { ...postmaster, startTicks: '1' };
    expect([await host.signal(other, 'SIGKILL'), await host.processState(other), await host.killTree(other)]).toEqual([false, null, []]);
    expect(await host.signal({ ...postmaster, bootId: 'another' }, 'SIGKILL')).toBe(false);

    const killed = await host.killTree(postmaster);
    expect(pidsOf(killed)).toEqual(pidsOf(before));
    // Whoever inherited them may not have asked for their end yet.
    for (const each of before) expect([null, 'Z']).toContain(await host.processState(each));
    expect([await host.postmaster(), await host.serverProcesses(), await host.killTree(postmaster)]).toEqual([null, [], []]);
  }, 90_000);

  test('finds the controller’s agent as the target says, or that none runs', async () => {
    const finding = (...find: string[]): Host => open(kind, nodeOf(kind, { agent: { find, start: ['true'] } }));
    const started = await open(kind).exec(['sh', '-c', 'sleep 300 >/dev/null 2>&1 & echo $!'], COMMAND);
    const host = finding('echo', started.stdout.trim());
    const agent = await host.agent();
    if (agent === null) throw new Error('no agent was found');
    expect([agent.pid, await host.processState(agent)]).toEqual([Number(started.stdout), 'S']);
    expect(await host.signal(agent, 'SIGKILL')).toBe(true);
    await until(async () => ((await host.agent()) === null ? true : null), { timeoutMs: 5_000, onTimeout: () => new Error('it lives') });
    expect([await finding('echo', '0').agent(), await finding('true').agent(), await open(kind).agent()]).toEqual([null, null, null]);
  });
});

describe('ssh', () => {
  const ASKED = { asNode: true, timeoutMs: 20_000 };
  const by = (change: Partial<SshWay>, node = nodeOf('ssh')): Host => openSshHost(node, sshd.way(change), join(dir, 'run'));

  test('a host whose key is another than the known one is not spoken to, however well it is known to others', async () => {
    await open('ssh').exec(['true'], ASKED);
    const host = by({ knownHosts: sshd.wrongKnownHosts });
    await expect(host.exec(['true'], ASKED)).rejects.toMatchObject({
      code: 'host_refused',
      retryable: false,
      message: expect.stringMatching(/Host key verification failed/),
    });
    writeFileSync(join(dir, 'known-nobody'), '');
    await expect(by({ knownHosts: join(dir, 'known-nobody') }).exec(['true'], ASKED)).rejects.toMatchObject({ code: 'host_refused' });
  });

  test('a key that the host does not take is refused, without a question to anybody', async () => {
    const host = by({ identityFile: sshd.strangersKey });
    await expect(host.exec(['true'], ASKED)).rejects.toMatchObject({
      code: 'host_refused',
      message: expect.stringMatching(/Permission denied/),
    });
  });

  test('where nobody listens the host is unreachable, which may pass', async () => {
    await expect(by({ port: 1 }).exec(['true'], ASKED)).rejects.toMatchObject({ code: 'host_unreachable', retryable: true });
  });

  test('a user whom sudo does not give is told apart from a command that failed', async () => {
    if (sshd.sudoer === null) return;
    const host = by({ user: sshd.sudoer }, nodeOf('sudo', { osUser: 'daemon' }));
    await expect(host.exec(['true'], ASKED)).rejects.toMatchObject({ code: 'host_refused', message: expect.stringMatching(/sudo/) });
  });

  test('more commands at once than one connection carries all come back, with nothing of ssh’s among their errors', async () => {
    const host = by({});
    const all = Array.from({ length: 14 }, async (_, index) => host.exec(['sh', '-c', `sleep 0.5; echo ${index}`], ASKED));
    expect(await Promise.all(all)).toEqual(all.map((_, index) => ({ code: 0, stdout: `${index}\n`, stderr: '' })));
  });

  test('a connection that breaks under a command is an error, not the command’s end; the next command connects anew', async () => {
    const host = open('ssh');
    const words = 'sleep 7003.1';
    const asked = host.exec(['sh', '-c', `exec ${words}`], { asNode: true, timeoutMs: 5_000 });
    const rejected = expect(asked).rejects.toMatchObject({ code: 'host_unreachable', retryable: true });
    await until(async () => ((await runs(words)) ? true : null), { timeoutMs: 10_000, onTimeout: () => new Error('it never started') });
    sshd.cut();
    await rejected;
    expect((await host.exec(['echo', 'again'], ASKED)).stdout).toBe('again\n');
    // Nobody is left to end it but the limit that went with it.
    await goneWithin(words, 15_000);
  });

  test('a tree is killed to its end when the connection breaks as soon as its root is stopped', async () => {
    const host = open('ssh');
    const root = spawn('sh', ['-c', 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sh -c "sleep 7004 & wait" & done; wait'], { stdio: 'ignore' });
    const id = identify(root.pid ?? 0);
    if (id === null) throw new Error('it never started');
    await until(async () => (descendants(id.pid).length === 24 ? true : null), {
      timeoutMs: 10_000,
      onTimeout: () => new Error('the tree never grew'),
    });
    const tree = [id, ...descendants(id.pid)];
    const ended = host.killTree(id).then(
      () => null,
      (error: unknown) => error,
    );
    await until(async () => (processState(id) === 'T' || !isAlive(id) ? true : null), {
      everyMs: 1,
      timeoutMs: 10_000,
      onTimeout: () => new Error('never stopped'),
    });
    sshd.cut();
    const error = await ended;
    if (error !== null) expect(error).toMatchObject({ code: 'host_unreachable' });
    await until(async () => (tree.some(isAlive) ? null : true), { timeoutMs: 10_000, onTimeout: () => new Error('some of it lives') });
    expect(await host.killTree(id)).toEqual([]);
  });
});

(osUser === null ? describe.skip : describe)('docker', () => {
  const ASKED = { asNode: true, timeoutMs: 20_000 };
  const engine = (): DockerGround => {
    if (docker === null) throw new Error('no engine runs');
    return docker;
  };

  const openContainer = (node: TargetNode, way: DockerHost): { readonly host: Host; readonly power: ContainerPower } => {
    const host = openDockerHost(node, way);
    if (host.container === undefined) throw new Error('it is no container');
    return { host, power: host.container };
  };

  test('a server that is the container’s first process is stopped, continued and killed with all of it, and told from its next life', async () => {
    const base = baseOf('docker');
    const node = nodeOf('docker', { dataDir: join(base, 'first') });
    await initdb(open('docker', node), node);
    const argv = [join(node.binDir, 'postgres'), '-D', node.dataDir, ...settingsOf(node)];
    const way = engine().start('server', osUser ?? '', base, argv);
    const { host, power } = openContainer(node, way);
    const up = async (): Promise<ProcessId> => {
      await until(async () => ((await host.serverProcesses()).length >= 6 ? true : null), {
        timeoutMs: 20_000,
        onTimeout: () => new Error('the server did not start'),
      });
      const found = await host.postmaster();
      if (found === null) throw new Error('no postmaster was found');
      return found;
    };
    const first = await up();
    expect(first.pid).toBe(1);
    expect(await host.signal(first, 'SIGSTOP')).toBe(true);
    await until(async () => ((await host.processState(first)) === 'T' ? true : null), {
      timeoutMs: 5_000,
      onTimeout: () => new Error('never stopped'),
    });
    expect(await host.signal(first, 'SIGCONT')).toBe(true);
    expect([await host.signal({ ...first, startTicks: '1' }, 'SIGKILL'), await host.killTree({ ...first, startTicks: '1' })]).toEqual([
      false,
      [],
    ]);

    const before = await host.serverProcesses();
    expect(pidsOf(await host.killTree(first))).toEqual(pidsOf(before));
    expect(await power.state()).toBe('stopped');
    const answers = [await host.postmaster(), await host.serverProcesses(), await host.processState(first), await host.killTree(first)];
    expect(answers).toEqual([null, [], null, []]);
    expect(await host.signal(first, 'SIGKILL')).toBe(false);
    await expect(host.exec(['true'], ASKED)).rejects.toMatchObject({
      code: 'host_unreachable',
      message: expect.stringMatching(/not running/),
    });

    await power.start();
    const second = await up();
    expect([second.pid, second.startTicks === first.startTicks]).toEqual([1, false]);
    expect(await host.signal(first, 'SIGKILL')).toBe(false);
    expect(await host.signal(second, 'SIGKILL')).toBe(true);
    expect(await power.state()).toBe('stopped');
  }, 90_000);

  test('a whole container is paused, killed, started and taken off its network, each as often as one likes', async () => {
    const way = engine().start('toy', 'root', baseOf('docker'), ['sleep', 'infinity']);
    const { host, power } = openContainer(nodeOf('docker'), way);
    for (const _ of [1, 2]) await power.pause();
    expect(await power.state()).toBe('paused');
    await expect(host.exec(['true'], ASKED)).rejects.toMatchObject({ code: 'host_unreachable', message: expect.stringMatching(/paused/) });
    for (const _ of [1, 2]) await power.unpause();
    expect((await host.exec(['echo', 'back'], ASKED)).stdout).toBe('back\n');

    const [seat] = await power.seats();
    if (seat === undefined) throw new Error('it sits in no network');
    expect(seat).toMatchObject({ network: 'ground', aliases: ['node'] });
    const devices = async (): Promise<boolean> => (await host.exec(['grep', '-q', 'eth', '/proc/net/dev'], ASKED)).code === 0;
    for (const _ of [1, 2]) await power.disconnect(seat.network);
    expect([await power.seats(), await devices()]).toEqual([[], false]);
    for (const _ of [1, 2]) await power.connect(seat);
    expect([await power.seats(), await devices()]).toEqual([[seat], true]);

    for (const _ of [1, 2]) await power.kill();
    expect(await power.state()).toBe('stopped');
    for (const _ of [1, 2]) await power.start();
    expect(await power.state()).toBe('running');
  }, 60_000);

  test('a container that dies under a command is an error, not the command’s end', async () => {
    const way = engine().start('mortal', 'root', baseOf('docker'), ['sleep', 'infinity']);
    const { host, power } = openContainer(nodeOf('docker'), way);
    const words = 'sleep 7005.1';
    const asked = host.exec(['sh', '-c', `exec ${words}`], ASKED);
    const rejected = expect(asked).rejects.toMatchObject({ code: 'host_unreachable', retryable: true });
    await until(async () => ((await runs(words)) ? true : null), { timeoutMs: 10_000, onTimeout: () => new Error('it never started') });
    await power.kill();
    await rejected;
    await goneWithin(words, 2_000);
  });

  test('an engine that is not there is unreachable; a container or user that it does not know is refused', async () => {
    const exec = (change: Partial<DockerHost>, node = nodeOf('docker')): Promise<unknown> =>
      openDockerHost(node, { ...container, ...change }).exec(['true'], ASKED);
    await expect(exec({ socket: join(dir, 'nowhere') })).rejects.toMatchObject({ code: 'host_unreachable', retryable: true });
    await expect(exec({ container: 'nobody' })).rejects.toMatchObject({ code: 'host_refused', retryable: false });
    await expect(exec({}, nodeOf('docker', { osUser: 'nobody-at-all' }))).rejects.toMatchObject({ code: 'host_refused' });
  });
});
