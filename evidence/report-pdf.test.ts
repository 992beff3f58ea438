/** A seal and its paper: whatever the browser does, there is a PDF or there is a reason, in time. The browser itself is tried in slow and live tests. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monotonicNs } from '../core/clock';
import { openDirectoryStore } from '../objects/directory-store';
import { readEvents } from './events';
import type { FactsPlace } from './kept-facts';
import { printsReport, reportOnPaper } from './report-pdf';

let dir: string;
let place: FactsPlace;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gameday-paper-'));
  place = { store: openDirectoryStore(join(dir, 'drills')), bundle: 'shop/drill-000007', writer: 'workflow', step: 'seal', actor: 'mira' };
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A program in the browser's place; `$pdf` is where it is told to print. */
function browser(script: string): NodeJS.ProcessEnv {
  const path = join(dir, 'browser');
  const find = 'for each; do case "$each" in --print-to-pdf=*) pdf="${each#*=}";; esac; done';
  writeFileSync(path, `#!/bin/sh\n${find}\n${script}\n`);
  chmodSync(path, 0o755);
  return { PATH: process.env['PATH'], GAMEDAY_CHROMIUM: path };
}
const print = (environment: NodeJS.ProcessEnv, patienceMs?: number) =>
  reportOnPaper(place, 'drill-000007', '<p>report</p>', environment, patienceMs);
const reasons = async () => (await readEvents(place.store, place.bundle, 'workflow')).map(({ kind, text }) => `${kind}: ${text}`);

test('what the browser printed goes into the bundle, and no event tells of it', async () => {
  const printed = await print(browser('printf "%%PDF-1.7 of it" > "$pdf"'));
  expect(printed).toEqual([{ name: 'report.pdf', data: Buffer.from('%PDF-1.7 of it') }]);
  expect(await reasons()).toEqual([]);
});

test.each<[string, () => NodeJS.ProcessEnv, string]>([
  ['there is no browser', () => ({ PATH: dir }), 'a PDF is printed by Chromium, and none is on PATH'],
  ['the one that is named is none', () => ({ GAMEDAY_CHROMIUM: '/nowhere' }), 'GAMEDAY_CHROMIUM is "/nowhere", which is no program'],
  ['it is turned off', () => ({ ...browser('exit 1'), GAMEDAY_REPORT_PDF: 'off' }), 'turned off by GAMEDAY_REPORT_PDF'],
  ['the setting means nothing', () => ({ GAMEDAY_REPORT_PDF: 'maybe' }), 'GAMEDAY_REPORT_PDF is "maybe"'],
  ['it crashes', () => browser('echo "no room for a page" >&2; kill -SEGV $$'), 'printed no PDF (exit -1): no room for a page'],
  ['it prints something else', () => browser('echo "<html>" > "$pdf"'), 'printed no PDF (exit 0)'],
])('where %s there is no paper, and an event says why', async (_name, environment, reason) => {
  expect(await print(environment())).toEqual([]);
  const [told, ...more] = await reasons();
  expect(told).toMatch(/^report not printed: report\.pdf is not in this bundle: /);
  expect(told).toContain(reason);
  expect(more).toEqual([]);
});

test('a browser that hangs is ended at the deadline, and what was given up once is not tried again', async () => {
  const began = monotonicNs();
  expect(await print(browser('exec sleep 60'), 300)).toEqual([]);
  expect(Number(monotonicNs() - began) / 1e6).toBeLessThan(10_000);
  expect(await reasons()).toEqual([expect.stringContaining('did not end within 300 ms')]);
  expect(await print(browser('printf "%%PDF-1.7" > "$pdf"'))).toEqual([]);
  expect(await reasons()).toHaveLength(1);
}, 30_000);

test('the setting is on where nobody says, and refuses what is neither', () => {
  expect([{}, { GAMEDAY_REPORT_PDF: '' }, { GAMEDAY_REPORT_PDF: 'on' }, { GAMEDAY_REPORT_PDF: 'off' }].map(printsReport)).toEqual([
    true,
    true,
    true,
    false,
  ]);
  expect(() => printsReport({ GAMEDAY_REPORT_PDF: 'no' })).toThrow('GAMEDAY_REPORT_PDF is "no"');
});
