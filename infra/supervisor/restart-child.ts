/**
 * `node dist/infra/supervisor/restart-child.js --home DIR NAME`: restarts one child of the supervisor; what a target names to restart Toxiproxy. `--only-if-down`
 * starts it if it does not run; `--never` ends nothing, and has it left down once it ends: what a target names for its services.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GamedayError, messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { openSupervisorClient } from './client';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { home: { type: 'string' }, 'only-if-down': { type: 'boolean' }, never: { type: 'boolean' } },
    allowPositionals: true,
  });
  const [name] = positionals;
  if (values.home === undefined || name === undefined)
    throw new GamedayError('usage', 'restart-child needs --home DIR and the name of a child');
  const supervisor = openSupervisorClient(homePaths(resolve(values.home)).run);
  if (values.never === true) await supervisor.leaveDown(name);
  else if (values['only-if-down'] === true) await supervisor.ensure(name);
  else await supervisor.restart(name);
}

main().catch((error: unknown) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = error instanceof GamedayError ? error.exit : 70;
});
