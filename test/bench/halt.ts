/**
 * `npm run bench:halt [-- --halts N]`: how long it takes from a halt until everything is proven healed, with 1, 5 and 20 faults; and from the moment a lease
 * runs out, with worker and Temporal dead, until its faults are proven gone. Ends with one JSON line.
 */
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { monotonicNs } from '../../core/clock';
import { messageOf } from '../../core/errors';
import { cleanUpDrillTables } from '../../faults/drill-table';
import { labDown } from '../../infra/lab/down';
import { labUp } from '../../infra/lab/up';
import { openSupervisorClient } from '../../infra/supervisor/client';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import { DirectRun, type Wanted } from '../crash/direct';
import { findResidue } from '../crash/residue';

const STANDS_MS = 120_000;
const LEASE_TTL_MS = 10_000;
const ms = (): number => Number(monotonicNs()) / 1e6;

const toS3 = (node: string): Wanted[] => [
  { fault: 'link-latency', with: { from: node, to: 's3', latency: '50ms' } },
  { fault: 'link-cut', with: { from: node, to: 's3', direction: 'up' } },
];
/** Of every kind that a halt meets: toxics, sessions, rows, frozen and dead servers. The first n of them are the n; what keeps commits waiting comes last, or what commits could not be injected any more. */
const STANDING: readonly Wanted[] = [
  { fault: 'link-cut', with: { from: 'client', to: 'router' } },
  { fault: 'process-kill', with: { node: 'n3' } },
  { fault: 'long-transaction', with: {} },
  { fault: 'drop-table', with: { rows: 100 } },
  { fault: 'link-latency', with: { from: 'n2', to: 'n1', latency: '50ms' } },
  ...toS3('n1').slice(1),
  ...toS3('n2').slice(0, 1),
  ...toS3('n3').slice(1),
  { fault: 'mass-update', with: { rows: 100 } },
  { fault: 'lock-held', with: {} },
  { fault: 'long-transaction', with: {} },
  { fault: 'drop-table', with: { rows: 50 } },
  { fault: 'connection-storm', with: { rate: 10, node: 'n1' } },
  { fault: 'drop-table', with: { rows: 20 } },
  { fault: 'noop', with: {} },
  { fault: 'link-bandwidth', with: { from: 'n2', to: 'n1', rate: '1MB' } },
  { fault: 'credentials-rotated', with: { role: 'replicate' } },
  { fault: 'process-freeze', with: { node: 'n2', scope: 'postmaster' } },
  { fault: 'connections-exhausted', with: { leave: 8 } },
];

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN);
}

class Bench {
  private sequence = 700_000;
  residue: string[] = [];

  constructor(
    private readonly home: string,
    private readonly target: Target,
  ) {}

  async stand(count: number, ttlMs: number): Promise<DirectRun> {
    this.sequence += 1;
    const run = new DirectRun(this.target, this.sequence);
    for (const [at, wanted] of STANDING.slice(0, count).entries())
      await run.stand(`f${at}`, wanted, { ttlMs }).catch((error: unknown) => {
        throw new Error(`${wanted.fault}, number ${at + 1}: ${messageOf(error)}`, { cause: error });
      });
    return run;
  }

  async leaveClean(run: DirectRun): Promise<void> {
    await cleanUpDrillTables(openTarget(this.target), run.drill);
    const left = await findResidue(this.home, this.target);
    this.residue.push(...left);
    if (left.length > 0) process.stderr.write(`LEFT: ${left.join('; ')}\n`);
  }

  /** Milliseconds from the call until each fault is proven gone. */
  async halt(count: number): Promise<number> {
    const run = await this.stand(count, STANDS_MS);
    const start = ms();
    await run.guardian.haltAll({ by: 'bench', reason: 'bench' });
    await run.untilGone(60_000);
    const took = ms() - start;
    await run.guardian.release({ by: 'bench', reason: 'bench' });
    await this.leaveClean(run);
    return took;
  }

  /** Milliseconds from the last renewal of the first lease until every fault is proven gone; nobody renews. */
  async expire(count: number): Promise<number> {
    const run = await this.stand(count, LEASE_TTL_MS);
    const last = (await run.mine()).map(({ expiresAt }) => Date.parse(expiresAt));
    await run.untilGone(60_000);
    const took = LEASE_TTL_MS + Date.now() - Math.max(...last);
    await this.leaveClean(run);
    return took;
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      halts: { type: 'string', default: '102' },
      expiries: { type: 'string', default: '20' },
      net: { type: 'string', default: '127.0.64' },
    },
  });
  const made = mkdtempSync(join(tmpdir(), 'gameday-halt-'));
  chmodSync(made, 0o755);
  const home = realpathSync(made);
  const halts = new Map<number, number[]>([1, 5, 20].map((count) => [count, []]));
  const expiries: number[] = [];
  let bench: Bench | null = null;
  try {
    bench = new Bench(home, await labUp({ home, net: values.net }));
    for (let n = 0; n < Number(values.halts); n += 1) {
      const count = [1, 5, 20][n % 3] ?? 1;
      const took = await bench.halt(count);
      halts.get(count)?.push(took);
      process.stderr.write(`halt with ${count} faults: ${took.toFixed(0)} ms\n`);
    }
    const supervisor = openSupervisorClient(join(home, 'run'));
    await supervisor.stop('worker');
    await supervisor.stop('temporal');
    for (let n = 0; n < Number(values.expiries); n += 1) {
      const took = await bench.expire(5);
      expiries.push(took);
      process.stderr.write(`expiry of 5 faults: ${took.toFixed(0)} ms with a lease of ${LEASE_TTL_MS} ms\n`);
    }
  } finally {
    await labDown({ home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
  const all = [...halts.values()].flat();
  const by = [...halts].map(([count, took]) => ({
    faults: count,
    halts: took.length,
    p50Ms: percentile(took, 0.5),
    p99Ms: percentile(took, 0.99),
  }));
  process.stdout.write(
    `${JSON.stringify({
      halts: all.length,
      haltP50Ms: percentile(all, 0.5),
      haltP99Ms: percentile(all, 0.99),
      leaseTtlMs: LEASE_TTL_MS,
      expiryP50Ms: percentile(expiries, 0.5),
      expiryP99Ms: percentile(expiries, 0.99),
      residue: bench.residue.length,
      by,
    })}\n`,
  );
  process.exit(bench.residue.length === 0 ? 0 : 1);
}

void main();
