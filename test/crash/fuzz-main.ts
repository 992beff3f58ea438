/** `npm run test:fuzz [-- --plans N --seed S]`: fuzzed plans on a lab of its own. Prints each plan's seed; ends with one JSON line; exit 1 if anything was left. */
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { labDown } from '../../infra/lab/down';
import { labUp } from '../../infra/lab/up';
import { fuzzPlan, runFuzzed } from './fuzz';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      plans: { type: 'string', default: '1000' },
      seed: { type: 'string' },
      net: { type: 'string', default: '127.0.57' },
    },
  });
  const first = Number(values.seed ?? Date.now() % 1_000_000);
  const plans = Number(values.plans);
  const made = mkdtempSync(join(tmpdir(), 'gameday-fuzz-'));
  chmodSync(made, 0o755);
  const home = realpathSync(made);
  const totals = { plans: 0, faults: 0, refused: 0, residue: 0 };
  try {
    const target = await labUp({ home, net: values.net });
    for (let n = 0; n < plans; n += 1) {
      const plan = fuzzPlan(first + n);
      const started = Date.now();
      const result = await runFuzzed(home, target, 800_001 + n, plan);
      totals.plans += 1;
      totals.faults += result.stood;
      totals.refused += result.refused.length;
      totals.residue += result.residue.length;
      const left = result.residue.length === 0 ? '' : `\n    LEFT: ${result.residue.join('; ')}`;
      const words = plan.faults.map(({ fault }) => fault).join(', ');
      process.stderr.write(
        `[${n + 1}/${plans}] seed ${plan.seed}: ${words}; ${plan.death} dies after ${plan.after}; ${plan.end}: ${result.stood} stood, ${((Date.now() - started) / 1_000).toFixed(1)} s${left}\n${result.refused.map((why) => `    refused: ${why.slice(0, 160)}\n`).join('')}`,
      );
    }
  } finally {
    await labDown({ home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
  process.stdout.write(`${JSON.stringify({ ...totals, seed: first })}\n`);
  process.exit(totals.residue === 0 ? 0 : 1);
}

void main();
