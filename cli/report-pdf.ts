/**
 * The report on paper: its HTML printed by a Chromium that is on this machine. The browser gets an empty profile of its own and no network, and both
 * files that pass between are removed whatever happens.
 */
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { GamedayError } from '../core/errors';
import { run } from '../core/process';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'] as const;
const TIMEOUT_MS = 60_000;

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
export async function printPdf(html: string, environment: NodeJS.ProcessEnv): Promise<Buffer> {
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
      { timeoutMs: TIMEOUT_MS },
    );
    const made = readIfThere(pdf);
    if (made === null || made.subarray(0, 5).toString('latin1') !== '%PDF-')
      throw new GamedayError(
        'step_failed',
        `${browser} printed no PDF (exit ${code}): ${stderr.trim().split('\n').slice(-2).join(' ')}`,
        '`--format html` needs no browser here.',
      );
    return made;
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
