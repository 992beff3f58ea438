/**
 * `npm run test:fuzz [-- --plans N --seed S --labs L]`: fuzzed plans on labs of their own. Prints each plan's seed; ends with one JSON line; exit 1 if anything
 * was left or a plan could not be ended.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../../core/errors';
import { labUp } from '../../infra/lab/up';
import { fuzzPlan, runFuzzed } from './fuzz';
import { overLanes } from './lanes';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      plans: { type: 'string', default: '1000' },
      seed: { type: 'string' },
      labs: { type: 'string', default: '1' },
      net: { type: 'string', default: '127.0.200' },
    },
  });
  const first = Number(values.seed ?? Date.now() % 1_000_000);
  const plans = Number(values.plans);
  const cases = Array.from({ length: plans }, (_, n) => fuzzPlan(first + n));
  const totals = { plans: 0, faults: 0, refused: 0, residue: 0, errors: 0 };
  await overLanes(
    { lanes: Number(values.labs), net: values.net, cases },
    async ({ home, net }) => ({ home, target: await labUp({ home, net }) }),
    async ({ home, target }, plan, n) => {
      const started = Date.now();
      const words = plan.faults.map(({ fault }) => fault).join(', ');
      const what = `[${n + 1}/${plans}] seed ${plan.seed}: ${words}; ${plan.death} dies after ${plan.after}; ${plan.end}`;
      totals.plans += 1;
      try {
        const result = await runFuzzed(home, target, 800_001 + n, plan);
        totals.faults += result.stood;
        totals.refused += result.refused.length;
        totals.residue += result.residue.length;
        const left = result.residue.length === 0 ? '' : `\n    LEFT: ${result.residue.join('; ')}`;
        const took = ((Date.now() - started) / 1_000).toFixed(1);
        const refused = result.refused.map((why) => `    refused: ${why.slice(0, 160)}\n`).join('');
        process.stderr.write(`${what}: ${result.stood} stood, ${took} s${left}\n${refused}`);
      } catch (error) {
        totals.errors += 1;
        process.stderr.write(`${what}\n    ERROR: ${messageOf(error)}\n`);
      }
    },
  );
  process.stdout.write(`${JSON.stringify({ ...totals, seed: first })}\n`);
  process.exit(totals.residue + totals.errors === 0 ? 0 : 1);
}

void main();
