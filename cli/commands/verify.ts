/** `gameday verify BUNDLE`: offline; needs nothing but the bundle and a public key. One line a check, exit 0 or 1. */
import { Command } from 'commander';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { readRecord } from '../../evidence/read-bundle';
import { verifySeries, type SeriesReport } from '../../evidence/series';
import { fingerprintOf } from '../../evidence/signing';
import { openBundleStore, openSharedStore } from '../../evidence/store';
import { verifyBundle } from '../../evidence/verify';
import { EXIT } from '../../model/constants';
import { collect, defineCommand, type CommandContext } from '../command';
import { exitWith } from '../terminal';

interface Options {
  readonly key: readonly string[];
  readonly target?: string;
  readonly signers?: string;
  readonly tsa?: string;
  readonly series?: boolean;
}

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description('check a bundle, or with --series all drills of a target, offline: sums, signatures, chains')
    .argument('<bundle>', 'directory of the bundle, or number of a drill run here; with --series a target, or its directory')
    .option(
      '-k, --key <key>',
      'the signer’s public key (PEM file) or its fingerprint, obtained out of band (with --series repeatable)',
      collect,
      [],
    )
    .option('--series', 'the target’s drills as a whole: gaps, unsealed ones, broken chains, changed targets and keys')
    .option('--signers <file>', 'allowed signers (ssh-keygen’s format), for sign-offs')
    .option('--tsa <file>', 'certificates (PEM) of the timestamp authority')
    .option('-t, --target <target>', 'where several targets have this number');
  return defineCommand(command, async (context, options: Options, bundle: string) => {
    if (options.series === true) return verifySeriesHere(context, options.key.map(readTrusted), bundle);
    if (options.key.length > 1) throw new GamedayError('usage', 'a bundle is sealed with one key', 'name one --key.');
    return verifyOne(context, options, bundle);
  });
}

async function verifyOne({ home, terminal }: CommandContext, options: Options, bundle: string): Promise<void> {
  const dir = existsSync(bundle) ? bundle : readRecord(homePaths(home).drills, bundle, options.target ?? null).dir;
  const [trusted] = options.key.map(readTrusted);
  const { ok, checks, keyFingerprint } = await verifyBundle(dir, {
    publicKeyPem: trusted?.pem ?? null,
    fingerprint: trusted?.fingerprint ?? null,
    allowedSigners: options.signers === undefined ? null : readText('allowed signers', options.signers),
    timestampCa: options.tsa === undefined ? null : readText('certificates', options.tsa),
  });
  terminal.print(checks.map((check) => `${check.ok ? 'ok      ' : 'FAILED  '}${check.name}: ${check.detail}`).join('\n'));
  terminal.print(
    ok
      ? `\nverified: ${dir} is what was sealed with key ${keyFingerprint ?? '?'}`
      : `\nnot verified: ${dir}${trusted === undefined ? '; name the signer’s public key with --key' : ''}`,
  );
  terminal.result({ ok, dir, keyFingerprint, checks });
  exitWith(ok ? EXIT.pass : EXIT.objectiveMissed);
}

const SHOWN_PROBLEMS = 200;

async function verifySeriesHere({ home, terminal }: CommandContext, keys: readonly Trusted[], what: string): Promise<void> {
  const isDirectory = existsSync(what) && statSync(what).isDirectory();
  const place = isDirectory
    ? { store: openBundleStore(dirname(resolve(what))), target: basename(resolve(what)) }
    : { store: openSharedStore(home), target: what };
  const report = await verifySeries(place.store, place.target, { trusted: keys.map(({ fingerprint }) => fingerprint) });
  for (const { drill, kind, detail } of report.problems.slice(0, SHOWN_PROBLEMS)) terminal.print(`FAILED  ${drill}: ${kind}: ${detail}`);
  for (const { drill, kind, detail } of report.notes.slice(0, SHOWN_PROBLEMS)) terminal.print(`note    ${drill}: ${kind}: ${detail}`);
  const unseen =
    report.problemCount +
    report.noteCount -
    Math.min(report.problems.length, SHOWN_PROBLEMS) -
    Math.min(report.notes.length, SHOWN_PROBLEMS);
  if (unseen > 0) terminal.print(`… and ${unseen} more`);
  terminal.print(seriesText(report));
  terminal.result(report);
  exitWith(report.ok ? EXIT.pass : EXIT.objectiveMissed);
}

function seriesText({ target, registered, sealed, first, last, states, keys, ok }: SeriesReport): string {
  const counts = Object.entries(states).map(([state, count]) => `${count} ${state}`);
  return [
    '',
    `${target}: ${registered} registered (${first ?? '–'} to ${last ?? '–'}), ${sealed} sealed${counts.length === 0 ? '' : `: ${counts.join(', ')}`}`,
    ...keys.map(
      ({ fingerprint, from, trusted }) => `key ${fingerprint} from ${from} on${trusted ? '' : ', not among the keys that you trust'}`,
    ),
    ok ? 'the series is whole' : 'the series is not whole, or not known to be',
  ].join('\n');
}

interface Trusted {
  readonly pem: string | null;
  readonly fingerprint: string;
}

/** A PEM file, or a fingerprint in hex. */
function readTrusted(given: string): Trusted {
  const fingerprint = given.toLowerCase().replaceAll(':', '');
  if (/^[0-9a-f]{64}$/.test(fingerprint)) return { pem: null, fingerprint };
  const pem = readText('public key', given);
  return { pem, fingerprint: fingerprintOf(pem) };
}

function readText(what: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new GamedayError('file_unreadable', `${what} ${path}: ${messageOf(error)}`, null, { cause: error });
  }
}
