/** Starts a drill and follows it to its verdict: what `run` and `demo` share. The drill does not depend on this process. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { isAbsolute } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { drillWorkflowId, taskQueues } from '../core/ids';
import { readRecord } from '../evidence/read-bundle';
import type { SignedApproval } from '../model/approval';
import { EXIT, type ExitCode } from '../model/constants';
import type { DrillInput, DrillResult } from '../model/message';
import { renderTerminal } from '../report/terminal';
import type { BuiltPlan } from '../scenarios/build-plan';
import { DRILL_WORKFLOW } from '../workflows/messages';
import { exitCodeOf, resultLine } from './exit-codes';
import { followDrill } from './follow';
import { withTemporal, type TemporalAccess } from './temporal';
import { personId, type Terminal } from './terminal';

export type Occasion = Partial<Pick<DrillInput, 'trigger' | 'announced'>>;

export interface RunRequest {
  readonly home: string;
  readonly terminal: Terminal;
  readonly built: BuiltPlan;
  /** `--as`; null: the login's name. */
  readonly person: string | undefined;
  /** Start only, print the workflow's id. */
  readonly detach: boolean;
  /** Why it is run, and whether people were told of it before; absent: a command, and nobody said. */
  readonly occasion?: Occasion;
  /** Brought along; those in the workers' home are found there. */
  readonly approvals?: readonly SignedApproval[];
}

/** Returns the exit code; the verdict has been printed. Throws `drill_running`, `temporal_unreachable`, or what the drill failed with. */
export async function runDrill(request: RunRequest): Promise<{ readonly exit: ExitCode; readonly result: DrillResult | null }> {
  const { home, terminal, built } = request;
  const { plan, planSha256, notes } = built;
  for (const note of notes) terminal.progress(`note: ${note}`);
  return withTemporal(home, async (temporal) => {
    const input: DrillInput = {
      plan,
      planSha256,
      startedBy: personId(request.person),
      trigger: { kind: 'command', name: null },
      home,
      ...request.occasion,
      ...(request.approvals === undefined ? {} : { approvals: request.approvals }),
    };
    const handle = await start(temporal, input);
    terminal.progress(`${plan.scenario.title} on ${plan.target.name} · plan ${planSha256.slice(0, 12)} · ${handle.workflowId}`);
    if (request.detach) {
      terminal.print(`started ${handle.workflowId}; \`gameday status\` shows it`);
      terminal.result({ workflowId: handle.workflowId, runId: handle.firstExecutionRunId, planSha256 });
      return { exit: EXIT.pass, result: null };
    }
    const runId = handle.firstExecutionRunId;
    const pinned = temporal.client.workflow.getHandle(handle.workflowId, runId);
    const followed = await followDrill({ terminal, temporal, handle: pinned, runId, person: request.person, home });
    if (followed.kind === 'detached') {
      terminal.result({ workflowId: handle.workflowId, runId: handle.firstExecutionRunId, detached: true });
      return { exit: EXIT.detached, result: null };
    }
    showVerdict(terminal, followed.result);
    return { exit: exitCodeOf(followed.result), result: followed.result };
  });
}

async function start(temporal: TemporalAccess, input: DrillInput) {
  const { target } = input.plan;
  try {
    return await temporal.call(() =>
      temporal.client.workflow.start(DRILL_WORKFLOW, {
        args: [input],
        workflowId: drillWorkflowId(target.systemIdentifier),
        taskQueue: taskQueues(target.site).control,
        workflowIdConflictPolicy: 'FAIL',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        staticSummary: `${input.plan.scenario.title} on ${target.name}`,
      }),
    );
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError)
      throw new GamedayError('drill_running', `a drill runs on ${target.name} already`, null, { cause: error });
    throw error;
  }
}

/** The box with the verdict, what is not healed, and where the evidence lies. The record in the bundle speaks; without it the result does. */
function showVerdict(terminal: Terminal, result: DrillResult): void {
  try {
    const { record } = readRecord('', result.evidence);
    terminal.print(renderTerminal(record, { color: terminal.color }));
  } catch (error) {
    terminal.progress(`the record could not be shown here: ${messageOf(error)}`);
    terminal.print([`${result.drill}: ${result.verdict} (${result.state})`, ...result.reasons.map((reason) => `  – ${reason}`)].join('\n'));
  }
  if (result.unhealed.length > 0)
    terminal.print(
      [
        '',
        'NOT HEALED. By hand:',
        ...result.unhealed.flatMap((lease) => [`  ${lease.handle.preview}`, ...lease.handle.manualUndo.map((command) => `    ${command}`)]),
      ].join('\n'),
    );
  terminal.print(`evidence  ${result.evidence}${isAbsolute(result.evidence) ? `\nreport    ${result.evidence}/report.html` : ''}`);
  terminal.result(resultLine(result));
}
