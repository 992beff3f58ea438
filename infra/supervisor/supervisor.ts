/**
 * The supervisor: `node dist/infra/supervisor/supervisor.js --home DIR`. Keeps guardian, worker, probers and the lab's servers alive.
 * Its children are on disk before it answers, so one that replaces a killed supervisor adopts them; it never starts a second one of a name.
 * Ending it (SIGTERM) leaves its children running; the call `shutdown` stops them first.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { canonicalJson } from '../../core/canonical-json';
import { bootTimeMs, nowUtc, sleep, until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { readJsonFile, writeFileDurably } from '../../core/files';
import { homePaths } from '../../core/home';
import { isAlive, type ProcessId } from '../../core/process';
import { serveRpc, type RpcServer } from '../../core/rpc';
import { holdLock } from '../lab/lock';
import { endChild, findChild, isReady, logTail, spawnChild } from './children';
import type { ChildRecord, ChildSpec, ChildView, SupervisorState, SupervisorStatus } from './contract';

const POLL_MS = 200;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MOST_MS = 5_000;
/** A child that ran this long starts again without delay. */
const STABLE_MS = 10_000;
const MAX_CHILDREN = 100;
const READY_TIMEOUT_MS = 20_000;

/** Mutable, in memory; its `record` is what the state file says. */
interface Child {
  record: ChildRecord;
  handle: ChildProcess | null;
  startedAtMs: number;
  backoffMs: number;
  notBeforeMs: number;
  queue: Promise<unknown>;
}

export interface Supervisor {
  status(): SupervisorStatus;
  start(spec: ChildSpec): Promise<ChildView>;
  stop(name: string): Promise<ChildView | null>;
  restart(name: string): Promise<ChildView>;
  ensure(name: string): Promise<ChildView>;
  leaveDown(name: string): Promise<ChildView>;
  shutdown(): Promise<void>;
}

function log(text: string, facts: Record<string, unknown> = {}): void {
  process.stdout.write(`${JSON.stringify({ time: nowUtc(), text, ...facts })}\n`);
}

/** Reads the state file, adopts what lives, and watches. `ended` is called after a shutdown. */
export function openSupervisor(home: string, ended: () => void): Supervisor {
  const { run: runDir, logs } = homePaths(home);
  const stateFile = join(runDir, 'supervisor.json');
  const startedAt = nowUtc();
  const children = new Map<string, Child>();
  let closing = false;

  const logFileOf = (name: string): string => join(logs, `${name}.log`);
  const persist = (): void => {
    const state: SupervisorState = { formatVersion: 1, children: [...children.values()].map((child) => child.record) };
    writeFileDurably(stateFile, JSON.stringify(state, null, 2));
  };
  const change = (child: Child, part: Partial<ChildRecord>): void => {
    child.record = { ...child.record, ...part };
    persist();
  };
  const live = (child: Child): ProcessId | null => {
    const id = child.record.process;
    return id !== null && isAlive(id) ? id : null;
  };
  const view = (child: Child): ChildView => ({
    name: child.record.spec.name,
    running: live(child) !== null,
    pid: live(child)?.pid ?? null,
    restarts: child.record.restarts,
    lastEnd: child.record.lastEnd,
    logFile: logFileOf(child.record.spec.name),
    argv: child.record.spec.argv,
    startedAt: child.record.startedAt,
  });
  /** What concerns one child happens one after the other. */
  const serial = <T>(child: Child, work: () => Promise<T>): Promise<T> => {
    const next = child.queue.then(work, work);
    child.queue = next.catch(() => undefined);
    return next;
  };

  async function launch(child: Child): Promise<void> {
    const { spec } = child.record;
    const found = findChild(spec, runDir, child.record.process);
    if (found !== null) return change(child, { process: found, wanted: true });
    // Wanted before started: whoever comes after a crash here looks for it in the process table.
    const again = child.record.startedAt !== null;
    change(child, { wanted: true, process: null });
    const { child: handle, id } = await spawnChild(spec, runDir, logFileOf(spec.name));
    child.handle = handle;
    child.startedAtMs = bootTimeMs();
    handle.once('exit', (code, signal) => {
      if (child.handle !== handle) return;
      child.handle = null;
      change(child, { lastEnd: signal === null ? `exit ${code}` : `signal ${signal}` });
      log('child ended', { child: spec.name, code, signal });
    });
    change(child, { process: id, startedAt: nowUtc(), restarts: child.record.restarts + (again ? 1 : 0) });
    log('child started', { child: spec.name, pid: id?.pid ?? null });
  }

  async function halt(child: Child): Promise<void> {
    change(child, { wanted: false });
    const id = findChild(child.record.spec, runDir, child.record.process);
    if (id !== null) await endChild(id, child.record.spec.stopGraceMs);
    change(child, { process: null });
  }

  async function awaitReady(child: Child): Promise<void> {
    const { spec } = child.record;
    const when = spec.readyWhen ?? null;
    if (when === null) return;
    const timeoutMs = spec.readyTimeoutMs ?? READY_TIMEOUT_MS;
    const logFile = logFileOf(spec.name);
    const problem = (what: string): GamedayError =>
      new GamedayError('lab_failed', `${spec.name} ${what}: ${logTail(logFile) || 'its log is empty'}`, `read ${logFile}.`);
    const outcome = await until(
      async () => {
        if (await isReady(when)) return 'ready';
        return live(child) === null && child.record.lastEnd !== null ? 'ended' : null;
      },
      { timeoutMs, everyMs: 25, onTimeout: () => problem(`did not get ready within ${timeoutMs} ms`) },
    );
    if (outcome === 'ended' && !(await isReady(when))) {
      const end = child.record.lastEnd;
      await halt(child);
      throw problem(`ended at once (${end})`);
    }
  }

  async function start(spec: ChildSpec): Promise<ChildView> {
    if (closing) throw new GamedayError('supervisor_unreachable', 'the supervisor is shutting down');
    if (!/^[a-z0-9][a-z0-9-]{0,79}$/.test(spec.name))
      throw new GamedayError('internal', `supervisor: "${spec.name}" is no name for a child`);
    let child = children.get(spec.name);
    if (child === undefined) {
      forgetEnded();
      if (children.size >= MAX_CHILDREN) throw new GamedayError('internal', `supervisor: more than ${MAX_CHILDREN} children`);
      child = {
        record: { spec, wanted: false, process: null, restarts: 0, lastEnd: null, startedAt: null },
        handle: null,
        startedAtMs: 0,
        backoffMs: 0,
        notBeforeMs: 0,
        queue: Promise.resolve(),
      };
      children.set(spec.name, child);
    }
    const own = child;
    return serial(own, async () => {
      if (canonicalJson(own.record.spec) !== canonicalJson(spec)) {
        await halt(own);
        change(own, { spec });
      }
      if (live(own) === null) {
        // Asked for anew: what happened in its life before is history.
        change(own, own.record.wanted ? { lastEnd: null } : { lastEnd: null, restarts: 0, startedAt: null });
        await launch(own);
      }
      await awaitReady(own);
      return view(own);
    });
  }

  /** Probers of finished drills do not pile up. */
  function forgetEnded(): void {
    if (children.size < MAX_CHILDREN / 2) return;
    for (const [name, child] of children) if (!child.record.spec.restart && live(child) === null) children.delete(name);
  }

  function reviveEnded(): void {
    const now = bootTimeMs();
    for (const child of children.values()) {
      const { wanted, spec, process: id } = child.record;
      if (!wanted || live(child) !== null) continue;
      if (!spec.restart) {
        if (id !== null) change(child, { wanted: false, process: null, lastEnd: child.record.lastEnd ?? 'gone' });
        continue;
      }
      if (child.startedAtMs > 0 && now - child.startedAtMs >= STABLE_MS) child.backoffMs = 0;
      if (child.notBeforeMs === 0) child.notBeforeMs = now + child.backoffMs;
      if (now < child.notBeforeMs) continue;
      child.notBeforeMs = 0;
      child.backoffMs = Math.min(BACKOFF_MOST_MS, Math.max(BACKOFF_FIRST_MS, child.backoffMs * 2));
      void serial(child, async () => {
        if (child.record.wanted && live(child) === null && !closing) await launch(child);
      }).catch((error: unknown) => log('child could not be started', { child: spec.name, error: messageOf(error) }));
    }
  }

  async function watch(): Promise<void> {
    while (!closing) {
      try {
        reviveEnded();
      } catch (error) {
        log('watch failed', { error: messageOf(error) });
      }
      await sleep(POLL_MS);
    }
  }

  for (const record of readJsonFile<SupervisorState>(stateFile)?.children ?? []) {
    const process = record.wanted ? findChild(record.spec, runDir, record.process) : null;
    children.set(record.spec.name, {
      record: { ...record, process: process ?? record.process },
      handle: null,
      startedAtMs: 0,
      backoffMs: 0,
      notBeforeMs: 0,
      queue: Promise.resolve(),
    });
    if (process !== null) log('child adopted', { child: record.spec.name, pid: process.pid });
  }
  persist();
  void watch();

  const named = (name: string): Child => {
    const child = children.get(name);
    if (child === undefined)
      throw new GamedayError('lab_failed', `the supervisor knows no child "${name}"`, '`gameday lab status` lists them.');
    return child;
  };
  return {
    status: () => ({ pid: process.pid, startedAt, children: [...children.values()].map(view) }),
    start,
    async stop(name) {
      const child = children.get(name);
      if (child === undefined) return null;
      return serial(child, async () => {
        await halt(child);
        return view(child);
      });
    },
    async restart(name) {
      const child = named(name);
      return serial(child, async () => {
        await halt(child);
        await launch(child);
        await awaitReady(child);
        return view(child);
      });
    },
    async ensure(name) {
      const child = named(name);
      return serial(child, async () => {
        if (live(child) === null) await launch(child);
        else change(child, { wanted: true });
        await awaitReady(child);
        return view(child);
      });
    },
    async leaveDown(name) {
      const child = named(name);
      return serial(child, async () => {
        change(child, { wanted: false });
        return view(child);
      });
    },
    async shutdown() {
      closing = true;
      for (const child of [...children.values()].reverse()) await serial(child, () => halt(child));
      ended();
    },
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { home: { type: 'string' } } });
  const home = resolve(values.home ?? '.gameday');
  const { run: runDir } = homePaths(home);
  mkdirSync(runDir, { recursive: true });
  const lock = await holdLock(join(runDir, 'supervisor.lock'), 10_000, 'another supervisor of this home');
  let server: RpcServer | null = null;
  const end = (): void => {
    log('supervisor ends');
    void (async () => {
      // The answer to `shutdown` leaves before the socket closes.
      await sleep(50);
      await server?.close();
      await lock.release();
      process.exit(0);
    })();
  };
  const supervisor = openSupervisor(home, end);
  server = await serveRpc(join(runDir, 'supervisor.sock'), {
    status: () => supervisor.status(),
    start: (spec: ChildSpec) => supervisor.start(spec),
    stop: ({ name }: { name: string }) => supervisor.stop(name),
    restart: ({ name }: { name: string }) => supervisor.restart(name),
    ensure: ({ name }: { name: string }) => supervisor.ensure(name),
    leaveDown: ({ name }: { name: string }) => supervisor.leaveDown(name),
    shutdown: () => supervisor.shutdown(),
  });
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  process.on('SIGHUP', () => undefined);
  log('supervisor runs', { pid: process.pid, home });
}

if (require.main === module) {
  main().catch((error: unknown) => {
    log('supervisor failed', { error: messageOf(error) });
    process.exit(error instanceof GamedayError ? error.exit : 70);
  });
}
