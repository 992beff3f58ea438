/**
 * What the nodes of any target say of themselves, over direct connections as role operate: their status, and what must be equal before and after a drill.
 * Reads only, whatever controller steers them.
 */
import { messageOf } from '../../core/errors';
import type { LiveTarget, NodeStatus } from '../ports';

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
  const { nodes } = live.target;
  // By address, or by the name under which controllers publish it.
  return (
    link?.to ??
    nodes.find((node) => node.host === host && node.port === port)?.name ??
    nodes.find((node) => node.name === host)?.name ??
    null
  );
}

/** Nodes by the application_name under which they stream, where that is not their own name. */
export type StandbyNames = { readonly [applicationName: string]: string };

/** Standbys that stream from `primary`, by name, with their sync_state. */
export async function streamingStandbys(
  live: LiveTarget,
  primary: string,
  names: StandbyNames = {},
): Promise<{ readonly [node: string]: string }> {
  const rows = await live.sql(primary, 'operate', (sql) =>
    sql.query("SELECT application_name AS name, sync_state FROM pg_stat_replication WHERE state = 'streaming'"),
  );
  return Object.fromEntries(
    rows
      .map((row): [string, string] => [names[row['name'] ?? ''] ?? row['name'] ?? '', row['sync_state'] ?? ''])
      .filter(([name]) => live.target.nodes.some((node) => node.name === name)),
  );
}

/** As `streamingStandbys`, with those behind them: a standby counts whose stream begins at `primary`, and none that still follows somebody else. */
export async function everyStreamingStandby(
  live: LiveTarget,
  primary: string,
  nodes: readonly NodeStatus[],
  names: StandbyNames = {},
): Promise<{ readonly [node: string]: string }> {
  const senders = new Set(nodes.flatMap(({ streamingFrom }) => (streamingFrom === null ? [] : [streamingFrom])));
  const found = { ...(await streamingStandbys(live, primary, names)) };
  senders.delete(primary);
  for (let next = sendersIn(found, senders); next.length > 0; next = sendersIn(found, senders)) {
    for (const name of next) senders.delete(name);
    // One that was lost in between sends to nobody.
    const behind = await Promise.all(next.map((name) => streamingStandbys(live, name, names).catch(() => ({}))));
    for (const standbys of behind) for (const [name, state] of Object.entries(standbys)) found[name] ??= state;
  }
  return found;
}

const sendersIn = (found: { readonly [node: string]: string }, senders: ReadonlySet<string>): readonly string[] =>
  [...senders].filter((name) => name in found);

/** Settings whose change would make the system a different one; compared before and after a drill. */
const COMPARED = [
  'synchronous_standby_names',
  'synchronous_commit',
  'wal_level',
  'archive_mode',
  'archive_command',
  'archive_timeout',
  'fsync',
  'full_page_writes',
  'data_checksums',
  'hot_standby',
  'max_connections',
  'max_wal_senders',
  'max_replication_slots',
  'wal_keep_size',
  'wal_receiver_timeout',
  'wal_sender_timeout',
  'wal_retrieve_retry_interval',
  'recovery_min_apply_delay',
];

function toNodeStatus(status: Awaited<ReturnType<typeof askServer>>): NodeStatus {
  const { receiving: _receiving, fenced: _fenced, ...rest } = status;
  return rest;
}

export async function askAll(live: LiveTarget): Promise<readonly NodeStatus[]> {
  return (await Promise.all(live.target.nodes.map((node) => askServer(live, node.name)))).map(toNodeStatus);
}

export async function readSettings(live: LiveTarget, name: string): Promise<{ readonly [name: string]: string }> {
  const rows = await live.sql(name, 'operate', (sql) =>
    sql.query(`SELECT name, setting FROM pg_settings WHERE name IN (${COMPARED.map((each) => `'${each}'`).join(', ')}) ORDER BY name`),
  );
  return Object.fromEntries(rows.map((row) => [row['name'] ?? '', row['setting'] ?? '']));
}

/** Permanent slots; those of a running base backup come and go. */
export async function readSlots(live: LiveTarget, name: string): Promise<readonly string[]> {
  const rows = await live.sql(name, 'operate', (sql) =>
    sql.query('SELECT slot_name FROM pg_replication_slots WHERE NOT temporary ORDER BY 1'),
  );
  return rows.map((row) => row['slot_name'] ?? '');
}
