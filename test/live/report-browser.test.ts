/** The report in a real browser: what a reader of it sees, hears by a screen reader, prints, and never loads from anywhere. */
import axe from 'axe-core';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { loadControls, controlsOf } from '../../evidence/controls';
import { findBrowser, printPdf } from '../../evidence/report-pdf';
import type { DrillRecord } from '../../model/record';
import { renderHtml } from '../../report/html';
import { sampleRecord, sampleSeries } from '../fixtures/record';

const SECTIONS = [
  'scope',
  'planning',
  'timeline',
  'rto',
  'latency-section',
  'lag-section',
  'ways-in',
  'writes',
  'forks',
  'restores',
  'faults',
  'steps',
  'people',
  'findings',
  'verification',
  'readiness',
  'phases',
  'limits',
  'controls',
  'provenance',
];
const withControls = (record: DrillRecord): DrillRecord => ({ ...record, controls: controlsOf(record, loadControls()) });
const options = { digest: 'ab'.repeat(32), keyFingerprint: 'cd'.repeat(32) };
const html = (changes: Partial<DrillRecord> = {}): string => renderHtml(withControls(sampleRecord(changes)), options);

/** What of the checker's answer is asked here. */
interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string | null;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

let dir = '';
let browser: Browser;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gameday-report-'));
  browser = await chromium.launch({
    executablePath: findBrowser(process.env),
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}, 60_000);
afterAll(async () => {
  await browser.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Opens a report as a file, without scripts unless asked, and gathers whatever the browser complains of or asks for. */
async function open(
  text: string,
  look: { readonly scheme: 'light' | 'dark'; readonly scripts?: boolean; readonly height?: number },
): Promise<{ readonly page: Page; readonly complaints: readonly string[] }> {
  const path = join(dir, 'report.html');
  writeFileSync(path, text);
  const complaints: string[] = [];
  const context = await browser.newContext({
    colorScheme: look.scheme,
    viewport: { width: 1440, height: look.height ?? 900 },
    javaScriptEnabled: look.scripts ?? false,
    // Only so that the checker of accessibility can be put into the page; without scripts the page's own policy holds.
    bypassCSP: look.scripts ?? false,
  });
  const page = await context.newPage();
  page.on('console', (message) => complaints.push(`console ${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('request', (request) => {
    if (request.url() !== `file://${path}`) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(`file://${path}`);
  return { page, complaints };
}

describe.each(['light', 'dark'] as const)('in %s', (scheme) => {
  test('every section is there and shown, nothing is loaded, nothing is complained of', async () => {
    const { page, complaints } = await open(html(), { scheme });
    for (const id of SECTIONS) await page.locator(`#${id} h2`).waitFor({ state: 'visible', timeout: 5_000 });
    expect(complaints).toEqual([]);
    await page.context().close();
  }, 30_000);

  test('no serious violation of accessibility', async () => {
    const { page } = await open(html(), { scheme, scripts: true });
    await page.addScriptTag({ content: axe.source });
    const { violations } = await page.evaluate<AxeResult>('axe.run(document, { resultTypes: ["violations"] })');
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    expect(serious.map(({ id, nodes }) => [id, nodes.slice(0, 3).map((node) => node.html)])).toEqual([]);
    await page.context().close();
  }, 60_000);
});

test('the first page fits one screen', async () => {
  const { page } = await open(html(), { scheme: 'light' });
  const box = await page.locator('.page-one').boundingBox();
  expect((box?.y ?? Infinity) + (box?.height ?? Infinity)).toBeLessThanOrEqual(900);
  await page.context().close();
}, 30_000);

test('no text runs out of the page, also on a narrow one', async () => {
  const { page } = await open(html(), { scheme: 'light', scripts: true });
  for (const width of [1440, 1024, 480]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBeLessThanOrEqual(0);
  }
  await page.context().close();
}, 30_000);

test('an hour’s drill opens and prints, as A4, on more than one page', async () => {
  const hour = html({ series: sampleSeries(3_600), endedAt: '2026-11-23T04:12:09.000Z' });
  const pdf = await printPdf(hour, process.env);
  const text = pdf.toString('latin1');
  expect(Number(/\/Count (\d+)/.exec(text)?.[1] ?? 0)).toBeGreaterThan(1);
  expect(text).toMatch(/\/MediaBox ?\[0 0 59[45][.\d]* 84[12][.\d]*\]/);
}, 90_000);
