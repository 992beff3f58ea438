/** A bundle sealed on a machine with a browser, from registration to verification: its report on paper is a file like every other, under the seal. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../core/files';
import { encodePlan } from '../evidence/bundle';
import { registerIn } from '../evidence/drill-evidence';
import { recomputeBundle } from '../evidence/recompute';
import { findBrowser } from '../evidence/report-pdf';
import { openSigner } from '../evidence/signing';
import { openEvidence } from '../evidence/store';
import { verifyBundle } from '../evidence/verify';
import { planFor } from '../test/fixtures/sealed-drill';
import { tendEvidence } from './seal-lost';

const home = mkdtempSync(join(tmpdir(), 'gameday-paper-'));
const before = process.env['GAMEDAY_REPORT_PDF'];
beforeAll(() => void (process.env['GAMEDAY_REPORT_PDF'] = 'on'));
afterAll(() => {
  if (before === undefined) delete process.env['GAMEDAY_REPORT_PDF'];
  else process.env['GAMEDAY_REPORT_PDF'] = before;
  rmSync(home, { recursive: true, force: true });
});

/** Two hours ago: a guardian that is silent is waited for no longer. */
async function lostLongAgo(): Promise<string> {
  const plan = planFor({});
  const { drill } = await registerIn(openEvidence(home, 'lab'), {
    plan,
    planSha256: sha256Hex(encodePlan(plan)),
    owner: { workflowId: 'drill/7', runId: 'lost' },
    startedBy: 'mira',
    at: new Date(Date.now() - 2 * 3_600_000).toISOString(),
  });
  return join(home, 'drills', plan.target.name, drill);
}

test('where a browser is at hand the bundle holds report.pdf, printed from its report.html', async () => {
  expect(findBrowser(process.env)).toBeTruthy();
  const dir = await lostLongAgo();
  expect((await tendEvidence({ home, isRunning: () => Promise.resolve(false) })).sealed).toHaveLength(1);
  const pdf = readFileSync(join(dir, 'report.pdf'));
  expect(pdf.subarray(0, 5).toString('latin1')).toBe('%PDF-');
  expect(Number(/\/Count (\d+)/.exec(pdf.toString('latin1'))?.[1] ?? 0)).toBeGreaterThan(1);
  expect(readFileSync(join(dir, 'SHA256SUMS'), 'utf8')).toContain(`${sha256Hex(pdf)}  report.pdf\n`);
  expect(readFileSync(join(dir, 'events.jsonl'), 'utf8')).not.toContain('report not printed');
  const key = { publicKeyPem: openSigner(join(home, 'keys')).publicKeyPem };
  expect((await verifyBundle(dir, key)).checks.filter(({ ok }) => !ok)).toEqual([]);
  expect((await recomputeBundle(dir)).ok).toBe(true);
  execFileSync('sh', ['VERIFY.txt'], { cwd: dir });
  appendFileSync(join(dir, 'report.pdf'), '\n');
  const failed = (await verifyBundle(dir, key)).checks.filter(({ ok }) => !ok);
  expect(failed.map(({ name, detail }) => [name, detail])).toEqual([
    ['file digests', expect.stringContaining('report.pdf was changed') as string],
  ]);
}, 120_000);
