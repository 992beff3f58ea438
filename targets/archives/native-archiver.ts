/**
 * The resident half of the native archive: one process for all nodes of a target, so that no segment pays for a Node start.
 * It says "done" only after the object is durable in the store, never replaces an object by different content, and lets PostgreSQL keep
 * whatever it could not store. Start: `node dist/targets/archives/native-archiver.js --home HOME --target FILE`.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { monotonicNs, nowUtc, sleep } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { sha256Hex, writeFileDurably } from '../../core/files';
import { parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import { serveRpc } from '../../core/rpc';
import type { Target, TargetNode } from '../../model/target';
import type { ObjectStore } from '../../objects/store';
import { targetSchema } from '../schema';
import { openArchiveStore } from './archive-store';
import { prepareSpool, SPOOL_DIRECTORIES } from './native-push';
import { WalAhead } from './wal-ahead';
import { ancestry } from './wal-chain';
import { checkSegmentHeader, forkKey, packedSha256, packWal, walFileKind, walKey, walNameOfKey } from './wal-object';

/** How long one file is tried before PostgreSQL is told the reason; below the script's own limit of 30 s. */
export const ARCHIVE_HOLD_MS = 12_000;
/** Fallback for a watch event that was lost. */
const POLL_MS = 200;
/** Answers whose script died before reading them. */
const STALE_ANSWER_MS = 300_000;
const RETRY_MS = 500;
const READY_LIMIT = 10_000;

export interface ArchiverNodeStatus {
  readonly node: string;
  /** Newest WAL file stored since the archiver started; null if none yet. */
  readonly newest: string | null;
  readonly newestAt: string | null;
  /** Milliseconds since `newestAt`. */
  readonly ageMs: number | null;
  readonly stored: number;
  /** Files handed over and not answered yet. */
  readonly queue: number;
  readonly lastError: string | null;
  readonly lastErrorAt: string | null;
}

/** Answer of the call `status` on run/archiver.sock. */
export interface ArchiverStatus {
  readonly pid: number;
  readonly nodes: readonly ArchiverNodeStatus[];
}

/**
 * Stores one WAL file; resolves when it is durable. The same content again is success, other content under the same name is
 * `object_exists` (PostgreSQL's rule for archive_command), unless history has left that timeline there: then both are kept, the second aside. Throws `object_corrupt` for bytes that are not what the name says.
 */
export async function storeWalFile(
  store: ObjectStore,
  name: string,
  plain: Buffer,
  systemIdentifier: string,
): Promise<'stored' | 'was there'> {
  const kind = walFileKind(name);
  if (kind === null) throw new GamedayError('object_corrupt', `"${name}" is not the name of a WAL file`);
  if (kind === 'segment' || kind === 'partial') checkSegmentHeader(name, plain, systemIdentifier);
  const key = walKey(name);
  const object = kind === 'history' ? plain : await packWal(plain);
  if (await store.create(key, object)) return 'stored';
  const there = await store.get(key);
  if (there === null) {
    // Its last version was deleted, and stores there are count the mark of that as an object.
    await store.put(key, object);
    return 'stored';
  }
  const same = kind === 'history' ? sha256Hex(there) === sha256Hex(plain) : packedSha256(there) === sha256Hex(plain);
  if (same) return 'was there';
  if (kind === 'segment' && (await wasLeft(store, name))) {
    const aside = forkKey(name, sha256Hex(plain));
    return (await store.create(aside, object)) ? 'stored' : 'was there';
  }
  throw new GamedayError('object_exists', `${key} is in the archive already, with different content`);
}

/**
 * Did history leave the segment's timeline within this segment or before it? Then several nodes hold it unfinished, each up to where it stopped: the lost
 * primary's, and those of standbys whose stream it took along. Any of them may be archived once its holder is promoted, or by Patroni before it rewinds.
 * No restore to a later timeline reads past the fork, and refusing would stop the archive of the new primary for good.
 */
async function wasLeft(store: ObjectStore, name: string): Promise<boolean> {
  const segment = parseWalSegmentName(name);
  if (segment === null) return false;
  for await (const { key } of store.list('wal/')) {
    const later = walNameOfKey(key);
    if (later === null || walFileKind(later) !== 'history') continue;
    const history = await store.get(key);
    const spans = history === null ? [] : ancestry(parseInt(later.slice(0, 8), 16), Buffer.from(history).toString('utf8'));
    const end = spans.find(({ timeline }) => timeline === segment.timeline)?.end ?? null;
    if (end !== null && end < segment.start + WAL_SEGMENT_BYTES) return true;
  }
  return false;
}

/** The loop of one node. `run` ends after `stop`. */
class NodeArchiver {
  private newest: string | null = null;
  private newestAt: string | null = null;
  private newestNs = 0n;
  private stored = 0;
  private lastError: string | null = null;
  private lastErrorAt: string | null = null;
  private stopped = false;
  private wake: () => void = () => undefined;
  private readonly watcher: FSWatcher;
  private readonly store: ObjectStore;
  private readonly ahead: WalAhead;

  constructor(
    private readonly target: Target,
    private readonly node: TargetNode,
    private readonly spool: string,
  ) {
    this.store = openArchiveStore(target, node.name);
    this.ahead = new WalAhead(node.runsOn.kind === 'local' ? join(node.dataDir, 'pg_wal') : null, (name, plain) => this.put(name, plain));
    this.watcher = watch(join(spool, 'ready'), () => this.wake());
    this.watcher.on('error', () => undefined);
  }

  stop(): void {
    this.stopped = true;
    this.watcher.close();
    this.wake();
  }

  status(): ArchiverNodeStatus {
    return {
      node: this.node.name,
      newest: this.newest,
      newestAt: this.newestAt,
      ageMs: this.newest === null ? null : Number((monotonicNs() - this.newestNs) / 1_000_000n),
      stored: this.stored,
      queue: this.requests().length,
      lastError: this.lastError,
      lastErrorAt: this.lastErrorAt,
    };
  }

  private requests(): string[] {
    return readdirSync(join(this.spool, 'ready')).sort().slice(0, READY_LIMIT);
  }

  async run(): Promise<void> {
    let swept = 0n;
    while (!this.stopped) {
      const requests = this.requests();
      for (const request of requests) await this.handle(request);
      if (monotonicNs() - swept > 60_000_000_000n) {
        swept = monotonicNs();
        sweepAnswers(this.spool);
      }
      if (requests.length === 0 && !this.stopped) await this.nextEvent();
    }
    await this.ahead.end();
  }

  private put(name: string, plain: Buffer): Promise<'stored' | 'was there'> {
    return storeWalFile(this.store, name, plain, this.target.systemIdentifier);
  }

  private nextEvent(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Tries until stored, the script gave up (its request is gone), it can't get better, or ARCHIVE_HOLD_MS are over. */
  private async handle(request: string): Promise<void> {
    const path = join(this.spool, 'ready', request);
    const name = request.slice(0, request.lastIndexOf('.'));
    const giveUpAt = monotonicNs() + BigInt(ARCHIVE_HOLD_MS) * 1_000_000n;
    for (;;) {
      const plain = readIfThere(path);
      if (plain === null) return;
      try {
        await this.ahead.lookBehind(name);
        if (!(await this.ahead.has(name, plain))) await this.put(name, plain);
        [this.newest, this.newestAt, this.newestNs, this.stored, this.lastError] = [name, nowUtc(), monotonicNs(), this.stored + 1, null];
        return this.answer(request, 'done', '');
      } catch (error) {
        const reason = messageOf(error);
        if (this.lastError !== reason) console.error(`${nowUtc()} ${this.node.name}: ${name}: ${reason}`);
        [this.lastError, this.lastErrorAt] = [reason, nowUtc()];
        const hopeless = error instanceof GamedayError && !error.retryable;
        if (hopeless || this.stopped || monotonicNs() >= giveUpAt) return this.answer(request, 'failed', reason);
        await sleep(RETRY_MS);
      }
    }
  }

  private answer(request: string, verdict: 'done' | 'failed', text: string): void {
    const answer = join(this.spool, verdict, request);
    writeFileDurably(answer, text, 0o644);
    rmSync(join(this.spool, 'ready', request), { force: true });
  }
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function sweepAnswers(spool: string): void {
  for (const directory of SPOOL_DIRECTORIES) {
    if (directory === 'ready') continue;
    for (const name of readdirSync(join(spool, directory))) {
      const path = join(spool, directory, name);
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat !== undefined && Date.now() - stat.ctimeMs > STALE_ANSWER_MS) rmSync(path, { force: true });
    }
  }
}

/** Serves every node of the target until `stop` is called. `socket`: where `status` answers. */
export async function startArchiver(
  target: Target,
  socket: string,
): Promise<{ readonly stop: () => Promise<void>; readonly ended: Promise<void> }> {
  // The socket first: it also refuses a second archiver before that one touches a spool.
  const archivers: NodeArchiver[] = [];
  const server = await serveRpc(socket, {
    status: (): ArchiverStatus => ({ pid: process.pid, nodes: archivers.map((one) => one.status()) }),
  });
  for (const node of target.nodes) {
    const spool = prepareSpool(target, node);
    archivers.push(new NodeArchiver(target, node, spool));
    writeFileDurably(join(spool, 'archiver.pid'), `${process.pid}\n`, 0o644);
  }
  const ended = Promise.all(archivers.map((one) => one.run())).then(() => undefined);
  const stop = async (): Promise<void> => {
    for (const one of archivers) one.stop();
    await ended;
    await server.close();
  };
  return { stop, ended };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { home: { type: 'string' }, target: { type: 'string' } } });
  if (values.home === undefined || values.target === undefined)
    throw new GamedayError('usage', 'native-archiver needs --home HOME and --target FILE');
  const target = targetSchema.parse(parse(readFileSync(values.target, 'utf8')));
  mkdirSync(join(values.home, 'run'), { recursive: true });
  const archiver = await startArchiver(target, join(values.home, 'run', 'archiver.sock'));
  console.error(`${nowUtc()} archiver ${process.pid} serves ${target.nodes.map((node) => node.name).join(', ')}`);
  const end = (): void => void archiver.stop().then(() => process.exit(0));
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
  await archiver.ended;
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(`${nowUtc()} archiver: ${messageOf(error)}`);
    process.exit(error instanceof GamedayError ? error.exit : 70);
  });
}
