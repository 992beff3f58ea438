/** A sample of what `npm run test:crash` and `npm run test:fuzz` try whole, on a lab of its own; another one in every run, its seed printed. */
import { rmSync } from 'node:fs';
import { labDown } from '../../infra/lab/down';
import { seeded } from '../calibration/calibrate';
import { fuzzPlan, runFuzzed } from '../crash/fuzz';
import { cellName, CrashWorld, sampleCells } from '../crash/matrix';
import { makeHome } from './lab';

const NET = '127.0.58';
const CELLS = 2;
const PLANS = 4;
const SEED = Number(process.env['GAMEDAY_CRASH_SEED'] ?? Date.now() % 1_000_000);

const home = makeHome();
let world: CrashWorld;
beforeAll(async () => {
  world = await CrashWorld.start(home, NET);
}, 120_000);
afterAll(async () => {
  await labDown({ home, purge: true });
  rmSync(home, { recursive: true, force: true });
}, 60_000);

test.each(sampleCells(CELLS, seeded(SEED)).map((cell) => ({ cell, name: cellName(cell) })))(
  `SIGKILL of $name leaves nothing (seed ${SEED})`,
  async ({ cell }) => {
    const result = await world.runCell(cell);
    expect(result.residue).toEqual([]);
    expect(result.mostWritable).toBeLessThanOrEqual(1);
  },
  400_000,
);

test.each(Array.from({ length: PLANS }, (_, at) => SEED + at))(
  'the plan that seed %i makes up leaves nothing',
  async (seed) => {
    const plan = fuzzPlan(seed);
    const result = await runFuzzed(world.home, world.target, 800_001 + (seed - SEED), plan);
    expect({ plan, residue: result.residue }).toEqual({ plan, residue: [] });
  },
  240_000,
);
