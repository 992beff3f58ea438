/** Schedules on the shared lab, applied and triggered as people do: from the command line. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';
import { cli, lab } from './lab';

interface Listed {
  readonly name: string;
  readonly paused: boolean;
  readonly next: readonly string[];
  readonly skipped: readonly { readonly reason: string }[];
  readonly memo: { readonly planSha256: string; readonly target: string };
}
interface DrillRow {
  readonly drill: string;
  readonly state: string | null;
  readonly dir: string;
  readonly sealed: boolean;
}

const dir = mkdtempSync(join(tmpdir(), 'gameday-schedule-'));
const file = join(dir, 'schedules.yaml');
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const json = async <T>(args: readonly string[]): Promise<T> => {
  const { stdout, stderr, code } = await cli([...args, '--json'], { home: lab().home });
  if (code !== 0) throw new Error(`gameday ${args.join(' ')}: exit ${code}\n${stderr}`);
  return JSON.parse(stdout) as T;
};
async function until<T>(find: () => Promise<T | undefined>, what: string, timeoutMs: number): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await find();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
const listed = async (): Promise<Listed | undefined> => (await json<Listed[]>(['schedule', 'list'])).find(({ name }) => name === 'monthly');
const drills = (): Promise<DrillRow[]> => json<DrillRow[]>(['drills', '--last', '500']);

test('a drill from a schedule: applied, triggered, run by its guard, and recorded with the schedule as its trigger', async () => {
  writeFileSync(
    file,
    `schedules:\n  - name: monthly\n    scenario: ${join(packageRoot(), 'test', 'scenarios', 'noop.yaml')}\n    calendar: { weekday: tuesday, week: 2, at: "10:00" }\n    timeZone: Europe/Vienna\n`,
  );
  await json(['schedule', 'apply', file]);
  const schedule = await until(listed, 'the schedule is listed', 20_000);
  expect(schedule).toMatchObject({ paused: false, memo: { target: 'lab' } });
  expect(new Date(schedule.next[0] ?? '').getUTCDay()).toBe(2);

  const before = (await drills()).length;
  await json(['schedule', 'run-now', 'monthly']);
  const row = await until(
    async () => (await drills()).slice(before).find(({ sealed }) => sealed),
    'the scheduled drill is sealed',
    120_000,
  );
  const record = JSON.parse(readFileSync(join(row.dir, 'record.json'), 'utf8')) as { trigger: unknown; planSha256: string; state: string };
  expect(record).toMatchObject({
    state: 'completed',
    trigger: { kind: 'schedule', name: 'monthly' },
    planSha256: schedule.memo.planSha256,
  });
}, 180_000);

test('a slot at which the target is not ready is skipped with its reason, and no drill is registered', async () => {
  const before = (await drills()).length;
  await cli(['halt', '--all', '--reason', 'real incident', '--as', 'erin'], { home: lab().home });
  try {
    await json(['schedule', 'run-now', 'monthly']);
    const reason = await until(async () => (await listed())?.skipped.at(-1)?.reason, 'the skip is recorded', 60_000);
    expect(reason).toContain('halted by erin: real incident');
  } finally {
    await json(['release', '--reason', 'over', '--as', 'erin']);
  }
  expect((await drills()).length).toBe(before);
}, 120_000);

test('pause, resume and delete; a name that does not exist is named with the nearest', async () => {
  await json(['schedule', 'pause', 'monthly', '--reason', 'freeze']);
  expect(await listed()).toMatchObject({ paused: true });
  await json(['schedule', 'apply', file]);
  expect(await listed()).toMatchObject({ paused: true });
  await json(['schedule', 'resume', 'monthly']);
  expect(await listed()).toMatchObject({ paused: false });
  const wrong = await cli(['schedule', 'pause', 'montly'], { home: lab().home });
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('did you mean "monthly"')]);
  await json(['schedule', 'delete', 'monthly']);
  await until(async () => ((await listed()) === undefined ? true : undefined), 'the schedule is gone', 20_000);
}, 120_000);
