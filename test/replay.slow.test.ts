/**
 * Replays recorded histories of real drills against today's workflow code: a drill that runs while gameday is upgraded must go on, not break.
 * A red test here means that the change needs `patched()`. Recorded from a lab by:
 * `node test/record-history.js ADDRESS drill/SYSTEM RUN_ID test/histories/NAME.binpb.gz`
 */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../core/files';

const dir = join(packageRoot(), 'test', 'histories');
const names = readdirSync(dir).filter((name) => name.endsWith('.binpb.gz'));

async function replay(options: readonly string[], files: readonly string[]): Promise<Readonly<Record<string, string | null>>> {
  const runner = join(packageRoot(), 'test', 'replay-runner.js');
  const { stdout } = await promisify(execFile)(process.execPath, [runner, ...options, ...files.map((name) => join(dir, name))], {
    timeout: 100_000,
  });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, string | null>;
}

test('recorded drills replay without a difference: one that fails over and restores, one that people answer, one that is halted', async () => {
  expect(names.sort()).toEqual(['flagship.binpb.gz', 'halted.binpb.gz', 'people.binpb.gz']);
  expect(Object.values(await replay([], names))).toEqual([null, null, null]);
}, 120_000);

test('a history whose order of activities was changed is refused, so the test above can fail', async () => {
  expect(Object.values(await replay(['--swap'], ['flagship.binpb.gz']))).toEqual([
    expect.stringMatching(/[Nn]ondeterminism|DeterminismViolation/),
  ]);
}, 120_000);
