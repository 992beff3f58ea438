/** Leases of restored copies on real directories: held before they exist, renewed, removed when they expire, across a guardian's death, and never somebody else's. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import type { Target } from '../../model/target';
import { createSandbox, sandboxPlace } from '../../targets/archives/sandbox-server';
import { sampleTarget } from '../../test/sample-plan';
import { openJournal, type Journal } from './journal';
import { SandboxKeeper } from './sandbox-keeper';

let root: string;
let target: Target;
let journal: Journal;
let keeper: SandboxKeeper;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gd-copies-'));
  mkdirSync(join(root, 'sb'));
  mkdirSync(join(root, 'bin'));
  target = { ...sampleTarget(), sandbox: { dir: join(root, 'sb'), osUser: null, binDir: join(root, 'bin') } };
  journal = openJournal(join(root, 'events'));
  keeper = open();
});
afterEach(() => {
  keeper.stop();
  rmSync(root, { recursive: true, force: true });
});

const open = (): SandboxKeeper => new SandboxKeeper({ dir: join(root, 'leases'), journal, log: () => undefined });
const dir = (): string => join(root, 'sb', 'drill-000007-pitr');
const request = (more: { ttlMs?: number; maxMs?: number; runId?: string } = {}) => ({
  target,
  dir: dir(),
  drill: 'drill-000007',
  step: 'pitr',
  workflowId: 'drill/1',
  runId: 'run',
  ttlMs: 60_000,
  maxMs: 60_000,
  ...more,
});
const make = (): Promise<void> => createSandbox(target, sandboxPlace(target, dir()), { drill: 'drill-000007', step: 'pitr' });
const gone = (): Promise<true> =>
  until(() => (existsSync(dir()) ? null : true), { timeoutMs: 10_000, onTimeout: () => new Error('the copy stands') });
const kinds = (): readonly string[] => journal.events('drill-000007').map(({ kind }) => kind);

test('what nobody renews is removed at its deadline, and the removal is in the guardian’s chain', async () => {
  keeper.start();
  await keeper.hold(request({ ttlMs: 1_500 }));
  await make();
  await gone();
  await until(() => (keeper.list().length === 0 ? true : null), { timeoutMs: 5_000, onTimeout: () => new Error('the lease stands') });
  expect(kinds()).toEqual(['sandbox-held', 'sandbox-removed']);
  expect(journal.events('drill-000007').at(-1)?.text).toContain('(expired): the directory is gone');
  expect(readdirSync(join(root, 'leases'))).toEqual([]);
});

test('renewed it stands, but no longer than its hard maximum', async () => {
  keeper.start();
  await keeper.hold(request({ ttlMs: 1_000, maxMs: 3_000 }));
  await make();
  const until3s = Date.now() + 2_000;
  await until(
    () => {
      keeper.renew({ workflowId: 'drill/1', runId: 'run', ttlMs: 60_000 });
      return Date.now() > until3s ? true : null;
    },
    { timeoutMs: 5_000, onTimeout: () => new Error('never') },
  );
  expect(existsSync(dir())).toBe(true);
  await gone();
});

test('a guardian that died leaves the lease to the next, which removes what expired meanwhile', async () => {
  await keeper.hold(request({ ttlMs: 1 }));
  await make();
  keeper = open();
  expect(keeper.list()).toHaveLength(1);
  keeper.start();
  await gone();
});

test('a directory with our marker and no lease is a stray; without marker, or of no drill, it stays', async () => {
  await make();
  mkdirSync(join(root, 'sb', 'stranger'));
  writeFileSync(join(root, 'sb', 'stranger', 'data'), 'kept');
  const other = join(root, 'sb', 'by-hand');
  await createSandbox(target, sandboxPlace(target, other), {});
  expect(await keeper.removeStrays([target])).toEqual([`restored copy ${dir()}`]);
  expect(readdirSync(join(root, 'sb')).sort()).toEqual(['by-hand', 'stranger']);
});

test('a copy that is held is no stray; another run’s is refused; removing twice does no harm', async () => {
  await keeper.hold(request());
  await make();
  expect(await keeper.removeStrays([target])).toEqual([]);
  await expect(keeper.hold(request({ runId: 'another' }))).rejects.toMatchObject({ code: 'lease_conflict' });
  await keeper.hold(request());
  const seen = await keeper.remove({ target, dir: dir(), by: 'its drill' });
  expect(seen).toBe('the directory is gone, no process works in it, no control group of it stands');
  expect(await keeper.remove({ target, dir: dir(), by: 'its drill' })).toBe(seen);
});

test('a place outside the target’s sandbox is never held', async () => {
  await expect(keeper.hold({ ...request(), dir: join(root, 'elsewhere') })).rejects.toMatchObject({ code: 'setting_invalid' });
});
