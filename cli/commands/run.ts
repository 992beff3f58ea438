/** `gameday run SCENARIO --target T`: runs a drill and follows it to its verdict. */
import { Command } from 'commander';
import { collect, defineCommand } from '../command';
import { planFor } from '../plan-request';
import { runDrill } from '../run-drill';
import { exitWith } from '../terminal';

interface Options {
  readonly target: string;
  readonly set: readonly string[];
  readonly as?: string;
  readonly detach?: boolean;
}

export function runCommand(): Command {
  const command = new Command('run')
    .description('run a drill and follow it live')
    .argument('<scenario>', 'name in the library, or path of a YAML file')
    .option('-t, --target <target>', 'name or path of the target file', 'lab')
    .option('--set <name=value>', 'override a variable (repeatable)', collect, [])
    .option('--as <person>', 'who starts, answers and halts from here')
    .option('--detach', 'start it and do not follow')
    .addHelpText(
      'after',
      '\nexit codes: 0 pass · 1 objective missed · 2 bad input · 3 inconclusive · 4 aborted · 5 unsafe · 6 refused · 75 service unreachable · 130 detached',
    );
  return defineCommand(command, async ({ home, terminal }, options: Options, scenario: string) => {
    const built = planFor(home, { scenario, target: options.target, set: options.set });
    exitWith((await runDrill({ home, terminal, built, person: options.as, detach: options.detach === true })).exit);
  });
}
