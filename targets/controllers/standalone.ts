/**
 * The standalone controller: no failover manager watches the target, so gameday carries out the runbook. Every change of roles runs under the epoch lock.
 * What may be read by others at any time (status, topology) takes no lock and changes nothing.
 */
import { parseDurationMs } from '../../core/units';
import type { PredictedFailover, PredictedSegment } from '../../model/measurement';
import type { Controller, LiveTarget, NodeStatus, Topology } from '../ports';
import { readEpoch, withEpochLock } from './standalone-epoch';
import { failover } from './standalone-failover';
import { rejoin } from './standalone-rejoin';
import { askServer, streamingStandbys } from './standalone-server';
import { mayWrite, startNode } from './standalone-start';

const LOCK_WAIT_MS = 60_000;

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

async function ask(live: LiveTarget): Promise<readonly NodeStatus[]> {
  return (await Promise.all(live.target.nodes.map((node) => askServer(live, node.name)))).map(toNodeStatus);
}

async function readSettings(live: LiveTarget, name: string): Promise<{ readonly [name: string]: string }> {
  const rows = await live.sql(name, 'operate', (sql) =>
    sql.query(`SELECT name, setting FROM pg_settings WHERE name IN (${COMPARED.map((each) => `'${each}'`).join(', ')}) ORDER BY name`),
  );
  return Object.fromEntries(rows.map((row) => [row['name'] ?? '', row['setting'] ?? '']));
}

/** Permanent slots; those of a running base backup come and go. */
async function readSlots(live: LiveTarget, name: string): Promise<readonly string[]> {
  const rows = await live.sql(name, 'operate', (sql) =>
    sql.query('SELECT slot_name FROM pg_replication_slots WHERE NOT temporary ORDER BY 1'),
  );
  return rows.map((row) => row['slot_name'] ?? '');
}

async function topology(live: LiveTarget): Promise<Topology> {
  const nodes = await ask(live);
  const up = nodes.filter((node) => node.up).map((node) => node.node);
  const writable = nodes.filter((node) => node.inRecovery === false).map((node) => node.node);
  const { file } = readEpoch(live.target.controller.stateDir);
  // Two writable nodes are told apart by the epoch; the statuses still show both.
  const primary = writable.find((name) => name === file?.primary) ?? writable[0] ?? null;
  const each = async <T>(read: (live: LiveTarget, name: string) => Promise<T>): Promise<{ readonly [node: string]: T }> =>
    Object.fromEntries(await Promise.all(up.map(async (name) => [name, await read(live, name)] as const)));
  return {
    primary,
    nodes,
    replication: primary === null ? {} : await streamingStandbys(live, primary),
    settings: await each(readSettings),
    slots: await each(readSlots),
    routed: await live.router.routed(),
    epoch: file?.epoch ?? null,
  };
}

/** Milliseconds of PostgreSQL's own spelling, e.g. `500ms`; the slowest node counts. */
async function slowestRetryMs(live: LiveTarget): Promise<number> {
  const values = await Promise.all(
    live.target.nodes.map((node) =>
      live
        .sql(node.name, 'operate', (sql) => sql.query('SHOW wal_retrieve_retry_interval'))
        .then((rows) => parseDurationMs(rows[0]?.['wal_retrieve_retry_interval'] ?? ''))
        .catch(() => null),
    ),
  );
  return Math.max(0, ...values.filter((value): value is number => value !== null));
}

/** Deadlines of the runbook's own steps (`standalone-failover.ts`): what it takes at most if the old primary or a link hangs. */
const FENCING_MS = 3_000;
const WAL_AT_REST_MS = 5_000;
const ROUTER_READ_BACK_MS = 2_000;
/** From pg_promote to accepting writes: end of recovery without a checkpoint (it follows later), measured from 0.1 s to 1 s here. */
const PROMOTION_MS = { lowMs: 50, highMs: 1_000 };

/** Nobody detects by itself here: the clock starts with the runbook's order to fail over. */
async function predictedFailover(live: LiveTarget): Promise<PredictedFailover> {
  const retryMs = await slowestRetryMs(live);
  const segments: readonly PredictedSegment[] = [
    {
      name: 'decision',
      lowMs: 0,
      highMs: FENCING_MS + WAL_AT_REST_MS,
      formula: `fencing the old primary 0–${FENCING_MS} ms + received WAL at rest 0–${WAL_AT_REST_MS} ms, our own limits, reached only if a node or link hangs`,
    },
    { name: 'promotion', ...PROMOTION_MS, formula: 'end of recovery of a standby that has replayed all it received' },
    { name: 'routing', lowMs: 0, highMs: ROUTER_READ_BACK_MS, formula: 'the router’s runtime command and its read-back' },
    {
      name: 'client recovery',
      lowMs: 0,
      highMs: retryMs + 5_000,
      formula: `wal_retrieve_retry_interval 0–${retryMs} ms until a standby follows and commits are confirmed, + reconnecting up to 5000 ms`,
    },
  ];
  return {
    lowMs: segments.reduce((sum, each) => sum + each.lowMs, 0),
    highMs: segments.reduce((sum, each) => sum + each.highMs, 0),
    formula: `from the order to fail over (nothing detects by itself): ${segments.map(({ name, formula }) => `${name}: ${formula}`).join('; ')}`,
    segments,
  };
}

/** The controller of a standalone target. Opening touches nothing. */
export function openStandaloneController(live: LiveTarget): Controller {
  const locked = <T>(waitMs: number, work: () => Promise<T>): Promise<T> => withEpochLock(live.target.controller.stateDir, waitMs, work);
  return {
    kind: 'standalone',
    status: () => ask(live),
    topology: () => topology(live),
    predictedFailover: () => predictedFailover(live),
    failover: (request) => locked(request.timeoutMs, () => failover(live, request)),
    startNode: (node, environment) => locked(LOCK_WAIT_MS, () => startNode(live, node, environment)),
    mayWrite: (node) => mayWrite(live, node),
    rejoin: (node, options) => locked(LOCK_WAIT_MS, () => rejoin(live, node, options)),
  };
}
