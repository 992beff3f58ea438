/** `gameday check --target T`: readiness only — what would stop a drill now, and how to fix it. Touches nothing. */
import { Command } from 'commander';
import { randomUUID } from 'node:crypto';
import { taskQueues } from '../../core/ids';
import { EXIT } from '../../model/constants';
import type { Plan } from '../../model/plan';
import type { CheckResult } from '../../model/record';
import { collect, defineCommand } from '../command';
import { planFor } from '../plan-request';
import { withTemporal, type TemporalAccess } from '../temporal';
import { exitWith } from '../terminal';

const READINESS_WORKFLOW = 'readiness';
const READINESS_MS = 60_000;

interface Options {
  readonly target: string;
  readonly scenario: string;
  readonly set: readonly string[];
}

export function checkCommand(): Command {
  const command = new Command('check')
    .description('readiness only: what would stop a drill, and how to fix it')
    .option('-t, --target <target>', 'name or path of the target file', 'lab')
    .option('-s, --scenario <scenario>', 'whose faults and objectives are checked', 'game-day-in-a-box')
    .option('--set <name=value>', 'override a variable (repeatable)', collect, []);
  return defineCommand(command, async ({ home, terminal }, options: Options) => {
    const { plan } = planFor(home, options);
    const checks = await withTemporal(home, (temporal) => askReadiness(temporal, plan));
    const ok = checks.every((check) => check.ok);
    terminal.print(checksText(checks));
    terminal.print(
      ok
        ? `\nready: ${plan.scenario.name} may run on ${plan.target.name}`
        : `\nnot ready: ${checks.filter((check) => !check.ok).length} of ${checks.length} checks fail; nothing was touched`,
    );
    terminal.result({ ready: ok, target: plan.target.name, scenario: plan.scenario.name, checks });
    exitWith(ok ? EXIT.pass : EXIT.refused);
  });
}

/** What readiness finds now; touches nothing. Throws what the workflow failed with. */
export function askReadiness(temporal: TemporalAccess, plan: Plan): Promise<readonly CheckResult[]> {
  return temporal.call(
    () =>
      temporal.client.workflow.execute<(input: Plan) => Promise<readonly CheckResult[]>>(READINESS_WORKFLOW, {
        args: [plan],
        workflowId: `readiness/${plan.target.systemIdentifier}/${randomUUID()}`,
        taskQueue: taskQueues(plan.target.site).control,
        workflowExecutionTimeout: READINESS_MS,
      }),
    READINESS_MS + 5_000,
  );
}

/** One line per check; what to do beneath those that fail. */
export function checksText(checks: readonly CheckResult[]): string {
  return checks
    .flatMap(({ name, ok, found, expected, hint }) => [
      `${ok ? '✓' : '✕'} ${name}: ${found}`,
      ...(ok ? [] : [`    expected: ${expected}`]),
      ...(ok || hint === null ? [] : [`    HINT: ${hint}`]),
    ])
    .join('\n');
}
