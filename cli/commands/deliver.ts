/** `gameday deliver`: brings sealed bundles that wait in this home into the shared evidence store. Workers do the same by themselves. */
import { Command } from 'commander';
import { GamedayError } from '../../core/errors';
import { deliverWaiting } from '../../evidence/deliver';
import { defineCommand } from '../command';

export function deliverCommand(): Command {
  const command = new Command('deliver').description('deliver sealed bundles that wait for the shared evidence store');
  return defineCommand(command, async ({ home, terminal }) => {
    const { delivered, waiting } = await deliverWaiting(home);
    for (const prefix of delivered) terminal.print(`delivered  ${prefix}`);
    for (const { prefix, since, problem } of waiting) terminal.print(`waiting    ${prefix} since ${since}: ${problem ?? 'not tried yet'}`);
    if (delivered.length + waiting.length === 0) terminal.print('nothing waits');
    terminal.result({ delivered, waiting });
    if (waiting.length > 0)
      throw new GamedayError('store_unreachable', `${waiting.length} bundles wait; they are whole and stay on this machine`);
  });
}
