/** What a person with nothing but a shell finds, and that the script does what it says: runs everything, newest first, and counts what failed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Target } from '../../model/target';
import { writeActive } from './active-file';
import { armLease, type Lease } from './lease-machine';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-active-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const lease = (step: string, order: number, manualUndo: readonly string[]): Lease =>
  armLease(
    {
      key: { workflowId: 'w', runId: 'r', step },
      handle: { fault: 'noop', drill: 'drill-000007', resolved: {}, preview: `break it's ${step}`, manualUndo },
      target: { name: 'shop' } as Target,
      ttlMs: 60_000,
      maxMs: 90_000,
      order,
    },
    { bootId: 'b', bootMs: 0, utc: '2026-11-23T03:00:00.000Z' },
  );

test('says what stands, until when, and how it comes off by hand; the script runs it all and ends with the number of failures', () => {
  const mark = join(dir, 'mark');
  writeActive(dir, [lease('two', 2, ['# first this', `echo two >>${mark}`, 'false']), lease('one', 1, [`echo one >>${mark}`])]);
  const text = readFileSync(join(dir, 'ACTIVE'), 'utf8');
  for (const part of ["break it's two", 'drill-000007, step one, on shop', '2026-11-23T03:01:00.000Z', '2026-11-23T03:01:30.000Z'])
    expect(text).toContain(part);
  expect(statSync(join(dir, 'undo.sh')).mode & 0o777).toBe(0o755);
  const run = spawnSync('sh', [join(dir, 'undo.sh')], { encoding: 'utf8' });
  expect(readFileSync(mark, 'utf8')).toBe('two\none\n');
  expect(run.stdout).toContain('FAILED: false');
  expect(run.status).toBe(1);
});

test('a comment, a quote too many or a backslash in one command spoils nothing behind it, and many failures are no success', () => {
  const mark = join(dir, 'mark');
  const odd = [`echo one >>${mark}  # as the node's user`, "echo 'two", `echo three >>${mark}`, '# first\ntouch never'];
  const many = Array.from({ length: 256 }, () => 'false');
  writeActive(dir, [lease('a\\n-n', 2, odd), lease('b', 1, many)], true);
  const run = spawnSync('sh', [join(dir, 'undo.sh')], { encoding: 'utf8', cwd: dir });
  expect(readFileSync(mark, 'utf8')).toBe('one\nthree\n');
  expect(run.stdout).toContain("undo: break it's a\\n-n\n");
  expect(run.stdout).toContain("FAILED: echo 'two");
  expect(run.status).toBe(100);
  expect(existsSync(join(dir, 'never'))).toBe(false);
});

test('with the last lease both files go', () => {
  writeActive(dir, [lease('one', 1, ['true'])]);
  writeActive(dir, []);
  expect(['ACTIVE', 'undo.sh'].filter((name) => existsSync(join(dir, name)))).toEqual([]);
});
