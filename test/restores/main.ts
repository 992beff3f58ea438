/**
 * `npm run test:restores -- [count] [seed]`: restores to random transactions of a running workload, with new timelines in between, each held against what really
 * committed. Ends with one JSON line; exits 1 when a single restore did not land exactly.
 */
import { monotonicNs } from '../../core/clock';
import { startOwnArchive } from '../live/own-archive';
import { RandomRestores } from './random-restores';

const DEFAULT_COUNT = 200;
/** Restores between two promotions. */
const PER_TIMELINE = 25;
const TRANSACTIONS = 2_000;

async function main(): Promise<number> {
  const [count = DEFAULT_COUNT, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);
  process.stderr.write(`restores: ${count}, seed ${seed}\n`);
  const own = await startOwnArchive('127.0.76');
  const bad: unknown[] = [];
  const startedNs = monotonicNs();
  try {
    const restores = await RandomRestores.begin(own, seed);
    for (let n = 0; n < count; n += 1) {
      if (n > 0 && n % PER_TIMELINE === 0) await restores.fork();
      if (n % PER_TIMELINE === 0) await restores.work(TRANSACTIONS);
      const landed = await restores.restoreOne(n);
      const exact = landed.missing === 0 && landed.tooMany === 0 && landed.badChecks.length === 0;
      if (!exact) bad.push({ n, ...landed });
      process.stderr.write(`${n + 1}/${count} ${exact ? 'exact' : JSON.stringify(landed)}\n`);
    }
  } finally {
    await own.close();
  }
  const seconds = Number(monotonicNs() - startedNs) / 1e9;
  process.stdout.write(`${JSON.stringify({ restores: count, seed, exact: count - bad.length, bad, seconds: Math.round(seconds) })}\n`);
  return bad.length === 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(70);
  },
);
