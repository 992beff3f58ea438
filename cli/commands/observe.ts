/** `gameday observe --dsn DSN --for 10m`: probe and judge only; no faults, no lab, no Temporal. */
import { Command, Option } from 'commander';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { collect, defineCommand } from '../command';
import { observe } from '../observe';
import { observeRequest, type ObserveOptions } from '../observe-request';
import { exitWith, personId, type Terminal } from '../terminal';

export function observeCommand(): Command {
  const command = new Command('observe')
    .description('probe and judge only: no faults, no lab, no Temporal; for managed databases and failovers done by hand')
    .option(
      '-d, --dsn <dsn>',
      'how clients come in; several hosts in one are tried in order (repeatable: a further way in each)',
      collect,
      [],
    )
    .option('--for <duration>', 'how long, after a steady baseline', '10m')
    .option(
      '--node <name=dsn>',
      'a node to ask ten times a second, past all routers (repeatable; default: the hosts of a multi-host --dsn)',
      collect,
      [],
    )
    .option('--rto <duration>', 'objective: longest time without writes')
    .option('--rpo <n>', 'objective: acknowledged writes that may be lost')
    .option('--period <duration>', 'between two writes; default: 20 writes a second over all ways in')
    .option('--window <duration>', 'of the baseline and of recovery', '10s')
    .option('--connections <n>', 'at most, over all', '10')
    .option('--max-size <size>', 'what the table may grow to', '256MB')
    .option('--read-only', 'write nothing')
    .option('--application-database', 'allow writes in a database that is not called gameday')
    .option('--name <name>', 'of the target in the evidence; default: observed-<end of the system identifier>')
    .addOption(new Option('--kind <kind>', 'of the target').choices(['lab', 'staging', 'production']).default('production'))
    .option('--as <person>', 'who observes')
    .addHelpText(
      'after',
      '\nCtrl-C ends the observation early and judges what there is.\npasswords: env:NAME or file:/path in the place of the password, PGPASSWORD, .pgpass' +
        '\nexit codes: 0 sound, objectives met · 1 objective missed, or writes lost · 2 bad input · 3 inconclusive · 4 the observation failed · 6 refused · 75 unreachable · 130 left',
    );
  return defineCommand(command, async ({ home, terminal }, options: ObserveOptions) => {
    const person = personId(options.as);
    const request = observeRequest(options, {
      env: process.env,
      login: personId(undefined),
      passfile: (path) => readPassfile(path, terminal),
    });
    exitWith(await observe(request, { home, terminal, person }));
  });
}

/** As libpq does, a file that others may read is passed over, with a word. */
function readPassfile(named: string | null, terminal: Terminal): string | null {
  const path = named ?? process.env['PGPASSFILE'] ?? join(homedir(), '.pgpass');
  if (!existsSync(path)) return null;
  if ((statSync(path).mode & 0o077) !== 0) {
    terminal.progress(`note: ${path} is passed over, because others may read it; chmod 0600 it`);
    return null;
  }
  return readFileSync(path, 'utf8');
}
