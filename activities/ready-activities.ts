/** Pre-flight: go or no-go, check by check, each with what to do. Touches nothing. */
import { askUntil } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { formatBytes, formatMs } from '../core/units';
import { TIMER_NAMES } from '../model/constants';
import type { Plan, Timers } from '../model/plan';
import { flattenSteps } from '../model/plan-steps';
import type { CheckResult, ClockReading, Safeguards } from '../model/record';
import { faultLabel, NO_MEMORY } from '../faults/contract';
import { findFault } from '../faults/registry';
import { fateOfPrimary } from './fate-of-primary';
import { readClocks } from '../targets/clock-offsets';
import { examineAtReady } from '../targets/archives/audit/audit-source';
import { readLineage } from '../targets/controllers/lineage';
import { openTarget } from '../targets/open-target';
import type { LiveTarget, Topology } from '../targets/ports';
import type { SecurityBefore, SiteActivities } from './contract';
import { approvalsFor, guardianOf, type Hand } from './open-drill';
import { quarantineChecks } from './quarantine-readiness';
import { rebuildChecks } from './rebuild-activities';
import { restoreChecks } from './restore-readiness';
import { readSafeguards } from './safeguards';
import { readSecurityBefore } from './security-parity';
import { approvalChecks, blastChecks, faultSteps, policyChecks, result } from './policy-checks';

/** Stands for the drill's name while there is no drill. */
const NO_DRILL = 'drill-000000';

type Check = (facts: {
  readonly plan: Plan;
  readonly live: LiveTarget;
  readonly topology: Topology | null;
}) => Promise<readonly CheckResult[]> | readonly CheckResult[];

export async function checkReadiness(
  hand: Hand,
  { plan, drill, startedBy, approvals }: Parameters<SiteActivities['checkReadiness']>[0],
): Promise<{
  readonly checks: readonly CheckResult[];
  readonly topology: Topology | null;
  readonly safeguards: Safeguards;
  readonly security: SecurityBefore | null;
  readonly clocks?: ClockReading;
}> {
  const live = openTarget(plan.target);
  const consents = approvalsFor(hand, plan, approvals);
  // Whoever only asks whether a drill could begin keeps no record.
  const clocks = drill === null ? {} : { clocks: await readClocks(live) };
  let exposure: Safeguards['archiveExposure'] = { notRecorded: 'the target names no archive' };
  let topology: Topology | null = null;
  const checks: CheckResult[] = [];
  try {
    const now = await askUntil(() => live.controller.topology(), isComplete, { timeoutMs: 4_000, everyMs: 500 });
    topology = { ...now, lineage: await readLineage(live, now) };
  } catch (error) {
    checks.push(
      result(
        'topology can be read',
        false,
        messageOf(error),
        'every node answers',
        'is the target up? `gameday lab status` shows the lab.',
      ),
    );
  }
  const named: readonly (readonly [string, Check])[] = [
    ['target opted in', () => policyChecks(plan)],
    ['blast radius', () => blastChecks(plan, live, drill?.drill ?? NO_DRILL)],
    ['approvals', () => approvalChecks(plan, consents, startedBy ?? null)],
    ['guardian ready', guardianChecks],
    ['guardian permits these faults', permitChecks],
    ['topology', topologyChecks],
    [
      'archive',
      async () => {
        if (live.archive === null) return [];
        exposure = { notRecorded: 'the archive could not be examined' };
        const own = await live.archive.audit();
        const examined = await examineAtReady(plan.target);
        exposure = examined.exposure;
        return [...own, examined.check];
      },
    ],
    ['disk headroom', diskChecks],
    ['restores possible', restoreChecks],
    ['rebuilds possible', rebuildChecks],
    ['faults possible', (facts) => faultChecks(facts, drill?.drill ?? NO_DRILL)],
    ['quarantine', quarantineChecks],
    ['timers as planned', timerChecks],
    ['objectives possible', objectiveChecks],
    ['advice', adviceChecks],
  ];
  for (const [name, check] of named) {
    try {
      checks.push(...(await check({ plan, live, topology })));
    } catch (error) {
      checks.push(result(name, false, messageOf(error), 'the check can be made', error instanceof GamedayError ? error.hint : null));
    }
  }
  return {
    checks,
    topology,
    safeguards: await readSafeguards({ plan, live }, consents, startedBy ?? null, exposure),
    security: await readSecurityBefore(live, topology?.primary ?? null),
    ...clocks,
  };
}

/** One node that a busy machine lets wait for a connection is not down: whoever looks incomplete is looked at again. */
const isComplete = ({ nodes, replication }: Topology): boolean =>
  nodes.every((node) => node.up) && Object.keys(replication).length === nodes.length - 1;

const guardianChecks: Check = async ({ plan }) => {
  const guardian = guardianOf(plan.target);
  const [leases, halt] = await Promise.all([guardian.list(), guardian.standingHalt()]);
  const live = leases.filter((lease) => lease.state !== 'gone');
  return [
    result(
      'no fault stands',
      live.length === 0,
      live.length === 0 ? 'no live lease' : live.map((lease) => `${lease.handle.fault} of ${lease.handle.drill}`).join(', '),
      'no live lease',
      '`gameday status` shows them; `gameday halt` heals',
    ),
    result(
      'drills are not halted',
      halt === null,
      halt === null ? 'no standing halt' : `halted by ${halt.by}: ${halt.reason}`,
      'no standing halt',
      '`gameday release --reason …` lets drills run again',
    ),
  ];
};

/** The guardian's own file, not the target's: what it would refuse half-way is refused here, before anything is broken. */
const permitChecks: Check = async ({ plan }) => {
  const faults = [...new Set(faultSteps(plan.steps).map((step) => step.fault))];
  if (faults.length === 0) return [];
  const said = (ok: boolean, found: string, hint: string | null = null): readonly CheckResult[] => [
    result('guardian permits these faults', ok, found, 'its allow file lists system and faults', hint),
  ];
  try {
    await guardianOf(plan.target).requirePermitted({ systemIdentifier: plan.target.systemIdentifier, faults });
    return said(true, faults.join(', '));
  } catch (error) {
    if (error instanceof GamedayError && error.code === 'fault_refused') return said(false, error.message, error.hint);
    throw error;
  }
};

const topologyChecks: Check = ({ plan, topology }) => {
  if (topology === null) return [];
  const up = topology.nodes.filter((node) => node.up);
  const writable = up.filter((node) => node.inRecovery === false);
  const streaming = Object.keys(topology.replication);
  const identifiers = [...new Set(up.map((node) => node.systemIdentifier))];
  const hint = '`gameday lab up` repairs a lab; otherwise rejoin the node first';
  return [
    result('exactly one primary', writable.length === 1, writable.map((node) => node.node).join(', ') || 'none', 'one', hint),
    result('every node is up', up.length === plan.target.nodes.length, `${up.length} of ${plan.target.nodes.length}`, 'all', hint),
    result(
      'standbys stream',
      streaming.length === plan.target.nodes.length - 1,
      streaming.join(', ') || 'none',
      `${plan.target.nodes.length - 1} standbys`,
      hint,
    ),
    result(
      'it is the system the plan names',
      identifiers.length === 1 && identifiers[0] === plan.target.systemIdentifier,
      identifiers.join(', '),
      plan.target.systemIdentifier,
      'the target file describes another cluster',
    ),
    // Without a router that can be asked, the baseline's writes show whether clients are led to the primary.
    ...(plan.target.router.kind === 'none'
      ? []
      : [
          result(
            'router leads to the primary',
            topology.routed.length === 1 && topology.routed[0] === topology.primary,
            topology.routed.join(', ') || 'nobody',
            topology.primary ?? 'the primary',
            hint,
          ),
        ]),
  ];
};

const diskChecks: Check = async ({ plan, live }) => {
  const wanted = plan.target.policy.minFreeDiskBytes;
  const found = await Promise.all(
    plan.target.nodes.map(async (node) => ({ node: node.name, free: await live.host(node.name).freeBytes(node.dataDir) })),
  );
  return found.map(({ node, free }) =>
    result(
      `disk headroom on ${node}`,
      free >= wanted,
      formatBytes(free),
      `≥ ${formatBytes(wanted)}`,
      'free space first: WAL of a dead standby is kept',
    ),
  );
};

async function faultChecks({ plan, live }: Parameters<Check>[0], drill: string): Promise<readonly CheckResult[]> {
  const found: CheckResult[] = [];
  for (const step of faultSteps(plan.steps)) {
    const fault = findFault(step.fault);
    const checks = await fault.ready(fault.schema.parse(step.settings), {
      live,
      drill,
      label: faultLabel(drill, step.id),
      memory: NO_MEMORY,
    });
    found.push(...checks.map((check) => ({ ...check, name: `${step.id}: ${check.name}` })));
  }
  return found;
}

/**
 * An RTO target below what the target's own settings allow can only fail, and one that is held against a prediction needs one: said before, not after.
 */
const objectiveChecks: Check = async ({ plan, live }) => {
  const [rto, beyond] = (['rto', 'rto_beyond_prediction'] as const).map((name) => plan.objectives.find((each) => each.name === name));
  if ((rto === undefined && beyond === undefined) || !plan.steps.some((step) => step.kind === 'failover')) return [];
  const band = await live.controller.predictedFailover(fateOfPrimary(plan));
  const predicted = band === null ? 'nothing' : `${formatMs(band.lowMs)} to ${formatMs(band.highMs)} (${band.formula})`;
  const found: CheckResult[] = [];
  if (rto !== undefined && band !== null)
    found.push(
      result(
        'RTO target is possible with these settings',
        band.lowMs <= rto.target,
        `predicted ${predicted}`,
        `≤ ${formatMs(rto.target)}`,
        'change the target’s settings, or the objective',
      ),
    );
  if (beyond !== undefined)
    found.push(
      result(
        'RTO is predicted from live settings',
        band !== null,
        predicted,
        'a band, which `rto_beyond_prediction` is held against',
        plan.target.controller.kind === 'command'
          ? 'say `expectedMs` under `controller` in the target file'
          : `controller ${plan.target.controller.kind} predicts the loss of a primary, not an orderly switchover: leave the objective out`,
      ),
    );
  return found;
};

/** Only where a failover is to come about. Advice is told and refuses nothing, nor does what cannot be asked. */
const adviceChecks: Check = async ({ plan, live }) => {
  if (!flattenSteps(plan.steps).some(({ kind }) => kind === 'failover')) return [];
  const advice = (await live.controller.advice?.().catch(() => [])) ?? [];
  return advice.map(({ name, found, expected, remedy }) =>
    result(name, true, remedy === null ? found : `${found}. ADVICE: ${remedy}`, expected),
  );
};

/** What the plan's numbers were computed from must still be so, or they are somebody else's. */
const timerChecks: Check = async ({ plan, live }) => {
  const planned = plan.scenario.live;
  if (planned === undefined) return [];
  const now = (await live.controller.timers?.()) ?? {};
  const words = (timers: Timers): string =>
    TIMER_NAMES.flatMap((name) => (name in planned.timers ? [timerWords(name, timers)] : [])).join(', ');
  const same = TIMER_NAMES.every((name) => planned.timers[name] === undefined || planned.timers[name] === now[name]);
  const computed = Object.keys(planned.variables).join(', ');
  return [
    result(
      'timers are those of the plan',
      same,
      words(now),
      words(planned.timers),
      `plan it again: ${computed} of this plan follow from settings that were changed since`,
    ),
  ];
};

const timerWords = (name: keyof Timers, timers: Timers): string =>
  `${name} ${timers[name] === undefined ? 'not told' : formatMs(timers[name])}`;
