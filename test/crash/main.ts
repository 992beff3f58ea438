/**
 * `npm run test:crash [-- --sample N --seed S --labs L --only TEXT --from N]`: the crash matrix, whole, a seeded sample of it, or the rest of a run that was
 * cut short. Ends with one JSON line; exit 1 if anything was left or a cell did not come to its end.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../../core/errors';
import { seeded } from '../calibration/calibrate';
import { overLanes } from './lanes';
import { allCells, cellName, CrashWorld, sampleCells } from './matrix';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sample: { type: 'string' },
      seed: { type: 'string' },
      only: { type: 'string' },
      from: { type: 'string', default: '1' },
      labs: { type: 'string', default: '1' },
      net: { type: 'string', default: '127.0.220' },
    },
  });
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  const all = values.sample === undefined ? allCells() : sampleCells(Number(values.sample), seeded(seed));
  const wanted = all.filter((cell) => values.only === undefined || cellName(cell).includes(values.only));
  const before = Number(values.from) - 1;
  const cells = wanted.slice(before);
  process.stderr.write(`crash matrix: ${cells.length} cells, seed ${seed}\n`);
  const totals = { kills: 0, resumed: 0, expired: 0, residue: 0 };
  let errors = 0;
  await overLanes(
    { lanes: Number(values.labs), net: values.net, cases: cells },
    ({ home, net }) => CrashWorld.start(home, net),
    async (world, cell, at) => {
      const what = `[${before + at + 1}/${wanted.length}] ${cellName(cell)}`;
      try {
        const result = await world.runCell(cell, (text) => process.stderr.write(`    ${text}\n`));
        totals.kills += 1;
        if (result.expired > 0) totals.expired += 1;
        else totals.resumed += 1;
        totals.residue += result.residue.length;
        const left = result.residue.length === 0 ? '' : `\n    LEFT: ${result.residue.join('; ')}`;
        process.stderr.write(`${what}: ${result.state}, ${result.expired} expired, ${result.seconds.toFixed(0)} s${left}\n`);
      } catch (error) {
        errors += 1;
        process.stderr.write(`${what}\n    ERROR: ${messageOf(error)}\n`);
      }
    },
  );
  process.stdout.write(`${JSON.stringify(totals)}\n`);
  if (errors > 0) process.stderr.write(`${errors} cells did not come to their end\n`);
  process.exit(totals.residue + errors === 0 ? 0 : 1);
}

void main();
