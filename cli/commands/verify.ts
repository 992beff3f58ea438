/** `gameday verify BUNDLE`: offline; needs nothing but the bundle and a public key. One line a check, exit 0 or 1. */
import { Command } from 'commander';
import { existsSync, readFileSync } from 'node:fs';
import { GamedayError, messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { readRecord } from '../../evidence/read-bundle';
import { verifyBundle } from '../../evidence/verify';
import { EXIT } from '../../model/constants';
import { defineCommand } from '../command';
import { exitWith } from '../terminal';

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description('check a bundle offline: sums, signatures, chains')
    .argument('<bundle>', 'directory of the bundle, or number of a drill run here')
    .option('-k, --key <file>', 'public key (PEM) of the signer, obtained out of band')
    .option('-t, --target <target>', 'where several targets have this number');
  return defineCommand(
    command,
    async ({ home, terminal }, options: { readonly key?: string; readonly target?: string }, bundle: string) => {
      const dir = existsSync(bundle) ? bundle : readRecord(homePaths(home).drills, bundle, options.target ?? null).dir;
      const { ok, checks, keyFingerprint } = await verifyBundle(dir, {
        publicKeyPem: options.key === undefined ? null : readKey(options.key),
      });
      terminal.print(checks.map((check) => `${check.ok ? 'ok      ' : 'FAILED  '}${check.name}: ${check.detail}`).join('\n'));
      terminal.print(
        ok
          ? `\nverified: ${dir} is what was sealed with key ${keyFingerprint ?? '?'}`
          : `\nnot verified: ${dir}${options.key === undefined ? '; name the signer’s public key with --key' : ''}`,
      );
      terminal.result({ ok, dir, keyFingerprint, checks });
      exitWith(ok ? EXIT.pass : EXIT.objectiveMissed);
    },
  );
}

function readKey(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new GamedayError('file_unreadable', `public key ${path}: ${messageOf(error)}`, null, { cause: error });
  }
}
