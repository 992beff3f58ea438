/** `gameday recompute BUNDLE`: makes the record again from ledger, surviving rows and events, offline, and compares. One line a group, exit 0 or 1. */
import { Command } from 'commander';
import { existsSync } from 'node:fs';
import { homePaths } from '../../core/home';
import { readRecord } from '../../evidence/read-bundle';
import { recomputeBundle } from '../../evidence/recompute';
import { EXIT } from '../../model/constants';
import { defineCommand } from '../command';
import { exitWith } from '../terminal';

export function recomputeCommand(): Command {
  const command = new Command('recompute')
    .description('derive every number of a record from ledger and events again, offline, and compare')
    .argument('<bundle>', 'directory of the bundle, or number of a drill run here')
    .option('-t, --target <target>', 'where several targets have this number');
  return defineCommand(command, async ({ home, terminal }, options: { readonly target?: string }, bundle: string) => {
    const dir = existsSync(bundle) ? bundle : readRecord(homePaths(home).drills, bundle, options.target ?? null).dir;
    const { ok, groups, notDerived } = await recomputeBundle(dir);
    for (const group of groups)
      terminal.print(`${group.ok ? 'ok      ' : 'DIFFERS '}${group.fields} (from ${group.from}): ${group.detail}`);
    terminal.print(
      ['', 'not derived again, because no file can tell it a second time:', ...notDerived.map((text) => `  – ${text}`)].join('\n'),
    );
    terminal.print(
      ok
        ? `\nrecomputed: ${dir} gives its record again, byte for byte`
        : `\nnot recomputed: ${dir} does not give the record that stands in it`,
    );
    terminal.result({ ok, dir, groups, notDerived });
    exitWith(ok ? EXIT.pass : EXIT.objectiveMissed);
  });
}
