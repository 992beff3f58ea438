/**
 * One restore of `bench:restore` in each of its ways: the same settings of the same server, the same end of the clock. The native one runs in a process of
 * its own, whose memory is watched. Each leaves nothing behind.
 */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { monotonicNs, until } from '../../core/clock';
import { descendants, run } from '../../core/process';
import type { Target } from '../../model/target';
import { PATIENT_RETRY } from '../../objects/store-retry';
import { openArchiveStore } from '../../targets/archives/archive-store';
import { readManifest } from '../../targets/archives/base-backup';
import { restoreBase } from '../../targets/archives/base-restore';
import {
  createSandbox,
  readControl,
  removeSandboxDirectory,
  sandboxPlace,
  sandboxSettings,
  startSandbox,
  SANDBOX_PORT,
  type SandboxPlace,
} from '../../targets/archives/sandbox-server';
import { walPlan } from '../../targets/archives/native-source';
import { Unpacker } from '../../targets/archives/unpacker';
import { WalFeeder } from '../../targets/archives/wal-feeder';
import { walFetcher } from '../../targets/archives/wal-fetch';
import { walNameOfKey } from '../../targets/archives/wal-object';
import { withSql } from '../../targets/sql';
import { RESTORE_POINT, type RestoreGround } from './restore-ground';

export interface Measured {
  readonly baseS: number;
  readonly replayS: number;
  /** 0 where it is not watched. */
  readonly maxRssMb: number;
}

export type Runner = (ground: RestoreGround, latencyMs: number) => Promise<Measured>;

const LIMIT_MS = 300_000;

const secondsSince = (startNs: bigint): number => Number(monotonicNs() - startNs) / 1e9;

/** What earlier runs left to be written must not burden the next. */
export function settle(): void {
  execFileSync('sync');
}

/**
 * Starts the server on the restored files and resolves when it stopped at the restore point and takes writes. Throws if it did anything else. Whoever fetches WAL
 * from the store itself has the network; the others are cut off from it, as the product does.
 */
async function replay(place: SandboxPlace, restoreCommand: string, withoutNetwork = true): Promise<number> {
  const signal = AbortSignal.timeout(LIMIT_MS);
  const target = {
    backup: '',
    timeline: 1,
    setting: 'recovery_target_name',
    value: RESTORE_POINT,
    inclusive: true,
    lastSegment: '',
  } as const;
  const settings = sandboxSettings(place, target, restoreCommand, await readControl(place, signal));
  const start = monotonicNs();
  await startSandbox(place, settings, signal, withoutNetwork);
  await until(() => (/database system is (ready to accept connections|shut down$)/m.test(logOf(place)) ? true : null), {
    timeoutMs: LIMIT_MS,
    everyMs: 10,
    onTimeout: () => new Error(`recovery did not end: ${logOf(place).slice(-2_000)}`),
  });
  const seconds = secondsSince(start);
  if (!logOf(place).includes(`recovery stopping at restore point "${RESTORE_POINT}"`))
    throw new Error(`not at the target: ${logOf(place).slice(-2_000)}`);
  return seconds;
}

const logOf = (place: SandboxPlace): string => (existsSync(place.logFile) ? readFileSync(place.logFile, 'utf8') : '');

/** The rows that were there at the restore point, no more and no fewer. */
async function checkRows(place: SandboxPlace, expected: string): Promise<void> {
  const rows = await withSql({ host: place.dir, port: SANDBOX_PORT, user: 'postgres', password: null, database: 'postgres' }, (sql) =>
    sql.query('select count(*)::text as n from pgbench_history'),
  );
  if (rows[0]?.['n'] !== expected) throw new Error(`${rows[0]?.['n']} rows were restored, ${expected} were there`);
}

async function inSandbox(
  ground: RestoreGround,
  target: Target,
  name: string,
  work: (place: SandboxPlace) => Promise<Measured>,
): Promise<Measured> {
  const place = sandboxPlace(target, join(ground.dir, 'sb', name));
  await createSandbox(target, place, { bench: 'restore' });
  try {
    const measured = await work(place);
    await checkRows(place, ground.rows);
    return measured;
  } finally {
    await removeSandboxDirectory(target, place.dir);
  }
}

/** The least that any restore does: copies the files that are there already, and replays WAL that lies in pg_wal. */
export async function runFloor(ground: RestoreGround): Promise<Measured> {
  const target = await ground.target(0);
  const kept = await keepPlain(ground, target);
  return inSandbox(ground, target, 'floor', async (place) => {
    const start = monotonicNs();
    execFileSync('cp', ['-a', `${kept}/data/.`, place.dataDir]);
    const baseS = secondsSince(start);
    execFileSync('cp', ['-a', `${kept}/wal/.`, join(place.dataDir, 'pg_wal')]);
    settle();
    return { baseS, replayS: await replay(place, '/bin/false'), maxRssMb: 0 };
  });
}

/** The base files and the segments as they are after a restore, made once. */
async function keepPlain(ground: RestoreGround, target: Target): Promise<string> {
  const dir = join(ground.dir, 'plain');
  if (existsSync(join(dir, 'complete'))) return dir;
  const { uid, gid } = ground.who;
  for (const path of [dir, join(dir, 'wal')]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chownSync(path, uid, gid);
  }
  const store = openArchiveStore(target, null);
  const signal = AbortSignal.timeout(LIMIT_MS);
  const unpacker = new Unpacker();
  await restoreBase({
    store,
    unpacker,
    manifest: ground.manifest,
    dataDir: join(dir, 'data'),
    journal: join(dir, 'journal'),
    owner: ground.who,
    signal,
    onBytes: () => undefined,
  });
  const fetchWal = walFetcher({ store, unpacker, systemIdentifier: target.systemIdentifier, sizes: new Map() });
  for (const name of ground.segments) {
    await fetchWal(name, join(dir, 'wal', name), signal);
    chownSync(join(dir, 'wal', name), uid, gid);
  }
  await unpacker.close();
  mkdirSync(join(dir, 'complete'));
  return dir;
}

interface NativeOrder {
  readonly target: Target;
  readonly backup: string;
  readonly segments: readonly string[];
}

/** In this process: the child of `runNative`. Prints what it measured. */
export async function restoreHere(order: string): Promise<void> {
  const { target, backup, segments } = JSON.parse(order) as NativeOrder;
  const store = openArchiveStore(target, null, PATIENT_RETRY);
  const place = sandboxPlace(target, join(target.sandbox?.dir ?? '', 'native'));
  const signal = AbortSignal.timeout(LIMIT_MS);
  const start = monotonicNs();
  const manifest = await readManifest(store, backup);
  const sizes = new Map<string, number>();
  for await (const { key, bytes } of store.list('wal/00000001/')) sizes.set(walNameOfKey(key) ?? '', bytes);
  const unpacker = new Unpacker();
  const fetch = walFetcher({ store, unpacker, systemIdentifier: target.systemIdentifier, sizes });
  const plan = walPlan(segments, { timeline: 1, setting: 'recovery_target_name', value: RESTORE_POINT });
  const feeder = new WalFeeder({ dir: place.walDir, owner: place.owner, plan, fetch, onDelivered: () => undefined });
  try {
    const restoreCommand = await feeder.start();
    const journal = join(place.dir, 'base.json');
    await restoreBase({ store, unpacker, manifest, dataDir: place.dataDir, journal, owner: place.owner, signal, onBytes: () => undefined });
    const baseS = secondsSince(start);
    const replayS = await replay(place, restoreCommand);
    process.stdout.write(`${JSON.stringify({ baseS, replayS, cpu: process.resourceUsage() })}\n`);
  } finally {
    await feeder.stop();
    await unpacker.close();
  }
}

/** Resident memory of a process and all below it. One that was forked and is no other program yet shares its parent's pages, and is not counted. */
function treeRssMb(pid: number): number {
  const read = (id: number, file: string): string => {
    try {
      return readFileSync(`/proc/${id}/${file}`, 'utf8');
    } catch {
      return '';
    }
  };
  const pages = (id: number): number => Number(read(id, 'statm').split(' ')[1] ?? 0);
  const own = read(pid, 'cmdline');
  const below = descendants(pid).filter((each) => read(each.pid, 'cmdline') !== own);
  return ([pid, ...below.map((each) => each.pid)].reduce((sum, id) => sum + pages(id), 0) * 4_096) / 1e6;
}

export async function runNative(ground: RestoreGround, latencyMs: number): Promise<Measured> {
  const target = await ground.target(latencyMs);
  return inSandbox(ground, target, 'native', async () => {
    const order: NativeOrder = { target, backup: ground.manifest.name, segments: ground.segments };
    const child = spawn(process.execPath, [process.argv[1] ?? '', '--here', JSON.stringify(order)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let [maxRssMb, printed] = [0, ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
    const watching = setInterval(() => (maxRssMb = Math.max(maxRssMb, treeRssMb(child.pid ?? 0))), 50);
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    clearInterval(watching);
    if (code !== 0) throw new Error(`the native restore ended with ${code}`);
    const { baseS, replayS, cpu } = JSON.parse(printed) as {
      baseS: number;
      replayS: number;
      cpu: { userCPUTime: number; systemCPUTime: number };
    };
    process.stderr.write(`  processor time of the native restore: ${((cpu.userCPUTime + cpu.systemCPUTime) / 1e6).toFixed(1)} s\n`);
    return { baseS, replayS, maxRssMb };
  });
}

export async function runPgbackrest(ground: RestoreGround, latencyMs: number): Promise<Measured> {
  const target = await ground.target(latencyMs);
  return inSandbox(ground, target, 'pgbackrest', async (place) => {
    const config = await ground.pgbackrest(place.dataDir, latencyMs);
    for (const name of readdirSync(join(ground.dir, 'spool'))) rmSync(join(ground.dir, 'spool', name), { recursive: true });
    const base = ['pgbackrest', `--config=${config}`, '--stanza=bench'];
    const options = [
      `--set=${ground.pgbackrestLabel}`,
      '--type=name',
      `--target=${RESTORE_POINT}`,
      '--target-timeline=1',
      '--archive-mode=off',
    ];
    const start = monotonicNs();
    const result = await run([...base, 'restore', ...options], { timeoutMs: LIMIT_MS, ...ground.who, env: { PATH: '/usr/bin:/bin' } });
    if (result.code !== 0) throw new Error(`pgbackrest restore: ${result.stdout}${result.stderr}`);
    const baseS = secondsSince(start);
    const replayS = await replay(place, `${base.join(' ')} archive-get %f "%p"`, false);
    return { baseS, replayS, maxRssMb: 0 };
  });
}

/** `backup-fetch` and `wal-fetch` as they are by themselves, with the prefetch. */
export async function runWalG(ground: RestoreGround, latencyMs: number): Promise<Measured> {
  const { walG } = ground;
  if (walG === null) throw new Error('WAL-G takes no part');
  const target = await ground.target(latencyMs);
  return inSandbox(ground, target, 'wal-g', async (place) => {
    const words = await walG.words(latencyMs);
    const start = monotonicNs();
    const options = { timeoutMs: LIMIT_MS, ...ground.who, env: { PATH: '/usr/bin:/bin' } };
    const result = await run([...words, 'backup-fetch', place.dataDir, walG.backup], options);
    if (result.code !== 0) throw new Error(`wal-g backup-fetch: ${result.stderr}`);
    const baseS = secondsSince(start);
    const replayS = await replay(place, `${words.join(' ')} wal-fetch "%f" "%p" >/dev/null 2>&1`, false);
    return { baseS, replayS, maxRssMb: 0 };
  });
}

/** `barman-cloud-restore`, and `barman-cloud-wal-restore` for each segment by itself: it fetches nothing ahead. */
export async function runBarmanCloud(ground: RestoreGround, latencyMs: number): Promise<Measured> {
  const { barman } = ground;
  if (barman === null) throw new Error('barman-cloud is not installed');
  const target = await ground.target(latencyMs);
  return inSandbox(ground, target, 'barman', async (place) => {
    const words = await barman.words('restore', latencyMs);
    const start = monotonicNs();
    const options = { timeoutMs: LIMIT_MS, ...ground.who, env: { PATH: '/usr/bin:/bin' } };
    const result = await run([...words, barman.backup, place.dataDir], options);
    if (result.code !== 0) throw new Error(`barman-cloud-restore: ${result.stderr}`);
    chmodSync(place.dataDir, 0o700);
    const baseS = secondsSince(start);
    const fetch = (await barman.words('wal-restore', latencyMs)).join(' ');
    const replayS = await replay(place, `${fetch} %f "%p" >/dev/null 2>&1`, false);
    return { baseS, replayS, maxRssMb: 0 };
  });
}
