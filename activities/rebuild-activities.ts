/**
 * A standby is made anew as a step of the method: asked of the controller, with the prober's receipts around every look whether it streams. Which node is meant is
 * settled beforehand, so that a repeated try hurts no second one.
 */
import { dirname } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { formatBytes, formatMs } from '../core/units';
import type { Plan, RebuildStep } from '../model/plan';
import { flattenSteps } from '../model/plan-steps';
import type { CheckResult } from '../model/record';
import { describeNode } from '../faults/node-process';
import { resolveNode } from '../faults/resolve-node';
import { openTarget } from '../targets/open-target';
import type { LiveTarget, Topology } from '../targets/ports';
import type { RebuildResult, SiteActivities, UndoActivities, UndoneRebuild } from './contract';
import { cancellable, stamp, stepToken } from './open-drill';
import { result } from './policy-checks';

export async function resolveStandby({ plan, step }: Parameters<SiteActivities['resolveStandby']>[0]): Promise<string> {
  return resolveNode(openTarget(plan.target), step.node);
}

export async function rebuild(input: Parameters<SiteActivities['rebuild']>[0]): Promise<RebuildResult> {
  const { step, node, probe } = input;
  await stamp(probe, 'rebuild', 'about-to', step.id);
  const movedAside = await cancellable((signal) => rebuildWithin(input, signal));
  await stamp(probe, 'rebuild', 'done', step.id);
  return { node, movedAside };
}

/** The step's limit is for the whole of it. Throws `step_failed`, and what the controller throws. */
async function rebuildWithin(
  { plan, step, node, probe }: Parameters<SiteActivities['rebuild']>[0],
  halted: AbortSignal,
): Promise<string | null> {
  const { controller } = openTarget(plan.target);
  if (controller.rebuild === undefined)
    throw new GamedayError('step_failed', `${controller.kind} makes its standbys by its own means alone`);
  const { timeoutMs } = step;
  const late = AbortSignal.timeout(timeoutMs);
  const onLook = async (look: 'begins' | 'unanswered'): Promise<void> =>
    void (await stamp(probe, 'rebuild', look === 'begins' ? 'looking' : 'about-to', step.id));
  try {
    const options = { token: stepToken(step.id), timeoutMs, signal: AbortSignal.any([halted, late]), onLook };
    return (await controller.rebuild(node, options)).movedAside;
  } catch (error) {
    if (!late.aborted || halted.aborted) throw error;
    // Without a cause: a drill tells the innermost message, and the signal's own says nothing.
    throw new GamedayError('step_failed', `${node}, made anew, did not stream within ${formatMs(timeoutMs)}`);
  }
}

/** Where a rebuild did not end, or nobody heard how: the node is put right, and what was moved aside keeps its name. */
export async function undoRebuild({ plan, step, node, start }: Parameters<UndoActivities['undoRebuild']>[0]): Promise<UndoneRebuild> {
  const { controller } = openTarget(plan.target);
  if (controller.undoRebuild === undefined) return { movedAside: null, problem: null };
  const undo = controller.undoRebuild.bind(controller);
  return cancellable((signal) => undo(node, { token: stepToken(step), start, signal }));
}

/** Pre-flight of rebuilds: whether the controller can, and whether a second data directory has room beside the first. */
export async function rebuildChecks({
  plan,
  live,
  topology,
}: {
  readonly plan: Plan;
  readonly live: LiveTarget;
  readonly topology: Topology | null;
}): Promise<readonly CheckResult[]> {
  const steps = flattenSteps(plan.steps).filter((step): step is RebuildStep => step.kind === 'rebuild');
  if (steps.length === 0) return [];
  const { kind } = live.controller;
  const isLab = plan.target.kind === 'lab';
  const able = isLab && live.controller.rebuild !== undefined;
  const found = !isLab ? `target ${plan.target.name} is no lab` : able ? kind : `${kind} makes its standbys by its own means alone`;
  const check = result(
    'standbys can be made anew',
    able,
    found,
    'a lab whose controller gameday carries out',
    'rehearse it on a standalone lab.',
  );
  const primary = topology?.primary ?? null;
  if (!able || primary === null) return [check];
  const wanted = (await clusterBytes(live, primary)) + plan.target.policy.minFreeDiskBytes;
  const rooms = steps.flatMap((step) => candidatesFor(plan, step, primary).map((name) => roomCheck(live, { step, name, wanted })));
  return [check, ...(await Promise.all(rooms))];
}

/** A word for a standby is settled when the step runs: by then it may mean any other one, and behind a failover the primary of now. */
function candidatesFor({ target, steps }: Plan, { node }: RebuildStep, primary: string): readonly string[] {
  const names = target.nodes.map(({ name }) => name);
  if (names.includes(node)) return [node];
  const mayChange = flattenSteps(steps).some(({ kind }) => kind === 'failover');
  return names.filter((name) => mayChange || name !== primary);
}

interface RoomAsked {
  readonly step: RebuildStep;
  readonly name: string;
  readonly wanted: number;
}

/** Where the copy is made: beside the data directory, which may lie on a disk of its own. */
async function roomCheck(live: LiveTarget, { step, name, wanted }: RoomAsked): Promise<CheckResult> {
  const beside = dirname(describeNode(live.target, name).dataDir);
  const what = `${step.id}: room for a second data directory on ${name}`;
  const expected = `≥ ${formatBytes(wanted)} in ${beside}`;
  try {
    const free = await live.host(name).freeBytes(beside);
    const hint = 'free space there: the old data directory stays beside the new one until a person removes it.';
    return result(what, free >= wanted, formatBytes(free), expected, hint);
  } catch (error) {
    return result(what, false, messageOf(error), expected, `bring ${name} within reach: the step may choose it.`);
  }
}

async function clusterBytes(live: LiveTarget, primary: string): Promise<number> {
  const rows = await live.sql(primary, 'operate', (sql) => sql.query('SELECT sum(pg_database_size(oid))::text AS bytes FROM pg_database'));
  return Number(rows[0]?.['bytes'] ?? 0);
}
