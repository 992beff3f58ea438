/**
 * A node that runs as plain processes of this machine. Commands run as the node's operating system user when we are root, as ourselves otherwise.
 * It never signals a process that it has not identified by pid, start time and boot.
 */
import {
  closeSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  realpathSync,
  readlinkSync,
  renameSync,
  rmSync,
  statfsSync,
  writeSync,
  existsSync,
  chownSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { fsyncDirectory } from '../../core/files';
import {
  descendants,
  environmentForOthers,
  identify,
  isAlive,
  lookUpUser,
  processState,
  run,
  signal,
  type ProcessId,
  type RunOptions,
} from '../../core/process';
import type { TargetNode } from '../../model/target';
import type { Host, ServerProcess } from '../ports';

/** Rounds of the walk over children; each finds at least one more process, so a tree this deep in forks is no PostgreSQL. */
const MAX_WALKS = 100;
const GONE_WITHIN_MS = 10_000;
const FIND_TIMEOUT_MS = 5_000;

type Identity = { readonly uid: number; readonly gid: number; readonly home: string };

/** Whom to become for the node; null: nobody, either because we are not root or because the node names no user. */
export function nodeIdentity(osUser: string | null): Identity | null {
  return osUser !== null && process.getuid?.() === 0 ? lookUpUser(osUser) : null;
}

/** A lean environment: a stray PGHOST or PGDATA of the caller must not lead a server tool elsewhere. */
function nodeEnvironment(identity: Identity | null): NodeJS.ProcessEnv {
  const inherited = Object.fromEntries(Object.entries(environmentForOthers()).filter(([key]) => !key.startsWith('PG')));
  return { ...inherited, LC_ALL: 'C.UTF-8', ...(identity === null ? {} : { HOME: identity.home }) };
}

/** Creates missing directories so that the node's user owns those made. */
function makeDirectory(path: string, identity: Identity | null): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path), identity);
  mkdirSync(path, { mode: 0o755 });
  if (identity !== null) chownSync(path, identity.uid, identity.gid);
}

function writeOwned(path: string, text: string, identity: Identity | null): void {
  makeDirectory(dirname(path), identity);
  const temporary = `${path}.${process.pid}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    if (identity !== null) fchownSync(fd, identity.uid, identity.gid);
    writeSync(fd, text);
    fsyncSync(fd);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  fsyncDirectory(dirname(path));
}

/** True if the process works in this data directory: a postmaster's working directory is its data directory. */
function worksIn(pid: number, dataDir: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataDir);
  } catch {
    return false;
  }
}

function readPostmaster(node: TargetNode): ProcessId | null {
  let pid: number;
  try {
    pid = Number(readFileSync(join(node.dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  if (!Number.isSafeInteger(pid) || pid <= 1) return null;
  const id = identify(pid);
  return id !== null && isAlive(id) && worksIn(pid, node.dataDir) ? id : null;
}

/** By executable and working directory: PostgreSQL's processes all work in the data directory, and a shell somebody opened there is none of them. */
function serverProcesses(node: TargetNode): readonly ServerProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && worksIn(Number(name), node.dataDir) && executableOf(Number(name)) === 'postgres')
    .flatMap((name) => {
      const id = identify(Number(name));
      return id === null || !isAlive(id) ? [] : [{ ...id, stopped: processState(id) === 'T' }];
    });
}

function executableOf(pid: number): string {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ''));
  } catch {
    return '';
  }
}

async function killTree(root: ProcessId): Promise<readonly ProcessId[]> {
  const stopped = new Map<number, ProcessId>();
  if (!signal(root, 'SIGSTOP')) return [];
  stopped.set(root.pid, root);
  for (let walk = 0; ; walk += 1) {
    if (walk === MAX_WALKS) throw new GamedayError('internal', `process ${root.pid} still had new children after ${MAX_WALKS} walks`);
    const fresh = descendants(root.pid).filter((child) => !stopped.has(child.pid));
    if (fresh.length === 0) break;
    for (const child of fresh) {
      signal(child, 'SIGSTOP');
      stopped.set(child.pid, child);
    }
  }
  const killed = [...stopped.values()];
  // The root last: whoever ends between is told by it, which stands stopped, that somebody may be left.
  for (const process of killed.toReversed()) signal(process, 'SIGKILL');
  await until(() => (killed.some(isAlive) ? null : true), {
    timeoutMs: GONE_WITHIN_MS,
    everyMs: 5,
    onTimeout: () =>
      new GamedayError(
        'internal',
        `processes ${killed
          .filter(isAlive)
          .map((id) => id.pid)
          .join(', ')} outlived SIGKILL for ${GONE_WITHIN_MS} ms`,
      ),
  });
  return killed;
}

/** The local host of one node. Opening touches nothing; the node's user is looked up when first needed. */
export function openLocalHost(node: TargetNode): Host {
  return {
    kind: 'local',
    async exec(argv, options) {
      const identity = options.asNode ? nodeIdentity(node.osUser) : null;
      const runOptions: RunOptions = {
        timeoutMs: options.timeoutMs,
        env: nodeEnvironment(identity),
        ...(identity === null ? {} : { uid: identity.uid, gid: identity.gid }),
        ...(options.input === undefined ? {} : { input: options.input }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      };
      try {
        return await run(argv, runOptions);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        throw new GamedayError('tool_missing', `${argv[0] ?? ''} was not found for node ${node.name}: ${messageOf(error)}`, null, {
          cause: error,
        });
      }
    },
    async readFile(path) {
      try {
        return readFileSync(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    async writeFile(path, text) {
      writeOwned(path, text, nodeIdentity(node.osUser));
    },
    async remove(path) {
      // Again where somebody wrote into it meanwhile.
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    },
    async rename(from, to) {
      renameSync(from, to);
      fsyncDirectory(dirname(to));
    },
    async exists(path) {
      return existsSync(path);
    },
    async freeBytes(path) {
      const stats = statfsSync(path);
      return stats.bavail * stats.bsize;
    },
    async postmaster() {
      return readPostmaster(node);
    },
    async agent() {
      if (node.agent === null) return null;
      const found = await run(node.agent.find, { timeoutMs: FIND_TIMEOUT_MS });
      const pid = Number(found.stdout.trim());
      const id = Number.isSafeInteger(pid) && pid > 1 ? identify(pid) : null;
      return id !== null && isAlive(id) ? id : null;
    },
    killTree,
    async serverProcesses() {
      return serverProcesses(node);
    },
    async processState(id) {
      return processState(id);
    },
    async signal(id, name) {
      return signal(id, name);
    },
  };
}
