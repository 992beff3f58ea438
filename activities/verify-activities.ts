/**
 * Verification: clients are steady again and exactly one node takes writes; and, once the prober has stopped, the ledger is reconciled with
 * what survived — first the primary behind a write barrier, then every replica at or past that barrier.
 */
import { join } from 'node:path';
import { askUntil } from '../core/clock';
import { messageOf } from '../core/errors';
import { writeFileDurably } from '../core/files';
import type { RpoMeasurement } from '../model/measurement';
import type { CheckResult } from '../model/record';
import type { Target } from '../model/target';
import { cleanUpDrillTables } from '../faults/drill-table';
import { judgeLedger } from '../probe/judge';
import { joinLedger } from '../probe/join';
import { keepSurvivors, SURVIVORS_FILE } from '../probe/survivor-file';
import { awaitReplay, compareReplica, readCommitPromise, readSurvivors, writeBarrier } from '../probe/survivors';
import { readClocks } from '../targets/clock-offsets';
import { encryptLeftovers } from '../targets/controllers/quarantine-encryption';
import { quarantineDir } from '../targets/controllers/standalone-salvage';
import { openTarget } from '../targets/open-target';
import type { ReconcileResult, SiteActivities } from './contract';
import { requirePrimary } from './failover-activities';
import { probeAddress } from './examine-fork';
import { keepExcerpts } from './excerpt-files';
import { cancellable, stamp } from './open-drill';
import { waitForWindow } from './probe-activities';

const REPLAY_TIMEOUT_MS = 30_000;

export async function verify({ plan, probe }: Parameters<SiteActivities['verify']>[0]): Promise<readonly CheckResult[]> {
  const { steady } = plan;
  return cancellable(async (signal) => {
    const window = await waitForWindow(
      {
        plan,
        probe,
        windowMs: steady.windowMs,
        maxP99Ms: Math.max(steady.maxP99Ms, steady.recoveryFloorMs),
        timeoutMs: steady.timeoutMs,
        mark: null,
      },
      signal,
    );
    if (window.good) await stamp(probe, 'verified', 'about-to', 'target');
    const writable = await findWritable(plan.target, signal);
    if (window.good && writable.length === 1) await stamp(probe, 'verified', 'done', 'target');
    return [
      {
        name: 'clients are steady again',
        ok: window.good,
        found: window.reason,
        expected: `a good window of ${steady.windowMs} ms`,
        hint: null,
      },
      {
        name: 'exactly one node takes writes',
        ok: writable.length === 1,
        found: writable.join(', ') || 'none',
        expected: 'one',
        hint: null,
      },
    ];
  });
}

/**
 * Two at once decide at the first look. That there is none, or one beside a node that does not answer, must be seen for as long as a busy machine may let a new
 * connection wait; a node that refuses has answered.
 */
async function findWritable(target: Target, signal: AbortSignal): Promise<readonly string[]> {
  const { controller } = openTarget(target);
  const look = async (): Promise<{ readonly writable: readonly string[]; readonly silent: boolean }> => {
    const { nodes } = await controller.topology();
    const writable = nodes.filter((node) => node.up && node.inRecovery === false).map((node) => node.node);
    return { writable, silent: nodes.some(({ up, error }) => !up && !/ECONNREFUSED/.test(error ?? '')) };
  };
  const known = await askUntil(look, ({ writable, silent }) => writable.length > 1 || (writable.length === 1 && !silent), {
    timeoutMs: 4_000,
    everyMs: 500,
    signal,
  });
  if (known.writable.length > 0) return known.writable;
  return (await askUntil(look, ({ writable }) => writable.length > 0, { timeoutMs: 6_000, everyMs: 500, signal })).writable;
}

/** The prober must have stopped: a write under way while rows are read would count as lost. */
export async function reconcileLedger(input: Parameters<SiteActivities['reconcileLedger']>[0]): Promise<ReconcileResult> {
  const { plan, probe } = input;
  // First: whatever becomes of the rows, the nodes are never again as near to the drill as now.
  const live = openTarget(plan.target);
  await keepExcerpts(live, probe.dir);
  const clocks = await readClocks(live);
  const uncompared: { node: string; why: string }[] = [];
  const rpo = await joinWithSurvivors(input, uncompared);
  const rpoFile = join(probe.dir, 'rpo.json');
  writeFileDurably(rpoFile, JSON.stringify(rpo));
  const absent = plan.target.nodes.length - 1 - rpo.replicas.length - uncompared.length;
  const checks = rpo.replicas.map(({ node, missing, extra }): CheckResult => {
    return {
      name: `${node} holds the same rows as the primary`,
      ok: missing === 0 && extra === 0,
      found: `${missing} missing, ${extra} extra`,
      expected: '0 missing, 0 extra',
      hint: null,
    };
  });
  for (const { node, why } of uncompared) {
    checks.push({ name: `${node} holds the same rows as the primary`, ok: false, found: why, expected: 'comparable', hint: null });
  }
  if (absent > 0)
    checks.push({
      name: 'every replica was compared',
      ok: input.redundant === false,
      found: `${absent} not streaming`,
      expected: 'all',
      hint: null,
    });
  // A halted drill examines no fork; what it left in the clear is encrypted here all the same.
  const clear = await encryptLeftovers(live, quarantineDir(plan.target)).catch((error: unknown) => [`the quarantine: ${messageOf(error)}`]);
  return { checks, rpoFile, statement: rpo.statement, left: [...(await cleanUp(input)), ...clear], clocks };
}

/** What the drill made in the database goes: its victims always, its probe table where it is a guest. In a lab that table stays for whoever wants to count again. */
async function cleanUp({ plan, drill, probe }: Parameters<SiteActivities['reconcileLedger']>[0]): Promise<readonly string[]> {
  const live = openTarget(plan.target);
  try {
    await cleanUpDrillTables(live, drill.drill);
    if (plan.target.kind !== 'lab') {
      const primary = requirePrimary(await live.controller.topology());
      await live.sql(primary, 'probe', (sql) => sql.query(`DROP TABLE IF EXISTS gameday.${probe.table}`));
    }
    return [];
  } catch (error) {
    return [`tables of ${drill.drill} in schema gameday: ${messageOf(error)}`];
  }
}

async function joinWithSurvivors(
  { plan, probe, lostBytes }: Parameters<SiteActivities['reconcileLedger']>[0],
  uncompared: { node: string; why: string }[],
): Promise<RpoMeasurement> {
  const live = openTarget(plan.target);
  const topology = await live.controller.topology();
  const primary = requirePrimary(topology);
  const address = probeAddress(plan, primary);
  const barrier = await writeBarrier(address, probe.table);
  const replicas: RpoMeasurement['replicas'][number][] = [];
  for (const node of Object.keys(topology.replication).sort()) {
    const replica = probeAddress(plan, node);
    try {
      await awaitReplay(replica, barrier.lsn, REPLAY_TIMEOUT_MS);
      replicas.push(await compareReplica(node, readSurvivors(address, probe.table), readSurvivors(replica, probe.table)));
    } catch (error) {
      // What was lost is counted on the primary all the same; a replica that cannot be compared is a failed check of its own.
      uncompared.push({ node, why: messageOf(error) });
    }
  }
  const { rto } = await judgeLedger(probe.dir, { settings: plan.probe, steady: plan.steady, faults: [], fromMs: null, toMs: null });
  const synchronousCommit = await readCommitPromise(address);
  const info = { synchronousCommit, joinedOn: primary, replicas, rpoBytes: lostBytes };
  // Kept beside the ledger, so that the bundle alone can be joined again.
  const rows = keepSurvivors(join(probe.dir, SURVIVORS_FILE), info, readSurvivors(address, probe.table));
  return joinLedger(probe.dir, rows, { ...info, t0: rto.outages[0]?.t0 ?? null });
}
