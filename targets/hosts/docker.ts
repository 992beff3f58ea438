/**
 * A node in a container of the Docker engine behind a local socket. Commands run inside it by the engine's exec, processes are named as the container
 * numbers them. Its first process belongs to the engine: nobody inside can stop or kill it, so those signals go through the engine. Nothing here creates
 * or removes a container; a mark of ours is a volume that holds nothing and is mounted nowhere.
 */
import Dockerode from 'dockerode';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as after } from 'node:timers/promises';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import type { ProcessId, RunResult } from '../../core/process';
import type { TargetHost, TargetNode } from '../../model/target';
import type { ContainerPower, ContainerState, Host, NetworkSeat } from '../ports';
import { labelsOf, MARKS, toMark } from './docker-marks';
import { listTree, openRemoteHost, OUTPUT_LIMIT, type Identity, type RemoteShell, type ShellOptions } from './remote-host';

export type DockerHost = Extract<TargetHost, { readonly kind: 'docker' }>;

/** Every request to the engine but a command's own time. */
const ANSWER_MS = 15_000;
const STATE_MS = 15_000;
const DEATH_MS = 5_000;

/** Networks that are none of a container's own. */
const SHARED = ['host', 'none'];

/** A request to the engine that is bounded; whatever keeps it from answering is `host_unreachable`, a container it does not know `host_refused`. */
async function bounded<T>(where: string, what: string, request: Promise<T>): Promise<T> {
  const cancel = new AbortController();
  const late = after(ANSWER_MS, undefined, { signal: cancel.signal }).then(() => {
    throw new Error(`no answer within ${ANSWER_MS} ms`);
  });
  try {
    return await Promise.race([request, late]);
  } catch (error) {
    const code =
      /no such container/i.test(messageOf(error)) || (error as NodeJS.ErrnoException).code === 'EACCES'
        ? 'host_refused'
        : 'host_unreachable';
    const hint = code === 'host_refused' ? 'check the target’s `socket` and `container`, and that gameday may use that socket.' : null;
    throw new GamedayError(code, `${where}: ${what} failed: ${messageOf(error)}`, hint, { cause: error });
  } finally {
    cancel.abort();
    late.catch(() => undefined);
  }
}

/** Takes a stream's text in, up to the limit. */
function collect(): { write(chunk: Buffer): void; text(): string } {
  const decoder = new StringDecoder('utf8');
  let text = '';
  return {
    write(chunk) {
      if (text.length < OUTPUT_LIMIT) text += decoder.write(chunk);
    },
    text: () => text,
  };
}

type Sink = { write(chunk: Buffer): void };
/** What dockerode leaves untyped. */
type Modem = { demuxStream(source: NodeJS.ReadableStream, out: Sink, err: Sink): void };

/** Resolves when the engine closes the stream; rejects at the deadline or when called off. */
function ended(stream: NodeJS.ReadableStream, command: string, { timeoutMs, signal }: ShellOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => done(() => reject(new GamedayError('step_failed', `${command} did not end within ${timeoutMs} ms`))),
      timeoutMs,
    );
    const onAbort = (): void => done(() => reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted')));
    const onEnd = (): void => done(resolve);
    const done = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      settle();
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    for (const event of ['end', 'close', 'error']) stream.once(event, onEnd);
  });
}

/** Whose name the engine is told; null: the container's own user. */
export function userFor(osUser: string | null, as: Identity): string | null {
  if (as === 'root') return '0';
  return as === 'own' && osUser !== null ? '0' : osUser;
}

function openShell(where: string, container: Dockerode.Container, node: TargetNode): RemoteShell {
  return {
    kind: 'docker',
    async run(argv, options): Promise<RunResult> {
      const user = userFor(node.osUser, options.as);
      const settings = {
        Cmd: [...argv],
        AttachStdin: options.input !== undefined,
        AttachStdout: true,
        AttachStderr: true,
        Tty: false,
        WorkingDir: '/',
        ...(user === null ? {} : { User: user }),
      };
      const exec = await bounded(where, 'asking for a command', container.exec(settings));
      const stream = await bounded(
        where,
        'starting a command',
        exec.start({ hijack: true, stdin: options.input !== undefined, Tty: false }),
      );
      const [out, err] = [collect(), collect()];
      (container.modem as Modem).demuxStream(stream, out, err);
      stream.on('error', () => undefined);
      try {
        const end = ended(stream, argv[0] ?? '', options);
        if (options.input !== undefined) stream.end(options.input);
        await end;
      } finally {
        stream.destroy();
      }
      // Only to explain a command that never came to run: what RUN says counts, and a container that died knows no exit code any more.
      const { ExitCode } = await bounded(where, 'asking how a command ended', exec.inspect()).catch(() => ({ ExitCode: null }));
      return { code: ExitCode ?? -1, stdout: out.text(), stderr: err.text() };
    },
    explain({ code, stdout, stderr }) {
      const text = `${stderr} ${stdout}`.trim().slice(0, 400) || 'the container went away';
      // 126 and 127 come from the engine here: no such user, no shell; or its first process died before the engine heard of it.
      const refused = (code === 126 || code === 127) && !/stopped state|not running/.test(text);
      return new GamedayError(
        refused ? 'host_refused' : 'host_unreachable',
        `${where}: ${text}`,
        refused ? 'the container needs `sh`, coreutils and the node’s user; see docs/HOSTS.md.' : null,
      );
    },
  };
}

function openPower(where: string, name: string, container: Dockerode.Container, engine: Dockerode): ContainerPower {
  const inspect = (): Promise<Dockerode.ContainerInspectInfo> => bounded(where, 'looking at it', container.inspect());
  const stateOf = ({ State }: Dockerode.ContainerInspectInfo): ContainerState =>
    State.Paused ? 'paused' : State.Running ? 'running' : 'stopped';
  const state = async (): Promise<ContainerState> => stateOf(await inspect());
  const reach = (what: string, wanted: (info: Dockerode.ContainerInspectInfo) => boolean): Promise<true> =>
    until(async () => (wanted(await inspect()) ? true : null), {
      timeoutMs: STATE_MS,
      onTimeout: () => new GamedayError('host_unreachable', `${where} was not ${what} within ${STATE_MS} ms`),
    });
  const seats = async (): Promise<readonly NetworkSeat[]> =>
    Object.entries((await inspect()).NetworkSettings.Networks)
      .filter(([network]) => !SHARED.includes(network))
      .map(([network, seat]) => toSeat(network, seat));
  const sits = async (network: string): Promise<boolean> => (await seats()).some((seat) => seat.network === network);
  return {
    state,
    seats,
    async pause() {
      if ((await state()) === 'running') await bounded(where, 'pausing it', container.pause());
      await reach('paused', (info) => stateOf(info) === 'paused');
    },
    async unpause() {
      if ((await state()) === 'paused') await bounded(where, 'unpausing it', container.unpause());
    },
    async kill() {
      const before = await inspect();
      if (stateOf(before) === 'stopped') return;
      await bounded(where, 'killing it', container.kill({ signal: 'SIGKILL' }));
      await reach('dead', (now) => stateOf(now) === 'stopped' || now.State.StartedAt !== before.State.StartedAt);
    },
    async start() {
      if ((await state()) === 'stopped') await bounded(where, 'starting it', container.start());
      await reach('running', (info) => stateOf(info) !== 'stopped');
    },
    async hasFixedPorts() {
      const { HostConfig } = await inspect();
      const published = Object.values((HostConfig.PortBindings as PortBindings | null) ?? {}).flatMap((ports) => ports ?? []);
      // Of a range the engine chooses too.
      return HostConfig.PublishAllPorts !== true && published.every(({ HostPort = '' }) => /^[1-9][0-9]*$/.test(HostPort));
    },
    async disconnect(network) {
      if (await sits(network))
        await bounded(where, `taking it off ${network}`, engine.getNetwork(network).disconnect({ Container: container.id }));
    },
    async connect({ network, aliases, address, address6 }) {
      if (await sits(network)) return;
      const fixed = { ...(address === null ? {} : { IPv4Address: address }), ...(address6 === null ? {} : { IPv6Address: address6 }) };
      const EndpointConfig = { Aliases: [...aliases], ...(Object.keys(fixed).length === 0 ? {} : { IPAMConfig: fixed }) };
      await bounded(where, `putting it on ${network}`, engine.getNetwork(network).connect({ Container: container.id, EndpointConfig }));
    },
    async mark(mark) {
      await bounded(
        where,
        'leaving a mark',
        engine.createVolume({ Name: mark.name, Driver: 'local', Labels: { ...labelsOf(name, mark) } }),
      );
    },
    async marks() {
      const filters = { label: [`${MARKS.container}=${name}`] };
      const { Volumes } = await bounded(where, 'looking for marks', engine.listVolumes({ filters }));
      return Volumes.flatMap(({ Name, Labels }) => toMark(Name, Labels));
    },
    async unmark(mark) {
      await bounded(where, 'removing a mark', engine.getVolume(mark).remove().catch(unlessGone));
    },
  };
}

type PortBindings = { readonly [port: string]: readonly { readonly HostPort?: string }[] | null };
/** Fields that dockerode leaves untyped. */
type Seated = Dockerode.ContainerInspectInfo['NetworkSettings']['Networks'][string];
type Fixed = { readonly IPv4Address?: string; readonly IPv6Address?: string } | null;

function toSeat(network: string, seat: Seated): NetworkSeat {
  const fixed = seat.IPAMConfig as Fixed;
  return {
    network,
    // The engine adds the container's short id by itself.
    aliases: ((seat.Aliases as string[] | null | undefined) ?? []).filter((alias) => !/^[0-9a-f]{12}$/.test(alias)),
    address: fixed?.IPv4Address ?? null,
    address6: fixed?.IPv6Address ?? null,
    current: seat.IPAddress === '' ? null : seat.IPAddress,
  };
}

/** Somebody else removed it first. */
const unlessGone = (error: unknown): void => {
  if ((error as { readonly statusCode?: number }).statusCode !== 404) throw error;
};

/** The engine is asked over this socket alone, whatever DOCKER_HOST says. */
function openContainer(node: TargetNode, { socket, container: name }: DockerHost) {
  const engine = new Dockerode({ socketPath: socket });
  const container = engine.getContainer(name);
  const where = `${node.name} (container ${name})`;
  return { where, container, power: openPower(where, name, container, engine) };
}

/** The container of one node. Opening touches nothing. In a container that is stopped no process runs; its files cannot be reached. */
export function openDockerHost(node: TargetNode, host: DockerHost): Host {
  const { where, container, power } = openContainer(node, host);
  const inside = openRemoteHost(node, openShell(where, container, node));
  /** The engine tells of a death some time after it. */
  async function hasDied(): Promise<boolean> {
    const seen = async (): Promise<ContainerState | null> => {
      const now = await power.state();
      return now === 'running' ? null : now;
    };
    const stays = (): Error => new GamedayError('host_unreachable', `${where} is not dead`);
    return until(seen, { timeoutMs: DEATH_MS, onTimeout: stays }).then(
      (state) => state === 'stopped',
      () => false,
    );
  }
  /** Only after it failed: the state may change between a look and a question. */
  async function orWhenStopped<T>(stopped: T, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof GamedayError && error.code === 'host_unreachable' && (await hasDied())) return stopped;
      throw error;
    }
  }
  const isThere = async (id: ProcessId): Promise<boolean> => {
    const state = await inside.processState(id);
    return state !== null && state !== 'Z' && state !== 'X';
  };
  /** The kernel ends all of a container with its first process, with nobody in between. */
  async function killContainer(first: ProcessId): Promise<readonly ProcessId[]> {
    if (!(await isThere(first))) return [];
    const killed = await listTree(inside, first);
    await power.kill();
    return killed;
  }
  /** What is killed may be all that the container's first process lives for: it goes with it, and with it the very script that kills. */
  async function killTree(root: ProcessId): Promise<readonly ProcessId[]> {
    const tree = await orWhenStopped([], () => listTree(inside, root));
    if (tree.length === 0) return [];
    return orWhenStopped(tree, () => inside.killTree(root));
  }
  return {
    ...inside,
    container: power,
    postmaster: () => orWhenStopped(null, () => inside.postmaster()),
    agent: () => orWhenStopped(null, () => inside.agent()),
    serverProcesses: () => orWhenStopped([], () => inside.serverProcesses()),
    processState: (id) => orWhenStopped(null, () => inside.processState(id)),
    killTree: (root) => (root.pid === 1 ? orWhenStopped([], () => killContainer(root)) : killTree(root)),
    async wake() {
      if ((await power.state()) !== 'stopped') return false;
      await power.start();
      return true;
    },
    signal: (id, name) =>
      orWhenStopped(false, async () => {
        if (id.pid !== 1) return inside.signal(id, name);
        if (!(await isThere(id))) return false;
        if (name === 'SIGKILL') await power.kill();
        else await bounded(where, `sending ${name} to it`, container.kill({ signal: name }));
        return true;
      }),
  };
}
