/** `gameday plan SCENARIO --target T`: what would be done, to what; touches nothing. */
import { Command } from 'commander';
import { collect, defineCommand } from '../command';
import { planFor } from '../plan-request';
import { planText } from '../plan-text';

export function planCommand(): Command {
  const command = new Command('plan')
    .description('show what would be done, to what; touches nothing')
    .argument('<scenario>', 'name in the library, or path of a YAML file')
    .option('-t, --target <target>', 'name or path of the target file', 'lab')
    .option('--set <name=value>', 'override a variable (repeatable)', collect, []);
  return defineCommand(
    command,
    async ({ home, terminal }, options: { readonly target: string; readonly set: readonly string[] }, scenario: string) => {
      const { plan, planSha256, notes } = planFor(home, { scenario, target: options.target, set: options.set });
      terminal.print(planText(plan, planSha256, notes));
      terminal.result({ planSha256, notes, plan });
    },
  );
}
