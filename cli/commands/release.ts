/** `gameday release --reason R`: takes back the safety lever, so that drills may run again. It starts none. */
import { Command } from 'commander';
import { join } from 'node:path';
import { homePaths } from '../../core/home';
import { openGuardian } from '../../faults/guardian/client';
import { defineCommand } from '../command';
import { personId } from '../terminal';

export function releaseCommand(): Command {
  const command = new Command('release')
    .description('let drills run again after `halt --all`')
    .requiredOption('-r, --reason <reason>', 'why it is safe again')
    .option('--as <person>', 'who releases');
  return defineCommand(command, async ({ home, terminal }, options: { readonly reason: string; readonly as?: string }) => {
    const guardian = openGuardian(join(homePaths(home).run, 'guardian.sock'));
    const halt = await guardian.standingHalt();
    if (halt !== null) await guardian.release({ by: personId(options.as), reason: options.reason });
    terminal.print(
      halt === null ? 'nothing was halted; drills may run' : `released; it had been halted by ${halt.by} at ${halt.at}: ${halt.reason}`,
    );
    terminal.result({ released: halt !== null, halt });
  });
}
