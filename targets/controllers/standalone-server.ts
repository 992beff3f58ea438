/**
 * One PostgreSQL server of a standalone target: start, stop, and what it says of itself, from its files when it is down and by SQL when it is up.
 * It decides nothing about roles; whoever starts a server has written its role first.
 */
import { dirname, join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { terminate } from '../../core/process';
import type { TargetNode } from '../../model/target';
import type { Environment, Host, LiveTarget, NodeStatus } from '../ports';
import { nodeSocketDir } from './standalone-config';

const START_TIMEOUT_S = 60;
const STOP_GRACE_MS = 20_000;

export interface ControlData {
  readonly systemIdentifier: string;
  /** As pg_controldata words it: `in production`, `in archive recovery`, `shut down`, … */
  readonly state: string;
  readonly checkpointTimeline: number;
  readonly checkpointLsn: string;
  readonly minRecoveryTimeline: number;
  readonly minRecoveryLsn: string;
}

/** Facts of pg_control in `dataDir`; throws `step_failed` if pg_controldata cannot read it. */
export async function readControlData(
  host: Host,
  node: TargetNode,
  dataDir = node.dataDir,
): Promise<ControlData & { readonly text: string }> {
  const result = await host.exec([join(node.binDir, 'pg_controldata'), '-D', dataDir], { asNode: true, timeoutMs: 10_000 });
  if (result.code !== 0) throw new GamedayError('step_failed', `pg_controldata of ${node.name} failed: ${result.stderr.trim()}`);
  const field = (name: string): string => new RegExp(`^${name}: +(.*)$`, 'm').exec(result.stdout)?.[1] ?? '';
  return {
    text: result.stdout,
    systemIdentifier: field('Database system identifier'),
    state: field('Database cluster state'),
    checkpointTimeline: Number(field("Latest checkpoint's TimeLineID")),
    checkpointLsn: field('Latest checkpoint location'),
    minRecoveryTimeline: Number(field("Min recovery ending loc's timeline")),
    minRecoveryLsn: field('Minimum recovery ending location'),
  };
}

async function logTail(host: Host, node: TargetNode): Promise<string> {
  const result = await host.exec(['tail', '-n', '8', node.logFile], { asNode: true, timeoutMs: 5_000 });
  return result.stdout.trim();
}

/**
 * Starts the server unless it runs, and waits until it accepts connections. Stale pid and lock files of a killed server are removed: their pids may be
 * reused. `environment` is given to the server and to pg_ctl alike, which compares its own clock with the server's.
 */
export async function startServer(host: Host, node: TargetNode, environment: Environment = {}): Promise<void> {
  if ((await host.postmaster()) !== null) return;
  await host.remove(join(node.dataDir, 'postmaster.pid'));
  const socketDir = nodeSocketDir(node);
  await host.remove(join(socketDir, `.s.PGSQL.${node.port}.lock`));
  await host.remove(join(socketDir, `.s.PGSQL.${node.port}`));
  for (const dir of [socketDir, dirname(node.logFile)]) {
    if (await host.exists(dir)) continue;
    await host.writeFile(join(dir, '.gameday'), '');
    await host.remove(join(dir, '.gameday'));
  }
  const words = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const prefix = words.length === 0 ? [] : ['env', ...words];
  const argv = [
    ...prefix,
    join(node.binDir, 'pg_ctl'),
    'start',
    '-s',
    '-w',
    '-t',
    String(START_TIMEOUT_S),
    '-D',
    node.dataDir,
    '-l',
    node.logFile,
  ];
  const result = await host.exec(argv, { asNode: true, timeoutMs: (START_TIMEOUT_S + 5) * 1_000 });
  if (result.code !== 0) {
    throw new GamedayError(
      'step_failed',
      `node ${node.name} did not start: ${result.stderr.trim()}\n${await logTail(host, node)}`,
      `read ${node.logFile}.`,
    );
  }
}

/** Stops the server: `fast` writes a shutdown checkpoint, `immediate` does not. A server that does not answer is killed with its whole tree. */
export async function stopServer(host: Host, node: TargetNode, mode: 'fast' | 'immediate', graceMs = STOP_GRACE_MS): Promise<void> {
  const postmaster = await host.postmaster();
  if (postmaster === null) return;
  const argv = [join(node.binDir, 'pg_ctl'), 'stop', '-s', '-w', '-m', mode, '-t', String(Math.ceil(graceMs / 1_000)), '-D', node.dataDir];
  await host.exec(argv, { asNode: true, timeoutMs: graceMs + 2_000 }).catch(() => undefined);
  if ((await host.postmaster()) === null) return;
  await host.killTree(postmaster);
  await terminate(postmaster, 0);
}

const STATUS_SQL = `
  SELECT pg_is_in_recovery()::text AS recovery,
         CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_insert_lsn() END::text AS lsn,
         CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END AS segment,
         greatest(c.timeline_id, r.min_recovery_end_timeline, w.received_tli)::text AS timeline,
         s.system_identifier::text AS system, w.sender_host, w.sender_port::text, w.status, current_setting('recovery_target_timeline') AS target_timeline
    FROM pg_control_checkpoint() c, pg_control_recovery() r, pg_control_system() s LEFT JOIN pg_stat_wal_receiver w ON true`;

export interface ServerStatus extends NodeStatus {
  /** A WAL receiver exists, streaming or not. */
  readonly receiving: boolean;
  /** In recovery on its own timeline for good: never a candidate. */
  readonly fenced: boolean;
}

/** What the node says of itself; a node that cannot be asked is `up: false` with the reason, never an exception. */
export async function askServer(live: LiveTarget, name: string): Promise<ServerStatus> {
  try {
    const rows = await live.sql(name, 'operate', (sql) => sql.query(STATUS_SQL));
    const row = rows[0] ?? {};
    const inRecovery = row['recovery'] === 'true';
    // A primary's control file lags behind its promotion; the name of the segment it writes does not.
    const timeline = inRecovery ? Number(row['timeline']) : parseInt((row['segment'] ?? '0').slice(0, 8), 16);
    return {
      node: name,
      up: true,
      inRecovery,
      timeline,
      lsn: row['lsn'] ?? null,
      streamingFrom: row['status'] === 'streaming' ? upstreamName(live, name, row['sender_host'] ?? '', Number(row['sender_port'])) : null,
      systemIdentifier: row['system'] ?? null,
      error: null,
      receiving: (row['status'] ?? null) !== null,
      fenced: inRecovery && row['target_timeline'] === 'current',
    };
  } catch (error) {
    return {
      node: name,
      up: false,
      inRecovery: null,
      timeline: null,
      lsn: null,
      streamingFrom: null,
      systemIdentifier: null,
      error: messageOf(error),
      receiving: false,
      fenced: false,
    };
  }
}

function upstreamName(live: LiveTarget, name: string, host: string, port: number): string | null {
  const link = live.target.links?.list.find((each) => each.from === name && each.listenHost === host && each.listenPort === port);
  return link?.to ?? live.target.nodes.find((node) => node.host === host && node.port === port)?.name ?? null;
}

/** Standbys that stream from `primary`, by name, with their sync_state. */
export async function streamingStandbys(live: LiveTarget, primary: string): Promise<{ readonly [node: string]: string }> {
  const rows = await live.sql(primary, 'operate', (sql) =>
    sql.query("SELECT application_name AS name, sync_state FROM pg_stat_replication WHERE state = 'streaming'"),
  );
  return Object.fromEntries(
    rows
      .map((row): [string, string] => [row['name'] ?? '', row['sync_state'] ?? ''])
      .filter(([name]) => live.target.nodes.some((node) => node.name === name)),
  );
}

/** Waits until the running server is out of recovery on a timeline above `above`; throws `failover_failed`. */
export async function waitPromoted(
  live: LiveTarget,
  name: string,
  above: number,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<number> {
  return until(
    async () => {
      const status = await askServer(live, name);
      return status.up && status.inRecovery === false && status.timeline !== null && status.timeline > above ? status.timeline : null;
    },
    {
      timeoutMs: options.timeoutMs,
      everyMs: 20,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onTimeout: () =>
        new GamedayError(
          'failover_failed',
          `node ${name} was told to promote and is not a primary above timeline ${above} after ${options.timeoutMs} ms`,
        ),
    },
  );
}

/** Asks the running standby to promote, by SQL or, if it takes no connection, by pg_ctl. Harmless for a server that is a primary already. */
export async function promoteServer(live: LiveTarget, name: string, node: TargetNode): Promise<void> {
  try {
    await live.sql(name, 'operate', (sql) => sql.query('SELECT CASE WHEN pg_is_in_recovery() THEN pg_promote(false) END'));
  } catch {
    await live
      .host(name)
      .exec([join(node.binDir, 'pg_ctl'), 'promote', '-s', '-W', '-D', node.dataDir], { asNode: true, timeoutMs: 10_000 });
  }
}
