/** `gameday plan SCENARIO --target T`: what would be done, to what; touches nothing. */
import { Command } from 'commander';
import { resolve } from 'node:path';
import { GamedayError } from '../../core/errors';
import { writePlanFile } from '../../scenarios/plan-file';
import { collect, defineCommand } from '../command';
import { planFor } from '../plan-request';
import { planText } from '../plan-text';
import { planRestores, restoreLines } from '../restore-costs';

export function planCommand(): Command {
  const command = new Command('plan')
    .description('show what would be done, to what; touches nothing')
    .argument('<scenario>', 'name in the library, path of a YAML file, or a plan’s file')
    .option('-t, --target <target>', 'name or path of the target file (default: lab)')
    .option('--set <name=value>', 'override a variable (repeatable)', collect, [])
    .option('-o, --out <file>', 'write the plan as a file too, for `approve` and `run`; its SHA-256 is what gets approved and registered');
  return defineCommand(
    command,
    async (
      { home, terminal },
      options: { readonly target?: string; readonly set: readonly string[]; readonly out?: string },
      scenario: string,
    ) => {
      const { plan, planSha256, notes } = await planFor(home, { scenario, target: options.target, set: options.set });
      if (options.out !== undefined) {
        if (!options.out.endsWith('.json'))
          throw new GamedayError('usage', `--out ${options.out} does not end in .json, so nobody would know it for a plan`);
        writePlanFile(resolve(options.out), plan);
      }
      const restores = await planRestores(home, plan);
      terminal.print(planText(plan, planSha256, notes, restoreLines(restores)));
      terminal.result({ planSha256, notes, plan, restores });
    },
  );
}
