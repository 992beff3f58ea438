/**
 * The report on paper: its HTML printed by a Chromium that is on this machine, for the bundle and for whoever asks. The browser is an outside tool like
 * `openssl` (`timestamp.ts`), so it is run here and not in report/, which is pure. It gets an empty profile of its own and no network, and both files that pass
 * between are removed whatever happens.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { nowUtc } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { isExecutable } from '../core/files';
import { run } from '../core/process';
import type { BundleFile } from './bundle';
import { readEvents, recordEvents } from './events';
import type { FactsPlace } from './kept-facts';
import { REPORT_PDF_FILE } from './layout';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'] as const;
const TIMEOUT_MS = 60_000;
/** A seal waits no longer for paper: the drill is over, but people wait for its evidence. */
const SEAL_PATIENCE_MS = 30_000;
/** An hour's drill has less than a hundredth of it. */
const MAX_PDF_BYTES = 64 * 1024 * 1024;
const NOT_PRINTED_KIND = 'report not printed';

/** `GAMEDAY_REPORT_PDF`: `on` (the default) or `off`. Throws `setting_invalid`. */
export function printsReport(environment: NodeJS.ProcessEnv): boolean {
  const value = environment['GAMEDAY_REPORT_PDF'] ?? '';
  if (value === '' || value === 'on') return true;
  if (value === 'off') return false;
  throw new GamedayError(
    'setting_invalid',
    `GAMEDAY_REPORT_PDF is "${value}"`,
    '`on`, the default, prints report.pdf into every bundle where a Chromium is at hand; `off` prints none.',
  );
}

/**
 * `report.pdf` for a bundle that is about to be sealed. Without a browser, in time, there is none, and an event of the chain says why: no seal fails for it.
 * What was given up once is not tried again by whoever seals after a crash. Throws `store_unreachable`.
 */
export async function reportOnPaper(
  place: FactsPlace,
  drill: string,
  html: string,
  environment: NodeJS.ProcessEnv,
  patienceMs = SEAL_PATIENCE_MS,
): Promise<readonly BundleFile[]> {
  const { store, bundle, writer, step, actor } = place;
  if ((await readEvents(store, bundle, writer)).some(({ kind }) => kind === NOT_PRINTED_KIND)) return [];
  let reason = 'turned off by GAMEDAY_REPORT_PDF';
  try {
    if (printsReport(environment)) return [{ name: REPORT_PDF_FILE, data: await printPdf(html, environment, patienceMs) }];
  } catch (error) {
    reason = messageOf(error);
  }
  const text = `${REPORT_PDF_FILE} is not in this bundle: ${reason}`;
  const body = { drill, writer, step, kind: NOT_PRINTED_KIND, attempt: 1, at: nowUtc(), actor, text, facts: { notRecorded: reason } };
  await recordEvents(store, bundle, writer, [body]);
  return [];
}

/** The browser named by `GAMEDAY_CHROMIUM`, else the first on PATH. Throws `tool_missing`. */
export function findBrowser(environment: NodeJS.ProcessEnv): string {
  const named = environment['GAMEDAY_CHROMIUM'];
  if (named !== undefined && named !== '') {
    if (isExecutable(named)) return named;
    throw new GamedayError('tool_missing', `GAMEDAY_CHROMIUM is "${named}", which is no program`, 'name the browser’s absolute path.');
  }
  const found = (environment['PATH'] ?? '')
    .split(delimiter)
    .filter((dir) => dir !== '')
    .flatMap((dir) => NAMES.map((name) => join(dir, name)))
    .find(isExecutable);
  if (found !== undefined) return found;
  throw new GamedayError(
    'tool_missing',
    'a PDF is printed by Chromium, and none is on PATH',
    '`apt-get install chromium`, or name one by GAMEDAY_CHROMIUM; `--format html` needs none and prints from any browser.',
  );
}

/** The PDF's bytes. Throws `tool_missing`, or `step_failed` with what the browser said. */
export async function printPdf(html: string, environment: NodeJS.ProcessEnv, timeoutMs = TIMEOUT_MS): Promise<Buffer> {
  const browser = findBrowser(environment);
  const dir = mkdtempSync(join(tmpdir(), 'gameday-pdf-'));
  try {
    const [page, pdf] = [join(dir, 'report.html'), join(dir, 'report.pdf')];
    writeFileSync(page, html, { mode: 0o600 });
    const isRoot = process.getuid?.() === 0;
    const { code, stderr } = await run(
      [
        browser,
        '--headless',
        ...(isRoot ? ['--no-sandbox'] : []),
        '--disable-gpu',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--host-resolver-rules=MAP * ~NOTFOUND',
        `--user-data-dir=${join(dir, 'profile')}`,
        '--no-pdf-header-footer',
        `--print-to-pdf=${pdf}`,
        `file://${page}`,
      ],
      { timeoutMs },
    );
    const made = readIfThere(pdf);
    if (made === null || made.subarray(0, 5).toString('latin1') !== '%PDF-')
      throw new GamedayError(
        'step_failed',
        `${browser} printed no PDF (exit ${code}): ${stderr.trim().split('\n').slice(-2).join(' ')}`,
        '`--format html` needs no browser here.',
      );
    if (made.length > MAX_PDF_BYTES)
      throw new GamedayError('step_failed', `${browser} printed ${made.length} bytes, more than ${MAX_PDF_BYTES}`);
    return made;
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
