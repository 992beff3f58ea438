/**
 * The standalone controller: no failover manager watches the target, so gameday carries out the runbook. Every change of roles runs under the epoch lock.
 * What may be read by others at any time (status, topology) takes no lock and changes nothing.
 */
import { parseDurationMs } from '../../core/units';
import type { PredictedFailover, PredictedSegment } from '../../model/measurement';
import type { Controller, LiveTarget, Topology } from '../ports';
import { epochDir, readEpoch, withEpochLock } from './standalone-epoch';
import { failover } from './standalone-failover';
import { rebuildStandby, undoRebuild } from './standalone-rebuild';
import { rejoin } from './standalone-rejoin';
import { askAll, everyStreamingStandby, readSettings, readSlots } from './node-status';
import { mayWrite, startNode } from './standalone-start';

const LOCK_WAIT_MS = 60_000;

async function topology(live: LiveTarget): Promise<Topology> {
  const nodes = await askAll(live);
  const up = nodes.filter((node) => node.up).map((node) => node.node);
  const writable = nodes.filter((node) => node.inRecovery === false).map((node) => node.node);
  const { file } = readEpoch(epochDir(live.target));
  // Two writable nodes are told apart by the epoch; the statuses still show both.
  const primary = writable.find((name) => name === file?.primary) ?? writable[0] ?? null;
  const each = async <T>(read: (live: LiveTarget, name: string) => Promise<T>): Promise<{ readonly [node: string]: T }> =>
    Object.fromEntries(await Promise.all(up.map(async (name) => [name, await read(live, name)] as const)));
  return {
    primary,
    nodes,
    replication: primary === null ? {} : await everyStreamingStandby(live, primary, nodes),
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
  const locked = <T>(waitMs: number, work: () => Promise<T>): Promise<T> => withEpochLock(epochDir(live.target), waitMs, work);
  return {
    kind: 'standalone',
    status: () => askAll(live),
    topology: () => topology(live),
    predictedFailover: () => predictedFailover(live),
    // Its limit is over then: it has failed, and is not begun once more.
    failover: (request) => withEpochLock(epochDir(live.target), request.timeoutMs, () => failover(live, request), 'failover_failed'),
    startNode: (node, environment) => locked(LOCK_WAIT_MS, () => startNode(live, node, environment)),
    mayWrite: (node) => mayWrite(live, node),
    rebuild: (node, options) => rebuildStandby(live, node, options),
    undoRebuild: (node, options) => undoRebuild(live, node, options),
    rejoin: (node, options) => locked(LOCK_WAIT_MS, () => rejoin(live, node, options)),
  };
}
