/**
 * Is the ruler straight? A real prober before a real quorum-committing cluster, and outages of exactly known length: every reported interval must
 * contain the truth, and nothing else may be reported. The width of the intervals is a figure of `npm run bench:measure`, not of this test.
 * Listens on 127.0.70.x only.
 */
import { sleep, until } from '../../core/clock';
import { descendants, identify, signal } from '../../core/process';
import type { Interval, Outage, RtoMeasurement } from '../../model/measurement';
import { judgeLedger } from '../../probe/judge';
import { ledgerIn, readHeader } from '../../probe/ledger-reader';
import { calibrate, CALIBRATION_STEADY, planOutages, seeded, type Planned } from '../calibration/calibrate';
import { CALIBRATION_SETTINGS, startGround, type Ground } from '../calibration/ground';
import { withSql } from '../../targets/sql';

let ground: Ground;
beforeAll(async () => {
  ground = await startGround('127.0.70', 'memory');
}, 60_000);
afterAll(() => ground.stop());

test('every reported interval contains the outage that was made, and nothing else is reported', async () => {
  const seed = Number(process.env['GAMEDAY_SEED'] ?? Date.now() % 1_000_000);
  process.stderr.write(`calibration: seed ${seed}\n`);
  const random = seeded(seed);
  const cuts = planOutages(16, 2_500, random).map((each): Planned => ({ ...each, way: 'cut' }));
  const freezes = planOutages(5, 2_500, random).map((each): Planned => ({
    ...each,
    way: 'freeze',
    lengthMs: Math.max(400, each.lengthMs),
  }));
  const { outages, invented, rto } = await calibrate(ground, 'probe_000001', [...cuts, ...freezes], () => undefined);
  expect(outages.filter((each) => !each.explained)).toEqual([]);
  expect(outages.map(({ truth }) => truth.highMs - truth.lowMs).filter((ms) => ms > 20)).toEqual([]);
  expect(rto.contradictions).toEqual([]);
  // A machine that is busy with other things may take commits longer than 2δ and fail one of them besides; made up is only what no starvation explains.
  if (rto.starvedMs === 0) expect(invented).toEqual([]);
}, 180_000);

/** The postmaster and all its children, stopped or continued at once: the postmaster first, so that it starts nobody in between. */
function signalTree(pid: number, name: 'SIGSTOP' | 'SIGCONT'): { readonly beforeNs: bigint; readonly afterNs: bigint } {
  const postmaster = identify(pid);
  if (postmaster === null) throw new Error(`process ${pid} is gone`);
  const beforeNs = process.hrtime.bigint();
  signal(postmaster, name);
  for (const child of descendants(pid)) signal(child, name);
  return { beforeNs, afterNs: process.hrtime.bigint() };
}

const isLong = ({ down }: Outage): boolean => down !== null && down.highMs > 1_000;

test('a primary frozen for 20 s is told rightly for clients with deadlines and for those without', async () => {
  const settings = { ...CALIBRATION_SETTINGS, naive: true, otherPeriodMs: 20 };
  const { calls, config } = await ground.startProber('probe_000002', { settings });
  const good = (): Promise<true> =>
    until(async () => ((await calls.window({ windowMs: 1_500, successRatio: 0.99, maxP99Ms: 500, after: null })).good ? true : null), {
      timeoutMs: 30_000,
      onTimeout: (last) => new Error(`clients did not become steady: ${String(last)}`),
    });
  await good();
  await calls.receipt({ name: 'inject', phase: 'about-to', subject: 'freeze' });
  const frozen = signalTree(ground.postmaster('n1'), 'SIGSTOP');
  await calls.receipt({ name: 'inject', phase: 'done', subject: 'freeze' });
  await sleep(20_000);
  const thawed = signalTree(ground.postmaster('n1'), 'SIGCONT');
  await good();
  await calls.stop();
  const faults = [{ step: 'freeze', confirmed: true, endedEarly: false }];
  const judged = await judgeLedger(config.dir, { settings, steady: CALIBRATION_STEADY, faults, fromMs: null, toMs: null });
  const zeroNs = BigInt((await readHeader(ledgerIn(config.dir))).monotonicZeroNs);
  const ms = (ns: bigint): number => Number(ns - zeroNs) / 1e6;
  const naive = judged.views.find(({ client, kind }) => client === 'naive' && kind === 'write')?.rto as RtoMeasurement;
  for (const rto of [judged.rto, naive]) {
    // Writes that a stalled disk held up when the freeze came were never sent: an outage of their own, as long as the stall.
    const [frozenFor, stalls] = [rto.outages.filter(isLong), rto.outages.filter((each) => !isLong(each))];
    expect(frozenFor).toHaveLength(1);
    expect(stalls.filter(({ t0 }) => t0.lowMs < ms(frozen.beforeNs) - settings.clientDeadlineMs)).toEqual([]);
    const [outage] = frozenFor;
    expect(outage?.t0.lowMs).toBeLessThanOrEqual(ms(frozen.afterNs));
    expect(outage?.t0.highMs).toBeGreaterThanOrEqual(ms(frozen.beforeNs));
    // A thawed server first works off everybody who hung at its door, so clients are back a little later, never before.
    expect(outage?.tFirst?.highMs).toBeGreaterThanOrEqual(ms(thawed.beforeNs));
    expect((outage?.down as Interval).lowMs).toBeGreaterThan(19_000);
    expect((outage?.down as Interval).highMs).toBeLessThan(ms(thawed.afterNs) - ms(frozen.beforeNs) + 5_000);
  }
  // The naive client's driver saw no error at all: what hung was answered in the end, and the rest was never sent.
  expect(naive.counts).toMatchObject({ rejected: 0, indeterminate: 0 });
  expect(naive.counts.missed).toBeGreaterThan(900);
  expect(judged.rto.counts.indeterminate).toBeGreaterThan(0);
  // Nobody noticed for the length of a deadline, and nobody hung for longer.
  expect(judged.rto.latencies.find(({ phase }) => phase === 'after')?.latency?.maxMs).toBeLessThan(settings.clientDeadlineMs + 1_000);
}, 120_000);

test('a commit whose wait for the standbys was cancelled is in doubt, not acknowledged', async () => {
  const { calls, config } = await ground.startProber('probe_000003', { settings: CALIBRATION_SETTINGS });
  const standbys = [ground.postmaster('n2'), ground.postmaster('n3')];
  for (const pid of standbys) signalTree(pid, 'SIGSTOP');
  try {
    // As an operator does whose clients hang; a statement timeout does not reach this wait, PostgreSQL disarms it before it commits.
    let cancels = 0;
    await withSql(ground.primary, (sql) =>
      until(
        async () => {
          const rows = await sql.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
          cancels += rows.length;
          return cancels > 20 ? true : null;
        },
        { timeoutMs: 20_000, onTimeout: () => new Error(`only ${cancels} commits waited for a standby`) },
      ),
    );
  } finally {
    for (const pid of standbys) signalTree(pid, 'SIGCONT');
  }
  const acked = (await calls.status()).acked;
  await until(async () => ((await calls.status()).acked > acked + 100 ? true : null), {
    timeoutMs: 20_000,
    onTimeout: () => new Error('commits did not come back'),
  });
  await calls.stop();
  let cancelled = 0;
  for await (const batch of ledgerIn(config.dir).batches())
    for (const entry of batch)
      if (entry.kind === 'outcome' && entry.sqlstate === '01000') cancelled += entry.outcome === 'indeterminate' ? 1 : Infinity;
  expect(cancelled).toBeGreaterThan(10);
  expect(cancelled).toBeLessThan(Infinity);
}, 60_000);
