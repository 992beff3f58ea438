/**
 * `gameday check --target T`: what a drill there needs and has or lacks, and which faults are possible; asked from here. With `--scenario` the workers are
 * asked whether that very drill may run now. Both touch nothing.
 */
import { Command } from 'commander';
import { randomUUID } from 'node:crypto';
import { taskQueues } from '../../core/ids';
import { EXIT } from '../../model/constants';
import type { Plan } from '../../model/plan';
import type { CheckResult } from '../../model/record';
import { findTarget, loadTarget } from '../../scenarios/load-target';
import { collect, defineCommand, type CommandContext } from '../command';
import { planFor } from '../plan-request';
import { checkTarget, type CheckLine, type TargetReport } from '../target-check';
import type { FaultLine } from '../target-faults';
import { cellText } from '../target-possible';
import { withTemporal, type TemporalAccess } from '../temporal';
import { exitWith } from '../terminal';

const READINESS_WORKFLOW = 'readiness';
const READINESS_MS = 60_000;

interface Options {
  readonly target: string;
  readonly scenario?: string;
  readonly set: readonly string[];
}

export function checkCommand(): Command {
  const command = new Command('check')
    .description('what a drill on a target needs, has and lacks, and which faults are possible; touches nothing')
    .option('-t, --target <target>', 'name or path of the target file', 'lab')
    .option('-s, --scenario <scenario>', 'ask the workers instead whether this very drill may run now')
    .option('--set <name=value>', 'override a variable of the scenario (repeatable)', collect, []);
  return defineCommand(command, async (context, options: Options) => {
    if (options.scenario === undefined) await checkWholeTarget(context, options.target);
    else await checkScenario(context, { ...options, scenario: options.scenario });
  });
}

async function checkScenario({ home, terminal }: CommandContext, options: Options & { readonly scenario: string }): Promise<void> {
  const { plan } = await planFor(home, options);
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
}

async function checkWholeTarget({ home, terminal }: CommandContext, name: string): Promise<void> {
  const { target, source, file } = loadTarget(findTarget(home, name));
  terminal.progress(`asking ${target.nodes.length} nodes and trying every fault’s pre-flight; nothing is touched`);
  const report = await checkTarget(target, source, home);
  terminal.print(reportText(target.name, report));
  terminal.result({ target: target.name, file, ...report });
  exitWith(report.ready ? EXIT.pass : EXIT.refused);
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

/** Parts with their lines, then the faults, then the disasters of the target's column, then the verdict. */
export function reportText(target: string, { ready, lines, faults, column }: TargetReport): string {
  const missing = lines.filter(({ state }) => state === 'lacks').length;
  return [
    ...[...new Set(lines.map(({ part }) => part))].flatMap((part) => [
      part,
      ...lines.filter((line) => line.part === part).flatMap(lineText),
    ]),
    'faults',
    ...faults.flatMap(faultText),
    `disasters (${column.name}; docs/WHAT-IS-POSSIBLE.md)`,
    ...column.cells.map(
      ({ number, name, cell }) => `  ${cell.possible ? '✓' : '–'} ${String(number).padStart(2)} ${name}: ${cellText(cell)}`,
    ),
    '',
    ready
      ? `ready: a drill could run on ${target}`
      : `not ready: ${missing} thing${missing === 1 ? '' : 's'} lacking on ${target}; nothing was touched`,
  ].join('\n');
}

function lineText({ name, state, found, remedy }: CheckLine): string[] {
  const mark = state === 'has' ? '✓' : state === 'lacks' ? '✕' : '–';
  return [`  ${mark} ${name}: ${found}`, ...(remedy === null ? [] : [`      ${remedy}`])];
}

function faultText({ fault, state, reasons }: FaultLine): string[] {
  switch (state) {
    case 'possible':
      return [`  ✓ ${fault}: possible`];
    case 'not':
      return [`  – ${fault}: not possible: ${reasons.join('; ')}`];
    case 'once':
      return [`  ✕ ${fault}: possible once ${reasons.map((reason) => reason.replace(/\.$/, '')).join('; and ')}`];
  }
}
