/**
 * The prober process: `node dist/probe/prober.js <config.json>`. It acts as the database's client in an open loop, samples every node, stamps
 * receipts, and writes all of it to the ledger with its own monotonic clock. It outlives its worker and ends by itself when nobody renews its
 * lease; it never judges, and never writes anywhere but in its own table.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { performance } from 'node:perf_hooks';
import { assert, present } from '../core/assert';
import { sleep, until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { serveRpc, type RpcServer } from '../core/rpc';
import { resolveSecret } from '../core/secrets';
import { withSql } from '../targets/sql';
import { OTHER_CONNECTIONS } from '../model/constants';
import type { JsonObject } from '../model/json';
import type { ProberConfig, ProberStatus, Receipt, WindowAnswer, WindowRequest } from './contract';
import { ControllerWatch } from './controller-watch';
import { LEDGER_VERSION, type Entry, type StreamInfo } from './ledger-format';
import { LedgerWriter } from './ledger-writer';
import { LiveFigures } from './live-figures';
import { NodeSampler } from './node-sampler';
import { ProberJournal } from './prober-journal';
import { ProbeStream, type DueTally, type StreamContext } from './stream';

const PREPARE_TIMEOUT_MS = 30_000;
/** The loop looks at deadlines at least this often. */
const MAX_SLEEP_NS = 5e6;

/** Streams of the main path first, writes before reads; then one of each kind for every further path, and for the naive client of every path. */
export function streamsOf({ settings, paths }: Pick<ProberConfig, 'settings' | 'paths'>): readonly StreamInfo[] {
  const streams: StreamInfo[] = [];
  const kinds = settings.readStreams > 0 ? (['write', 'read'] as const) : (['write'] as const);
  const [main] = paths;
  assert(main !== undefined, 'the prober has a path');
  for (const kind of ['write', 'read'] as const) {
    const count = kind === 'write' ? settings.writeStreams : settings.readStreams;
    for (let at = 0; at < count; at += 1) streams.push({ kind, path: main.name, client: 'tuned', periodMs: settings.periodMs });
  }
  const others = [
    ...paths.slice(1).map(({ name }) => ({ path: name, client: 'tuned' as const })),
    ...(settings.naive ? paths.map(({ name }) => ({ path: name, client: 'naive' as const })) : []),
  ];
  for (const other of others)
    for (const kind of settings.writeStreams > 0 ? kinds : (['read'] as const))
      streams.push({ kind, ...other, periodMs: settings.otherPeriodMs });
  return streams;
}

class Prober {
  private readonly zero = process.hrtime.bigint();
  private readonly ledger: LedgerWriter;
  private readonly journal: ProberJournal;
  private readonly streams: ProbeStream[];
  private readonly sampler: NodeSampler;
  private readonly watcher: ControllerWatch | null;
  private readonly figures: LiveFigures;
  private readonly receipts = new Map<string, number>();
  private readonly servers = new Map<string, number>();
  private connections = 0;
  private readonly tally: DueTally = { due: 0, onTime: 0, lateFromNs: Infinity };
  private lastWatchNs = 0;
  private renewedNs = 0;
  private endOfTurnAsked = false;
  private timer: NodeJS.Timeout | null = null;
  private ended: Promise<ProberStatus> | null = null;

  constructor(private readonly config: ProberConfig) {
    const { settings } = config;
    const infos = streamsOf(config);
    this.figures = new LiveFigures(settings.periodMs);
    this.ledger = new LedgerWriter(
      config.dir,
      {
        version: LEDGER_VERSION,
        drill: config.drill,
        table: config.table,
        settings,
        nodes: config.nodes.map((node) => node.name),
        streams: infos,
        monotonicZeroNs: String(this.zero),
        pid: process.pid,
      },
      () => this.nowNs(),
    );
    this.journal = new ProberJournal(config.dir, config.drill);
    const firstNs = this.nowNs() + 100e6;
    this.streams = infos.map((info, id) => {
      const dueNs = Math.round(firstNs + (id * info.periodMs * 1e6) / infos.length);
      return new ProbeStream(id, info, dueNs, this.contextOf(info, infos));
    });
    const record = (entry: Entry): void => {
      this.ledger.add(entry);
      this.endTurnSoon();
    };
    const observe = {
      user: config.observe.user,
      password: config.observe.password === null ? null : resolveSecret(config.observe.password),
      database: config.paths[0]?.database ?? 'gameday',
    };
    this.sampler = new NodeSampler(config.nodes, observe, () => this.nowNs(), record);
    this.watcher = config.controller === null ? null : new ControllerWatch(config.controller, config.nodes, () => this.nowNs(), record);
    this.renewedNs = this.nowNs();
  }

  private contextOf(info: StreamInfo, infos: readonly StreamInfo[]): StreamContext {
    const { config } = this;
    const { settings } = config;
    const path = present(
      config.paths.find(({ name }) => name === info.path),
      `path ${info.path}`,
    );
    const isMain = (each: StreamInfo): boolean => each.client === 'tuned' && each.path === config.paths[0]?.name;
    const mains = infos.filter(isMain).length;
    const others = (infos.length - mains) * OTHER_CONNECTIONS;
    const share = Math.floor((settings.maxConnections - others) / Math.max(mains, 1));
    return {
      settings,
      door: {
        hosts: path.hosts,
        database: path.database,
        user: config.role.user,
        password: config.role.password === null ? null : resolveSecret(config.role.password),
        connectTimeoutMs: info.client === 'naive' ? null : settings.connectTimeoutMs,
        cancels: true,
      },
      table: config.table,
      maxConnections: isMain(info) ? Math.max(1, share) : OTHER_CONNECTIONS,
      readsFrom:
        settings.writeStreams === 0
          ? null
          : Math.max(
              0,
              infos.findIndex((each) => each.kind === 'write' && each.path === info.path && each.client === info.client),
            ),
      nowNs: () => this.nowNs(),
      nextConnectionId: () => ++this.connections,
      serverId: (postmasterStart, address) => this.serverId(postmasterStart, address),
      ledger: this.ledger,
      endTurnSoon: () => this.endTurnSoon(),
      observe: info.kind === infos[0]?.kind && isMain(info) ? (...finished) => this.figures.add(...finished) : () => undefined,
    };
  }

  private serverId(postmasterStart: string, address: string | null): number {
    const name = `${postmasterStart} ${address ?? ''}`;
    const known = this.servers.get(name);
    if (known !== undefined) return known;
    const server = this.servers.size + 1;
    // 0 means unknown; a record that names 65,535 servers has lost the thread anyway.
    if (server > 0xffff) return 0;
    this.servers.set(name, server);
    this.ledger.add({ kind: 'server', server, postmasterStart, address, atNs: this.nowNs() });
    return server;
  }

  start(): void {
    const facts = { pid: process.pid, streams: this.streams.length, table: this.config.table };
    this.journal.add('probe', 'started', 'the prober began to act as clients do', facts);
    this.tick();
  }

  nowNs(): number {
    return Number(process.hrtime.bigint() - this.zero);
  }

  renew(): null {
    this.renewedNs = this.nowNs();
    return null;
  }

  /**
   * The instant is in the kernel's hands before the caller learns it. Of an injection the first counts: an activity that is tried again after its
   * worker died asks again, and the fault may have bitten since the first time. Any other repeated receipt is a new one.
   */
  receipt(receipt: Receipt & { readonly facts?: JsonObject }): { atNs: string } {
    const first = receipt.name === 'inject' ? this.receipts.get(receiptKey(receipt)) : undefined;
    if (first !== undefined) return { atNs: String(first) };
    const atNs = this.nowNs();
    this.ledger.add({
      kind: 'receipt',
      atNs,
      name: receipt.name,
      phase: receipt.phase,
      subject: receipt.subject,
      facts: receipt.facts ?? {},
    });
    this.flush();
    this.receipts.set(receiptKey(receipt), atNs);
    const { name, phase, subject } = receipt;
    // While a question is open, or something is watched for, these come every second and faster; the ledger has them all.
    if (phase === 'done' || (phase === 'about-to' && name !== 'declare'))
      this.journal.add(subject, `${name} ${phase}`, `stamped: ${name} ${phase} ${subject}`, { atNs: String(atNs) });
    return { atNs: String(atNs) };
  }

  window(request: WindowRequest): WindowAnswer {
    let notBeforeNs: number | null = null;
    if (request.after !== null) {
      const found = this.receipts.get(receiptKey({ ...request.after, phase: 'done' }));
      if (found === undefined)
        return {
          good: false,
          reason: `no receipt "${request.after.name} done ${request.after.subject}" yet`,
          due: 0,
          succeeded: 0,
          p99Ms: null,
        };
      notBeforeNs = found;
    }
    const main = this.config.paths[0]?.name;
    const pending = this.streams
      .filter(({ info }) => info.kind === this.streams[0]?.info.kind && info.client === 'tuned' && info.path === main)
      .flatMap((stream) => [...stream.pendingDue()]);
    return this.figures.window(request, this.nowNs(), 0, notBeforeNs, pending);
  }

  status(): ProberStatus {
    const nowNs = this.nowNs();
    return {
      pid: process.pid,
      upMs: nowNs / 1e6,
      ...this.figures.totals,
      lastSecond: this.figures.lastSecond(nowNs),
      outageMs: this.figures.outageMs(nowNs),
      onTimeRatio: this.tally.due === 0 ? 1 : this.tally.onTime / this.tally.due,
      loopBusyMs: performance.eventLoopUtilization().active,
      ledgerBytes: this.ledger.bytes,
      nodes: this.sampler.newest().map(({ node, role, timeline }) => ({ node, role, timeline })),
    };
  }

  /** Ends writing and sampling, awaits what is in flight up to the client deadline, closes the ledger. Idempotent. */
  stop(reason: string): Promise<ProberStatus> {
    this.ended ??= this.end(reason);
    return this.ended;
  }

  private async end(reason: string): Promise<ProberStatus> {
    for (const stream of this.streams) stream.stop();
    const drained = (): true | null => (this.streams.some((stream) => stream.busy) ? null : true);
    await until(drained, { timeoutMs: this.config.settings.clientDeadlineMs, everyMs: 5, onTimeout: () => new Error('not drained') }).catch(
      () => undefined,
    );
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const status = this.status();
    this.sampler.stop();
    this.watcher?.stop();
    for (const stream of this.streams) stream.close(this.nowNs());
    this.watch(this.nowNs());
    this.ledger.add({ kind: 'end', atNs: this.nowNs(), reason });
    this.ledger.close();
    const { due, acked, rejected, indeterminate, missed } = status;
    this.journal.add('probe', 'ended', `the prober ended: ${reason}`, { reason, due, acked, rejected, indeterminate, missed });
    return { ...status, ledgerBytes: this.ledger.bytes };
  }

  private tick(): void {
    const nowNs = this.nowNs();
    const { tally, streams } = this;
    for (const stream of streams) stream.tick(nowNs, tally);
    this.dispatch(false);
    for (const stream of streams) stream.keepConnections(nowNs);
    if (tally.lateFromNs !== Infinity) {
      this.ledger.add({ kind: 'starved', fromNs: tally.lateFromNs, toNs: nowNs });
      tally.lateFromNs = Infinity;
      this.endTurnSoon();
    }
    if (nowNs - this.lastWatchNs >= 1e9) this.watch(nowNs);
    if (nowNs - this.renewedNs > this.config.leaseMs * 1e6) return void leave(this, 'nobody renewed the lease');
    let nextNs = nowNs + MAX_SLEEP_NS;
    for (const stream of streams) nextNs = Math.min(nextNs, stream.nextWake);
    // Node's timers have a resolution of 1 ms; rounding up is late by at most that, well below δ, and costs no spinning.
    this.timer = setTimeout(this.onTick, Math.max(1, Math.ceil((nextNs - this.nowNs()) / 1e6)));
  }

  private readonly onTick = (): void => this.tick();

  private watch(nowNs: number): void {
    this.lastWatchNs = nowNs;
    this.ledger.add({ kind: 'watch', atNs: nowNs, due: this.tally.due, onTime: this.tally.onTime });
    this.endTurnSoon();
  }

  /** Not before one more pass of the event loop: a group commit wakes several servers' sessions, and what they answer together goes to the kernel together. */
  private endTurnSoon(): void {
    if (this.endOfTurnAsked) return;
    this.endOfTurnAsked = true;
    setImmediate(this.onTurn);
  }

  private readonly onTurn = (): void => void setImmediate(this.onEndOfTurn);

  /** Whatever was answered in one turn of the event loop, its outcomes and the next intents go to the kernel in one write. */
  private readonly onEndOfTurn = (): void => {
    this.endOfTurnAsked = false;
    if (this.ended === null || this.timer !== null) this.dispatch(true);
  };

  /** Intents first, of all streams in one write to the kernel; only then anything is sent. `always`: also write if nothing is to be sent. */
  private dispatch(always: boolean): void {
    let mustWrite = always;
    const sentNs = this.nowNs();
    for (const stream of this.streams) if (stream.prepare(sentNs)) mustWrite = true;
    if (mustWrite) this.flush();
    for (const stream of this.streams) stream.sendPrepared();
  }

  private flush(): void {
    try {
      this.ledger.flush();
    } catch (error) {
      // Without a ledger there is no measurement: better absent, which the judge sees, than blind.
      process.stderr.write(`prober: ${messageOf(error)}\n`);
      process.exit(75);
    }
  }
}

function receiptKey(receipt: Receipt): string {
  return `${receipt.name} ${receipt.phase} ${receipt.subject}`;
}

/** Makes the table through the same door that the writes take. No unique constraint: a row that came twice must stay visible. */
async function prepareTable(config: ProberConfig): Promise<void> {
  assert(/^[a-z][a-z0-9_]{0,62}$/.test(config.table), `"${config.table}" is a plain table name`);
  const password = config.role.password === null ? null : resolveSecret(config.role.password);
  const [path] = config.paths;
  const statements = [
    `CREATE TABLE IF NOT EXISTS gameday.${config.table} (stream integer NOT NULL, seq bigint NOT NULL, sent_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
    `CREATE INDEX IF NOT EXISTS ${config.table}_order ON gameday.${config.table} (stream, seq)`,
  ];
  let turn = 0;
  // Of several hosts the one that takes writes is found by trying.
  const make = (): Promise<boolean> => {
    const host = present(path?.hosts[turn++ % path.hosts.length], 'a host');
    return withSql({ ...host, user: config.role.user, password, database: path?.database ?? 'gameday' }, async (sql) => {
      for (const statement of statements) await sql.query(statement);
      return true;
    });
  };
  await until(make, {
    timeoutMs: PREPARE_TIMEOUT_MS,
    everyMs: 250,
    onTimeout: (last) => new GamedayError('database_unreachable', `the prober could not make gameday.${config.table}: ${messageOf(last)}`),
  });
}

/**
 * The ruler must not wait for what it measures: real-time priority where the machine allows it, else a lower nice value, else none. What it
 * still was late is recorded as starved, whichever it got.
 */
function raisePriority(): void {
  if (spawnSync('chrt', ['--fifo', '--pid', '1', String(process.pid)], { stdio: 'ignore', timeout: 2_000 }).status === 0) return;
  try {
    setPriority(-10);
  } catch {
    // An ordinary user may not.
  }
}

let server: RpcServer | null = null;

async function leave(prober: Prober, reason: string): Promise<void> {
  try {
    await prober.stop(reason);
    await server?.close();
    process.exit(0);
  } catch (error) {
    process.stderr.write(`prober: ${messageOf(error)}\n`);
    process.exit(70);
  }
}

async function main(): Promise<void> {
  const config = JSON.parse(readFileSync(present(process.argv[2], 'the path of the configuration'), 'utf8')) as ProberConfig;
  raisePriority();
  if (config.settings.writeStreams > 0) await prepareTable(config);
  const prober = new Prober(config);
  server = await serveRpc(config.socket, {
    status: () => prober.status(),
    renew: () => prober.renew(),
    receipt: (receipt: Receipt & { readonly facts?: JsonObject }) => prober.receipt(receipt),
    window: (request: WindowRequest) => prober.window(request),
    stop: async () => {
      const status = await prober.stop('stop was called');
      // The answer must leave before the socket closes.
      void sleep(50).then(() => leave(prober, 'stop was called'));
      return status;
    },
  });
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => void leave(prober, name));
  prober.start();
}

main().catch((error: unknown) => {
  process.stderr.write(`prober: ${messageOf(error)}\n`);
  process.exit(error instanceof GamedayError ? error.exit : 70);
});
