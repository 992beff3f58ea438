/** The doctor's report: what is found on this machine is named with place and version, what is missing with the command that provides it. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diagnose, formatDoctor, type DoctorReport } from './doctor';

test('this machine: every tool that is set up is where the report says', async () => {
  const report = await diagnose();
  expect(report.tools.map((finding) => finding.tool)).toEqual(['postgres', 'haproxy', 'pgbouncer', 'temporal', 'toxiproxy', 'versitygw']);
  for (const finding of report.tools) {
    if (finding.ok) expect(existsSync(finding.path ?? '')).toBe(true);
    else expect(finding.command).toBe('npm run setup');
  }
  expect(report.machine.find((finding) => finding.check === 'node')).toMatchObject({ ok: true, seen: `Node ${process.versions.node}` });
  expect(report.machine.find((finding) => finding.check === 'loopback')?.ok).toBe(true);
});

test('a home that does not exist yet is judged by the directory above it', async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'gameday-doctor-test-'));
  try {
    const report = await diagnose(join(scratch, 'not', 'yet'));
    expect(report.machine.find((finding) => finding.check === 'disk')?.seen).toMatch(/ free for .*not\/yet$/);
    expect(report.machine.find((finding) => finding.check === 'home')?.ok).toBe(true);
    expect(existsSync(join(scratch, 'not'))).toBe(false);
  } finally {
    rmSync(scratch, { recursive: true });
  }
});

test('what is missing stands in the text with the command to run', () => {
  const report: DoctorReport = {
    ok: false,
    tools: [{ tool: 'temporal', ok: false, path: null, version: null, source: null, command: 'npm run setup' }],
    machine: [{ check: 'disk', ok: false, seen: '10.0 MB free for /x', remedy: 'free 1.9 GB there' }],
  };
  expect(formatDoctor(report).split('\n')).toEqual([
    'missing  temporal',
    '         run: npm run setup',
    'problem  disk       10.0 MB free for /x',
    '         do: free 1.9 GB there',
    'the lab cannot run yet: see above',
  ]);
});
