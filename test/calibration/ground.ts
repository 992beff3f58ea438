/**
 * What the prober is calibrated on: a primary and two standbys with quorum commit, each on its own loopback address, and a door before the primary
 * (`door.js`). Everything lies under one temporary directory and is stopped and removed by `stop`.
 */
import { execFileSync, fork, spawn, type ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { lookUpUser } from '../../core/process';
import { locateTools } from '../../infra/tools';
import type { ProbeSettings } from '../../model/plan';
import { openProber } from '../../probe/client';
import type { ProberCalls, ProberConfig, ProbePath } from '../../probe/contract';
import { withSql, type SqlAddress } from '../../targets/sql';

const PORT = 5432;
/** statfs(2), `TMPFS_MAGIC`. */
const TMPFS = 0x01021994;
/** Three nodes with their WAL, and a ledger. */
const MEMORY_BYTES = 6 * 1024 ** 3;
const root = process.getuid?.() === 0;

/** What the door's process stamps around a verb, in ns of the machine's monotonic clock. */
export interface DoorStamp {
  readonly beforeNs: bigint;
  readonly afterNs: bigint;
}
export interface Door {
  readonly host: string;
  readonly port: number;
  act(verb: 'open' | 'cut' | 'freeze' | 'restore'): Promise<DoorStamp>;
  stop(): void;
}

export interface Ground {
  readonly base: string;
  readonly primary: SqlAddress;
  readonly standbys: readonly SqlAddress[];
  readonly door: Door;
  /** Process id of a node's postmaster; n1 is the primary. */
  postmaster(node: 'n1' | 'n2' | 'n3'): number;
  startProber(name: string, options: ProberOptions): Promise<RunningProber>;
  stop(): void;
}

export interface ProberOptions {
  readonly settings: ProbeSettings;
  readonly paths?: readonly ProbePath[];
}
export interface RunningProber {
  readonly child: ChildProcess;
  readonly config: ProberConfig;
  readonly calls: ProberCalls;
}

export const CALIBRATION_SETTINGS: ProbeSettings = {
  periodMs: 5,
  writeStreams: 1,
  readStreams: 0,
  paths: [],
  naive: false,
  otherPeriodMs: 50,
  maxConnections: 24,
  clientDeadlineMs: 1_000,
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 900,
  minWritesDue: 100,
};

function pg(tool: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): void {
  const command = join(locateTools().postgresBin, tool);
  const runuser = ['/usr/sbin/runuser', '/sbin/runuser'].find((path) => existsSync(path)) ?? 'runuser';
  const [file, argv] = root ? [runuser, ['-u', 'postgres', '--', command, ...args]] : [command, [...args]];
  execFileSync(file, argv, { cwd: '/', stdio: 'ignore', env });
}

async function openDoor(host: string, port: number, upstream: SqlAddress): Promise<Door> {
  const file = join(packageRoot(), 'test', 'calibration', 'door.js');
  const child = fork(file, [host, String(port), upstream.host, String(upstream.port)], { execArgv: [] });
  let newest = 0;
  const waiting = new Map<number, (stamp: DoorStamp) => void>();
  child.on('message', (message: { id: number; beforeNs: string; afterNs: string }) => {
    waiting.get(message.id)?.({ beforeNs: BigInt(message.beforeNs), afterNs: BigInt(message.afterNs) });
    waiting.delete(message.id);
  });
  const door: Door = {
    host,
    port,
    act: (verb) =>
      new Promise((resolve) => {
        newest += 1;
        waiting.set(newest, resolve);
        child.send({ id: newest, verb });
      }),
    stop: () => void child.kill('SIGKILL'),
  };
  await door.act('open');
  return door;
}

/**
 * Where outages are made of exactly known length no other may happen: a disk that stalls for 50 ms is one of unknown length. In memory there is none to
 * stall. Null where this machine gives no memory for files, or too little of it.
 */
function placeInMemory(): string | null {
  const place = '/dev/shm';
  try {
    const { type, bavail, bsize } = statfsSync(place);
    return type === TMPFS && bavail * bsize >= MEMORY_BYTES ? place : null;
  } catch {
    return null;
  }
}

/** `net`: the first three bytes of the addresses, e.g. 127.0.65. `memory`: no disk under it, where the machine can. Takes about 5 s. */
export async function startGround(net: string, under: 'disk' | 'memory'): Promise<Ground> {
  const base = mkdtempSync(join((under === 'memory' ? placeInMemory() : null) ?? tmpdir(), 'gd-calibration-'));
  chmodSync(base, 0o755);
  const nodes = ['n1', 'n2', 'n3'].map((name, at) => ({
    name,
    host: `${net}.${21 + at}`,
    dir: join(base, name),
    data: join(base, name, 'data'),
  }));
  const own = (path: string): void => {
    mkdirSync(path);
    if (!root) return;
    const { uid, gid } = lookUpUser('postgres');
    chownSync(path, uid, gid);
  };
  for (const node of nodes) own(node.dir);
  const [first, ...others] = nodes as [(typeof nodes)[number], ...(typeof nodes)[number][]];
  const conf = ({ host, dir, name }: (typeof nodes)[number]): string =>
    `listen_addresses='${host}'\nport=${PORT}\nunix_socket_directories='${dir}'\ncluster_name='${name}'\nshared_buffers=64MB\nmax_wal_size=1GB\n`;
  const started: typeof nodes = [];
  const children: ChildProcess[] = [];
  let door: Door | null = null;
  const stop = (): void => {
    for (const child of children) child.kill('SIGKILL');
    door?.stop();
    for (const node of [...started].reverse()) pg('pg_ctl', ['-D', node.data, '-m', 'immediate', '-w', 'stop']);
    rmSync(base, { recursive: true, force: true });
  };
  const start = (node: (typeof nodes)[number]): void => {
    pg('pg_ctl', ['-D', node.data, '-l', join(node.dir, 'log'), '-w', 'start']);
    started.push(node);
  };
  const addressOf = (host: string): SqlAddress => ({ host, port: PORT, user: 'postgres', password: null, database: 'postgres' });
  try {
    pg('initdb', ['-D', first.data, '-A', 'trust', '-U', 'postgres', '--no-sync']);
    appendFileSync(join(first.data, 'postgresql.conf'), conf(first));
    appendFileSync(join(first.data, 'pg_hba.conf'), 'host all all 127.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\n');
    start(first);
    const primary = addressOf(first.host);
    await withSql(primary, async (sql) => {
      await sql.query('CREATE SCHEMA gameday');
      await sql.query(
        'CREATE TABLE gameday.connect_commit (stream integer NOT NULL, seq bigint NOT NULL, sent_at timestamptz NOT NULL DEFAULT clock_timestamp())',
      );
    });
    for (const node of others) {
      pg('pg_basebackup', [
        '-D',
        node.data,
        '-h',
        first.host,
        '-p',
        String(PORT),
        '-U',
        'postgres',
        '-R',
        '-X',
        'stream',
        '--checkpoint=fast',
      ]);
      appendFileSync(join(node.data, 'postgresql.conf'), conf(node));
      start(node);
    }
    await withSql(primary, async (sql) => {
      await sql.query(`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (${others.map(({ name }) => name).join(', ')})'`);
      await sql.query('SELECT pg_reload_conf()');
    });
    door = await openDoor(`${net}.10`, PORT, primary);
    const ground: Ground = {
      base,
      primary,
      standbys: others.map(({ host }) => addressOf(host)),
      door,
      postmaster: (node) => Number(readFileSync(join(base, node, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]),
      startProber: (name, options) => startProber(ground, children, name, options),
      stop,
    };
    return ground;
  } catch (error) {
    stop();
    throw error;
  }
}

async function startProber(
  ground: Ground,
  children: ChildProcess[],
  name: string,
  { settings, paths }: ProberOptions,
): Promise<RunningProber> {
  const dir = join(ground.base, name);
  mkdirSync(dir, { mode: 0o700 });
  const role = { user: 'postgres', password: null };
  const config: ProberConfig = {
    drill: 'drill-000001',
    dir,
    socket: join(dir, 'prober.sock'),
    paths: paths ?? [{ name: 'entry', hosts: [{ host: ground.door.host, port: ground.door.port }], database: 'postgres' }],
    role,
    table: name,
    settings,
    nodes: [ground.primary, ...ground.standbys].map(({ host, port }, at) => ({ name: `n${at + 1}`, host, port })),
    observe: role,
    controller: null,
    leaseMs: 3_600_000,
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const program = join(process.env['GAMEDAY_DIST'] ?? join(packageRoot(), 'dist'), 'probe', 'prober.js');
  const child = spawn(process.execPath, [program, join(dir, 'config.json')], { stdio: 'inherit' });
  children.push(child);
  const calls = openProber(config.socket);
  await until(async () => ((await calls.status()).acked > 200 ? true : null), {
    timeoutMs: 20_000,
    onTimeout: (last) => new Error(`the prober did not come up: ${String(last)}`),
  });
  return { child, config, calls };
}
