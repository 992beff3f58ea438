/**
 * A host that is reached by running commands there: what `ssh` and `docker` have in common. Every look and every signal is one POSIX script at the far end,
 * so that nothing depends on several round trips, and what must happen at once goes on to its end when the connection is lost in its midst.
 * It never takes silence for an end: a command that did not say how it ended is an error, which tells that nobody knows.
 */
import { randomBytes } from 'node:crypto';
import { GamedayError, messageOf } from '../../core/errors';
import type { ProcessId, RunResult } from '../../core/process';
import type { TargetNode } from '../../model/target';
import type { Host, ServerProcess } from '../ports';
import { END, IDENTIFY, KILL_TREE, POSTMASTER, READ, RENAME, RUN, SERVERS, SIGNAL, STATE, WRITE } from './remote-scripts';

/**
 * As whom a command runs there: the node's operating system user, or root. `own`: root where that takes nobody's leave, else the node's user; so that a
 * login that may become the node's user and nobody else can do everything to the server and its files.
 */
export type Identity = 'node' | 'root' | 'own';

export interface ShellOptions {
  readonly as: Identity;
  readonly timeoutMs: number;
  readonly input?: string;
  readonly signal?: AbortSignal;
}

/** The way to a far end. */
export interface RemoteShell {
  readonly kind: string;
  /**
   * Runs argv there without a shell around it. Rejects with `host_unreachable` when there is no way to the host, with `step_failed` after `timeoutMs`, with
   * the signal's reason when it is called off; the far end is then left as it is. Resolves with whatever else came back.
   */
  run(argv: readonly string[], options: ShellOptions): Promise<RunResult>;
  /** Why a command that was sent never said how it ended. */
  explain(result: RunResult): GamedayError;
}

const LOOK_MS = 15_000;
const WRITE_MS = 60_000;
const REMOVE_MS = 600_000;
/** The script itself waits 5 s and more for what it killed. */
const KILL_MS = 60_000;
const END_MS = 6_000;
/** How much longer than its caller waits a command may run at the far end: only for one whose caller is gone. */
const BEREFT_MS = 5_000;
/** What `run` keeps of an output. */
export const OUTPUT_LIMIT = 8 * 1024 * 1024;

/** What RUN appended to stderr, taken off again; null when it appended nothing. */
export function parseEnd(result: RunResult, token: string): { readonly code: number | 'missing'; readonly stderr: string } | null {
  const at = result.stderr.lastIndexOf(`${token} `);
  const code = at < 0 ? null : /^([0-9]+|missing)/.exec(result.stderr.slice(at + token.length + 1))?.[0];
  if (code === null || code === undefined) return null;
  return { code: code === 'missing' ? code : Number(code), stderr: result.stderr.slice(0, at) };
}

/** `PID START BOOT …` of each line. */
function parseProcesses(text: string): readonly (ProcessId & { readonly rest: string })[] {
  return text
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([pid]) => /^[0-9]+$/.test(pid ?? ''))
    .map(([pid, startTicks = '', bootId = '', rest = '']) => ({ pid: Number(pid), startTicks, bootId, rest }));
}

const toId = ({ pid, startTicks, bootId }: ProcessId): ProcessId => ({ pid, startTicks, bootId });
const wordsOf = ({ pid, startTicks, bootId }: ProcessId): readonly string[] => [String(pid), startTicks, bootId];
const firstOf = (text: string): ProcessId | null => parseProcesses(text).map(toId)[0] ?? null;

/** Commands at the far end, each bounded there too and with its own end told apart from the connection's. */
function openRunner(node: TargetNode, shell: RemoteShell): (argv: readonly string[], options: ShellOptions) => Promise<RunResult> {
  /** Null when it was done; else why it cannot be known. Ends the command as whoever runs it. */
  async function endThere(token: string, as: Identity): Promise<string | null> {
    try {
      const { code, stderr } = await shell.run(['sh', '-c', END], { as, timeoutMs: END_MS, input: `${token}\n` });
      return code === 0 ? null : stderr.trim() || `exit ${code}`;
    } catch (error) {
      return messageOf(error);
    }
  }

  return async (argv, options) => {
    const [command = ''] = argv;
    options.signal?.throwIfAborted();
    const token = `gameday-${randomBytes(12).toString('hex')}`;
    const limit = String(Math.ceil((options.timeoutMs + BEREFT_MS) / 1_000));
    let result: RunResult;
    try {
      result = await shell.run(['sh', '-c', RUN, 'gameday-run', token, limit, ...argv], options);
    } catch (error) {
      const late = error instanceof GamedayError && error.code === 'step_failed';
      if (!late && options.signal?.aborted !== true) throw error;
      const silence = await endThere(token, options.as);
      if (!late) throw error;
      const what = `${command} on ${node.name} did not end within ${options.timeoutMs} ms`;
      if (silence === null) throw new GamedayError('step_failed', what, null, { cause: error });
      throw new GamedayError('host_unreachable', `${what}, and nobody knows whether it ended since: ${silence}`, null, { cause: error });
    }
    const end = parseEnd(result, token);
    if (end === null) throw shell.explain(result);
    if (end.code === 'missing') throw new GamedayError('tool_missing', `${command} was not found on ${node.name}`);
    return { code: end.code, stdout: result.stdout, stderr: end.stderr };
  };
}

/** The host of one node behind a shell. Opening touches nothing. */
export function openRemoteHost(node: TargetNode, shell: RemoteShell): Host {
  const run = openRunner(node, shell);
  const script = (text: string, args: readonly string[], options: ShellOptions): Promise<RunResult> =>
    run(['sh', '-c', text, 'gameday', ...args], options);
  const fail = (what: string, { code, stderr }: RunResult): GamedayError =>
    new GamedayError('step_failed', `${node.name}: ${what} failed: ${stderr.trim().slice(0, 400) || `exit ${code}`}`);
  /** Output of a script that must succeed. */
  async function ask(what: string, text: string, args: readonly string[], options: ShellOptions): Promise<string> {
    const result = await script(text, args, options);
    if (result.code !== 0) throw fail(what, result);
    return result.stdout;
  }
  /** As the node's user: to look where a process works takes its own user, or more than root may do in a container. */
  const look = (what: string, text: string, args: readonly string[]): Promise<string> =>
    ask(what, text, args, { as: 'node', timeoutMs: LOOK_MS });

  return {
    kind: shell.kind,
    exec(argv, { asNode, timeoutMs, input, signal }) {
      return run(argv, {
        as: asNode ? 'node' : 'root',
        timeoutMs,
        ...(input === undefined ? {} : { input }),
        ...(signal === undefined ? {} : { signal }),
      });
    },
    async readFile(path) {
      const read = (as: Identity): Promise<RunResult> => script(READ, [path], { as, timeoutMs: WRITE_MS });
      const own = await read('own');
      // Root in a container may not read everything of its users in /proc.
      const result = own.code === 1 && node.osUser !== null ? await read('node') : own;
      if (result.code === 4) return null;
      if (result.code !== 0) throw fail(`reading ${path}`, result);
      if (result.stdout.length >= OUTPUT_LIMIT) throw new GamedayError('step_failed', `${node.name}: ${path} is too long to be read whole`);
      return result.stdout;
    },
    async writeFile(path, text) {
      const args = [path, String(Buffer.byteLength(text)), node.osUser ?? ''];
      await ask(`writing ${path}`, WRITE, args, { as: 'own', timeoutMs: WRITE_MS, input: text });
    },
    async remove(path) {
      await ask(`removing ${path}`, 'rm -rf -- "$1"', [path], { as: 'own', timeoutMs: REMOVE_MS });
    },
    async rename(from, to) {
      await ask(`renaming ${from} to ${to}`, RENAME, [from, to], { as: 'own', timeoutMs: WRITE_MS });
    },
    async exists(path) {
      return (await ask(`looking for ${path}`, '[ ! -e "$1" ] || echo yes', [path], { as: 'own', timeoutMs: LOOK_MS })) !== '';
    },
    async freeBytes(path) {
      const text = await ask(`asking for the free space of ${path}`, 'stat -f -c "%a %S" "$1"', [path], { as: 'own', timeoutMs: LOOK_MS });
      const [blocks = NaN, size = NaN] = text.trim().split(' ').map(Number);
      if (!Number.isFinite(blocks * size)) throw new GamedayError('step_failed', `${node.name}: no free space in "${text.trim()}"`);
      return blocks * size;
    },
    async postmaster() {
      return firstOf(await look('looking for the postmaster', POSTMASTER, [node.dataDir]));
    },
    async agent() {
      if (node.agent === null) return null;
      const found = await run(node.agent.find, { as: 'root', timeoutMs: LOOK_MS });
      const pid = Number(found.stdout.trim());
      if (!Number.isSafeInteger(pid) || pid < 1) return null;
      return firstOf(await look('looking at the agent', IDENTIFY, [String(pid)]));
    },
    async killTree(root) {
      const text = await ask(`killing process ${root.pid}`, KILL_TREE, [...wordsOf(root), 'kill'], { as: 'own', timeoutMs: KILL_MS });
      return parseProcesses(text).map(toId);
    },
    async serverProcesses() {
      const text = await look('listing server processes', SERVERS, [node.dataDir]);
      return parseProcesses(text).map(({ rest, ...id }): ServerProcess => ({ ...id, stopped: rest === 'T' }));
    },
    async processState(id) {
      return (await look(`looking at process ${id.pid}`, STATE, wordsOf(id))).trim() || null;
    },
    async signal(id, name) {
      const result = await script(SIGNAL, [...wordsOf(id), name.replace(/^SIG/, '')], { as: 'own', timeoutMs: LOOK_MS });
      if (result.code !== 0 && result.code !== 4) throw fail(`${name} to process ${id.pid}`, result);
      return result.code === 0;
    },
  };
}

/** Processes of a tree, its root first, without touching any. */
export async function listTree(host: Host, root: ProcessId): Promise<readonly ProcessId[]> {
  const argv = ['sh', '-c', KILL_TREE, 'gameday', ...wordsOf(root), 'list'];
  const { code, stdout, stderr } = await host.exec(argv, { asNode: true, timeoutMs: LOOK_MS });
  if (code !== 0) throw new GamedayError('step_failed', `listing the processes below ${root.pid} failed: ${stderr.trim()}`);
  return parseProcesses(stdout).map(toId);
}
