/** `gameday compare A B`: two drills beside each other, from their records alone. It warns where they are not of the same thing. */
import { Command } from 'commander';
import { comparedDrill } from '../../core/compared-drill';
import { homePaths } from '../../core/home';
import { readRecord } from '../../evidence/read-bundle';
import { compareDrills, comparisonText } from '../../report/compare';
import { defineCommand } from '../command';

export function compareCommand(): Command {
  const command = new Command('compare')
    .description('two drills beside each other; differences within the error bounds are none')
    .argument('<before>', 'number, name, or directory of the bundle')
    .argument('<after>', 'number, name, or directory of the bundle')
    .option('-t, --target <target>', 'where several targets have these numbers');
  return defineCommand(command, async ({ home, terminal }, options: { readonly target?: string }, first: string, second: string) => {
    const read = (name: string): ReturnType<typeof readRecord> => readRecord(homePaths(home).drills, name, options.target ?? null);
    const [before, after] = [read(first), read(second)];
    const comparison = compareDrills(comparedDrill(before.record), comparedDrill(after.record));
    terminal.print(comparisonText(comparison));
    terminal.result(comparison);
    return Promise.resolve();
  });
}
