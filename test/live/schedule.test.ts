/** Schedules on the shared lab, applied and triggered as people do: from the command line. */
import { Client, Connection } from '@temporalio/client';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';
import { homePaths } from '../../core/home';
import { logTail } from '../../infra/supervisor/children';
import { openSupervisorClient } from '../../infra/supervisor/client';
import { FULL } from './drawn';
import { cli, lab } from './lab';

interface Listed {
  readonly name: string;
  readonly paused: boolean;
  readonly next: readonly string[];
  readonly skipped: readonly { readonly reason: string }[];
  readonly missed: readonly string[];
  readonly memo: { readonly planSha256: string; readonly target: string };
}
interface DrillRow {
  readonly drill: string;
  readonly state: string | null;
  readonly dir: string;
  readonly sealed: boolean;
}

const MONTHS = [
  'JANUARY',
  'FEBRUARY',
  'MARCH',
  'APRIL',
  'MAY',
  'JUNE',
  'JULY',
  'AUGUST',
  'SEPTEMBER',
  'OCTOBER',
  'NOVEMBER',
  'DECEMBER',
] as const;

async function connect(): Promise<{ readonly client: Client; readonly close: () => Promise<void> }> {
  const connection = await Connection.connect({ address: lab().temporalAddress });
  return { client: new Client({ connection }), close: () => connection.close() };
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

test('a slot that passed while Temporal was down is recorded as missed, and nothing makes up for it', async () => {
  const before = (await drills()).length;
  const supervisor = openSupervisorClient(lab().target.runDir);
  const { client, close } = await connect();
  try {
    const handle = client.schedule.getHandle('gameday/monthly');
    const { policies } = await handle.describe();
    expect([policies.catchupWindow, policies.overlap]).toEqual([300_000, 'SKIP']);
    // The same schedule with one slot a few seconds away, and the shortest catch-up that Temporal has: five minutes are too long for a test.
    const dueSoon = async (leadMs: number): Promise<Date> => {
      const due = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + leadMs);
      const at = { year: due.getUTCFullYear(), month: MONTHS[due.getUTCMonth()]!, dayOfMonth: due.getUTCDate() };
      const time = { hour: due.getUTCHours(), minute: due.getUTCMinutes(), second: due.getUTCSeconds() };
      await handle.update((schedule) => ({
        ...schedule,
        spec: { calendars: [{ ...at, ...time }], timezone: 'UTC' },
        policies: { ...schedule.policies, catchupWindow: '10s' },
      }));
      // Answered when it is written down, and carried out a moment later: a server that stops in between would carry it out after the slot.
      const isPlanned = async (): Promise<true | undefined> =>
        (await handle.describe()).info.nextActionTimes.some((next) => next.getTime() === due.getTime()) ? true : undefined;
      await until(isPlanned, 'the slot is planned', 10_000);
      return due;
    };
    const due = await dueSoon(20_000);
    await supervisor.stop('temporal');
    expect(Date.now()).toBeLessThan(due.getTime());
    try {
      await until(async () => (Date.now() > due.getTime() + 12_000 ? true : undefined), 'the slot and its catch-up pass', 40_000);
    } finally {
      await supervisor.restart('temporal');
    }
    const slot = due.toISOString();
    // Nobody asks for it: the worker looks by itself, when it starts and from time to time.
    if (!FULL) await supervisor.restart('worker');
    const log = join(homePaths(lab().home).drills, 'lab', 'schedule.jsonl');
    const recorded = async (): Promise<true | undefined> => {
      const lines = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
      return lines.some((line) => line.includes(slot) && line.includes('"missed"')) ? true : undefined;
    };
    await until(recorded, 'the miss is on record', 90_000).catch(async (error: unknown) => {
      const { info, spec } = await handle.describe();
      const worker = (await supervisor.status()).children.find(({ name }) => name === 'worker');
      throw new Error(`${String(error)}\nTemporal says ${JSON.stringify({ slot, spec, ...info })}\n${logTail(worker?.logFile ?? '', 30)}`);
    });
    expect((await listed())?.missed).toContain(slot);
    expect((await drills()).length).toBe(before);
  } finally {
    await close();
  }
}, 180_000);

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
