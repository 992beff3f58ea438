/** Which drill is meant: by number, by name, by target, or the only one that runs. It asks Temporal, never the files. */
import type { WorkflowHandle } from '@temporalio/client';
import { GamedayError } from '../core/errors';
import { drillName, drillSequence, drillWorkflowId } from '../core/ids';
import type { DrillProgress } from '../model/message';
import { findTarget, loadTarget } from '../scenarios/load-target';
import { DRILL_WORKFLOW, progressQuery } from '../workflows/messages';
import type { TemporalAccess } from './temporal';

const MAX_RUNNING = 100;
const QUERY_MS = 3_000;

export interface RunningDrill {
  readonly workflowId: string;
  readonly runId: string;
  readonly startedAt: string;
  readonly handle: WorkflowHandle;
  /** Null when no worker answered in time. */
  readonly progress: DrillProgress | null;
}

/** Every drill that runs now, at most 100. */
export async function listRunningDrills(temporal: TemporalAccess): Promise<readonly RunningDrill[]> {
  const query = `WorkflowType = '${DRILL_WORKFLOW}' AND ExecutionStatus = 'Running'`;
  const found = await temporal.call(async () => {
    const list: { workflowId: string; runId: string; startTime: Date }[] = [];
    for await (const { workflowId, runId, startTime } of temporal.client.workflow.list({ query })) {
      list.push({ workflowId, runId, startTime });
      if (list.length === MAX_RUNNING) break;
    }
    return list;
  });
  return Promise.all(
    found.map(async ({ workflowId, runId, startTime }) => {
      const handle = temporal.client.workflow.getHandle(workflowId, runId);
      const progress = await temporal.call(() => handle.query(progressQuery), QUERY_MS).catch(() => null);
      return { workflowId, runId, startedAt: startTime.toISOString(), handle, progress };
    }),
  );
}

/** The running drill that `name` means (`42`, `drill-000042`, a target's name, a workflow id); without a name the only one. Throws `drill_unknown`. */
export async function findRunningDrill(temporal: TemporalAccess, home: string, name: string | undefined): Promise<RunningDrill> {
  const running = await listRunningDrills(temporal);
  const words = running.map(nameOfDrill).join(', ');
  if (name === undefined) {
    const [only, second] = running;
    if (only === undefined)
      throw new GamedayError('drill_unknown', 'no drill runs', '`gameday status` shows what is broken on purpose, drill or not.');
    if (second !== undefined) throw new GamedayError('drill_unknown', `several drills run: ${words}`, 'name the one that is meant.');
    return only;
  }
  const sequence = drillSequence(name);
  const onTarget = workflowOnTarget(home, name);
  const matches = running.filter(
    ({ workflowId, progress }) => workflowId === name || workflowId === onTarget || (sequence !== null && progress?.sequence === sequence),
  );
  const [match, other] = matches;
  if (match === undefined)
    throw new GamedayError(
      'drill_unknown',
      `${sequence === null ? name : drillName(sequence)} does not run${words === '' ? '' : `; running: ${words}`}`,
    );
  if (other !== undefined)
    throw new GamedayError(
      'drill_unknown',
      `${name} runs on several targets`,
      `name the workflow: ${matches.map(({ workflowId }) => workflowId).join(', ')}`,
    );
  return match;
}

/** Workflow id of a drill on the target of this name; null if there is no such target. */
function workflowOnTarget(home: string, name: string): string | null {
  try {
    return drillWorkflowId(loadTarget(findTarget(home, name)).target.systemIdentifier);
  } catch (error) {
    if (error instanceof GamedayError) return null;
    throw error;
  }
}

export function nameOfDrill({ progress, workflowId }: Pick<RunningDrill, 'progress' | 'workflowId'>): string {
  return progress?.drill ?? workflowId;
}
