/** `npm run test:crash [-- --sample N --seed S]`: the crash matrix, whole or a seeded sample of it. Ends with one JSON line; exit 1 if anything was left. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { labDown } from '../../infra/lab/down';
import { seeded } from '../calibration/calibrate';
import { allCells, cellName, CrashWorld, sampleCells } from './matrix';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sample: { type: 'string' },
      seed: { type: 'string' },
      only: { type: 'string' },
      net: { type: 'string', default: '127.0.58' },
    },
  });
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  const all = values.sample === undefined ? allCells() : sampleCells(Number(values.sample), seeded(seed));
  const cells = all.filter((cell) => values.only === undefined || cellName(cell).includes(values.only));
  process.stderr.write(`crash matrix: ${cells.length} cells, seed ${seed}\n`);
  const home = mkdtempSync(join(tmpdir(), 'gameday-crash-'));
  chmodSync(home, 0o755);
  const totals = { kills: 0, resumed: 0, expired: 0, residue: 0 };
  try {
    const world = await CrashWorld.start(home, values.net);
    for (const [at, cell] of cells.entries()) {
      const result = await world.runCell(cell, (text) => process.stderr.write(`    ${text}\n`));
      totals.kills += 1;
      if (result.expired > 0) totals.expired += 1;
      else totals.resumed += 1;
      totals.residue += result.residue.length;
      const left = result.residue.length === 0 ? '' : `\n    LEFT: ${result.residue.join('; ')}`;
      process.stderr.write(
        `[${at + 1}/${cells.length}] ${cellName(cell)}: ${result.state}, ${result.expired} expired, ${result.seconds.toFixed(0)} s${left}\n`,
      );
    }
  } finally {
    await labDown({ home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
  process.stdout.write(`${JSON.stringify(totals)}\n`);
  process.exit(totals.residue === 0 ? 0 : 1);
}

void main();
