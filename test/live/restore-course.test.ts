/**
 * Restores that are interrupted, on a real archive: by the death of PostgreSQL in the midst of replay, by the death of the worker in every phase, and restores
 * to every kind of point, forks included, held against the transactions that really committed. A seeded sample of what `npm run test:restores` does at length.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { identify, signal as send } from '../../core/process';
import { sandboxPlace, sandboxPostmaster } from '../../targets/archives/sandbox-server';
import type { RecoveryTarget } from '../../targets/ports';
import { RandomRestores } from '../restores/random-restores';
import { startOwnArchive, type OwnArchive } from './own-archive';

const SAMPLE = 3;

let own: OwnArchive;
let restores: RandomRestores;
let recovery: RecoveryTarget;
const place = (name: string): string => join(own.dir, 'sb', name);
const labels = { drill: 'drill-000001', step: 'pitr' };

beforeAll(async () => {
  own = await startOwnArchive('127.0.76');
  restores = await RandomRestores.begin(own, Number(process.env['GAMEDAY_SEED'] ?? Date.now() % 1_000_000));
  await restores.work(1_500);
  const last = await restores.lastPoint();
  recovery = await own.archive.locate(last);
}, 60_000);
afterAll(() => own.close(), 60_000);

test(`restores to ${SAMPLE} random points of a running workload land exactly, one of them on a timeline that began later`, async () => {
  process.stderr.write(`restores: seed ${restores.seed}\n`);
  for (let at = 0; at < SAMPLE - 1; at += 1) expect(await restores.restoreOne(at)).toEqual({ missing: 0, tooMany: 0, badChecks: [] });
  await restores.fork();
  await restores.work(1_000);
  expect(await restores.restoreOne(SAMPLE)).toEqual({ missing: 0, tooMany: 0, badChecks: [] });
}, 90_000);

test('PostgreSQL killed while it replays: the restore fails and says so, and nothing of the copy is left', async () => {
  const dir = place('killed');
  const signal = new AbortController().signal;
  const restore = own.archive.restore(recovery, { dir, labels }, { timeoutMs: 60_000, signal, onProgress: () => undefined });
  restore.catch(() => undefined);
  const copy = sandboxPlace(own.target, dir);
  const replays = (): boolean => existsSync(copy.logFile) && readFileSync(copy.logFile, 'utf8').includes('starting point-in-time recovery');
  const server = await until(() => (replays() ? sandboxPostmaster(copy) : null), {
    timeoutMs: 50_000,
    everyMs: 2,
    onTimeout: () => new Error('the copy never replayed'),
  });
  const killed = send(server, 'SIGKILL');
  await expect(restore).rejects.toMatchObject({ code: 'restore_failed' });
  expect(killed).toBe(true);
  expect(existsSync(dir)).toBe(false);
}, 60_000);

test('a base that was verified is kept when its worker dies, and the next try goes on from there', async () => {
  const dir = place('resumed');
  const options = { timeoutMs: 60_000, signal: new AbortController().signal };
  const first = await own.archive.restore(recovery, { dir, labels }, { ...options, onProgress: () => undefined });
  const server = sandboxPostmaster(sandboxPlace(own.target, dir));
  const seen: string[] = [];
  const again = await own.archive.restore(recovery, { dir, labels }, { ...options, onProgress: ({ phase }) => void seen.push(phase) });
  expect(seen).not.toContain('base');
  expect(again.phases.find(({ name }) => name === 'base')).toEqual(first.phases.find(({ name }) => name === 'base'));
  expect(again.landed).toMatchObject({ lsn: first.landed.lsn, xid: first.landed.xid });
  // It ran and had reached its target: it was attached to, not started again.
  expect(identify(server?.pid ?? 0)).toEqual(server);
  expect(again.checks.filter(({ ok }) => !ok)).toEqual([]);
  const another = { ...recovery, inclusive: !recovery.inclusive };
  const anew: string[] = [];
  await own.archive.restore(another, { dir, labels }, { ...options, onProgress: ({ phase }) => void anew.push(phase) });
  expect(anew).toContain('base');
  await own.archive.removeSandbox(dir);
}, 60_000);
