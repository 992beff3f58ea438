/**
 * One PostgreSQL server of a standalone target: start, stop, and what it says of itself, from its files when it is down and by SQL when it is up.
 * It decides nothing about roles; whoever starts a server has written its role first.
 */
import { dirname, join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { terminate } from '../../core/process';
import type { TargetNode } from '../../model/target';
import type { Environment, Host, LiveTarget } from '../ports';
import { askServer } from './node-status';
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
