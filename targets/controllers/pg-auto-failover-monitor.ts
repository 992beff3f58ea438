/**
 * pg_auto_failover's monitor, asked and ordered over SQL: its book of nodes and the states it wants them in. Versions 1.4 to 2.2.
 * Source: its documentation, "Failover State Machine" and "Configuring pg_auto_failover"; the extension's own SQL.
 */
import { GamedayError, messageOf } from '../../core/errors';
import { resolveSecret } from '../../core/secrets';
import type { Target, TargetController } from '../../model/target';
import { withSql, type Sql } from '../sql';

export type PgAutoFailoverController = Extract<TargetController, { kind: 'pg-auto-failover' }>;

/** States of a node that may write. */
export const WRITING: readonly string[] = ['single', 'wait_primary', 'primary', 'join_primary', 'apply_settings'];

/** One row of the book, under the target's name for the node; null: the target does not have it. */
export interface BookedNode {
  readonly id: number;
  readonly node: string | null;
  readonly name: string;
  readonly goal: string;
  readonly reported: string;
  /** 1 well, 0 not, -1 not known. */
  readonly health: number;
  readonly candidatePriority: number;
  readonly replicationQuorum: boolean;
}

/** Timers in ms, as the monitor has them now. */
export interface MonitorTimers {
  readonly healthCheckPeriodMs: number;
  readonly healthCheckTimeoutMs: number;
  readonly healthCheckRetries: number;
  readonly healthCheckRetryDelayMs: number;
  readonly unhealthyTimeoutMs: number;
  readonly demoteTimeoutMs: number;
}

export interface Monitor {
  /** Every call throws `controller_unreachable` when the monitor cannot be asked. */
  nodes(): Promise<readonly BookedNode[]>;
  timers(): Promise<MonitorTimers>;
  numberSyncStandbys(): Promise<number>;
  /** Null when done, otherwise what the monitor answered. */
  failover(group: { readonly candidate: string | null }): Promise<string | null>;
}

const NODES = `SELECT nodeid::text AS id, nodename AS name, nodehost AS host, nodeport::text AS port, goalstate::text AS goal,
       reportedstate::text AS reported, health::text AS health, candidatepriority::text AS priority, replicationquorum::text AS quorum
  FROM pgautofailover.node WHERE formationid = $1 ORDER BY nodeid`;

type Row = { readonly [column: string]: string | null };

/** A node by its name or, where that is the monitor's own invention, by its address. */
export function bookedNode(nodes: Target['nodes'], row: Row): BookedNode {
  const { name = '', host = '', port = '' } = row;
  const known =
    nodes.find((node) => node.name === name) ??
    nodes.find((node) => node.host === host && String(node.port) === port) ??
    nodes.find((node) => node.name === host);
  return {
    id: Number(row['id']),
    node: known?.name ?? null,
    name: name ?? '',
    goal: row['goal'] ?? '',
    reported: row['reported'] ?? '',
    health: Number(row['health']),
    candidatePriority: Number(row['priority']),
    replicationQuorum: row['quorum'] === 'true',
  };
}

/** Who may write by the book: where the monitor wants a writing state. */
export function leaderOf(nodes: readonly BookedNode[]): string | null {
  return nodes.find(({ goal, node }) => node !== null && WRITING.includes(goal))?.node ?? null;
}

const TIMERS = {
  healthCheckPeriodMs: 'health_check_period',
  healthCheckTimeoutMs: 'health_check_timeout',
  healthCheckRetries: 'health_check_max_retries',
  healthCheckRetryDelayMs: 'health_check_retry_delay',
  unhealthyTimeoutMs: 'node_considered_unhealthy_timeout',
  demoteTimeoutMs: 'primary_demote_timeout',
} as const;

/** Opening touches nothing. */
export function openMonitor(target: Target, { monitor, formation }: PgAutoFailoverController): Monitor {
  const ask = async <T>(work: (sql: Sql) => Promise<T>): Promise<T> => {
    const { host, port, user, database, password } = monitor;
    const address = { host, port, user, database, password: password === null ? null : resolveSecret(password) };
    try {
      return await withSql(address, work, { applicationName: 'gameday', queryTimeoutMs: 10_000 });
    } catch (error) {
      if (error instanceof GamedayError && error.code === 'database_unreachable')
        throw new GamedayError(
          'controller_unreachable',
          `pg_auto_failover’s monitor: ${messageOf(error)}`,
          '`pg_autoctl show uri --monitor` prints where it is; the target’s `controller.monitor` says where it was looked for.',
          { cause: error },
        );
      throw error;
    }
  };
  return {
    nodes: () => ask(async (sql) => (await sql.query(NODES, [formation])).map((row) => bookedNode(target.nodes, row))),
    timers: () =>
      ask(async (sql) => {
        const rows = await sql.query(`SELECT name, setting FROM pg_settings WHERE name LIKE 'pgautofailover.%'`);
        const settings = new Map(rows.map((row) => [row['name'], Number(row['setting'])]));
        const read = (name: string): number => settings.get(`pgautofailover.${name}`) ?? Number.NaN;
        return Object.fromEntries(Object.entries(TIMERS).map(([key, name]) => [key, read(name)])) as unknown as MonitorTimers;
      }),
    numberSyncStandbys: () =>
      ask(async (sql) => {
        const rows = await sql.query('SELECT number_sync_standbys::text AS n FROM pgautofailover.formation WHERE formationid = $1', [
          formation,
        ]);
        return Number(rows[0]?.['n'] ?? 0);
      }),
    failover: ({ candidate }) =>
      ask(async (sql) => {
        try {
          if (candidate === null) await sql.query('SELECT pgautofailover.perform_failover($1, 0)', [formation]);
          else {
            const name = (await sql.query(NODES, [formation]))
              .map((row) => bookedNode(target.nodes, row))
              .find((each) => each.node === candidate);
            await sql.query('SELECT pgautofailover.perform_promotion($1, $2)', [formation, name?.name ?? candidate]);
          }
          return null;
        } catch (error) {
          return messageOf(error);
        }
      }),
  };
}
