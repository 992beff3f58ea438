/** `node dist/infra/supervisor/restart-child.js --home DIR NAME`: restarts one child of the supervisor; what a target names to restart Toxiproxy. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GamedayError, messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { openSupervisorClient } from './client';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: { home: { type: 'string' } }, allowPositionals: true });
  const [name] = positionals;
  if (values.home === undefined || name === undefined)
    throw new GamedayError('usage', 'restart-child needs --home DIR and the name of a child');
  await openSupervisorClient(homePaths(resolve(values.home)).run).restart(name);
}

main().catch((error: unknown) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = error instanceof GamedayError ? error.exit : 70;
});
