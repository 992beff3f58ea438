/** `gameday signoff DRILL`: a person's signature over the seal of a drill that somebody else started. It shows what is signed before it signs. */
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { nowUtc } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { deliverOrWait } from '../../evidence/deliver';
import { PUBLIC_KEY_FILE } from '../../evidence/layout';
import { readRecord } from '../../evidence/read-bundle';
import { signOff } from '../../evidence/signoff';
import { openBundleStore, openEvidence } from '../../evidence/store';
import { renderTerminal } from '../../report/terminal';
import { defineCommand } from '../command';
import { personId } from '../terminal';

interface Options {
  readonly key: string;
  readonly as?: string;
  readonly note?: string;
  readonly target?: string;
}

export function signoffCommand(): Command {
  const command = new Command('signoff')
    .description('sign a sealed drill that somebody else started: you have read its record')
    .argument('<drill>', 'number, name, or directory of the bundle')
    .option(
      '--key <file>',
      'your ssh key (a public one where an agent holds the private one), or a PEM key file',
      join(homedir(), '.ssh', 'id_ed25519'),
    )
    .option('--as <name>', 'your name in the allowed-signers file; default: the login’s')
    .option('--note <text>', 'what you say with it; it is signed too')
    .option('-t, --target <target>', 'where several targets have this number');
  return defineCommand(command, async ({ home, terminal }, options: Options, name: string) => {
    const found = readRecord(homePaths(home).drills, name, options.target ?? null);
    const { record, dir } = found;
    terminal.progress(renderTerminal(record, { color: terminal.color }));
    const prefix = basename(dir);
    const signed = await signOff({
      store: openBundleStore(dirname(dir)),
      prefix,
      drill: record.drill,
      systemIdentifier: record.target.systemIdentifier,
      startedBy: record.startedBy,
      sealKeyPem: readText(join(dir, PUBLIC_KEY_FILE)),
      signer: personId(options.as),
      note: options.note ?? null,
      key: resolve(options.key),
      at: nowUtc(),
    });
    const kind = record.type === 'live' ? 'production' : record.type;
    const waiting = isOfHome(home, dir)
      ? await deliverOrWait(home, openEvidence(home, kind), `${record.target.name}/${record.drill}`, kind)
      : null;
    terminal.print(`${signed.name}  ${record.drill} signed off by ${signed.signoff.signer} with key ${signed.key}`);
    if (waiting !== null) terminal.progress(`it waits for the evidence store: ${waiting}`);
    terminal.result({ dir, ...signed });
  });
}

function isOfHome(home: string, dir: string): boolean {
  return resolve(dirname(dirname(dir))) === resolve(homePaths(home).drills);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new GamedayError('file_unreadable', `${path} cannot be read: ${messageOf(error)}`, null, { cause: error });
  }
}
