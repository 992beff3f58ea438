/**
 * A sample of what `npm run test:crash` and `npm run test:fuzz` try whole, on a lab of its own: always the same one, and plans that once left something. New ones are
 * for the nightly run, and for whoever names a seed.
 */
import { rmSync } from 'node:fs';
import { labDown } from '../../infra/lab/down';
import { seeded } from '../calibration/calibrate';
import { fuzzPlan, runFuzzed } from '../crash/fuzz';
import { cellName, CrashWorld, sampleCells } from '../crash/matrix';
import { FULL } from './drawn';
import { makeHome } from './lab';

const NET = '127.0.58';
const CELLS = FULL ? 2 : 1;
const PLANS = FULL ? 2 : 1;
const SEED = Number(process.env['GAMEDAY_CRASH_SEED'] ?? 31);
/** What they left: a lease of credentials-rotated that waited for a standby which had been promoted behind everybody's back. */
const FOUND = [1_000_009];

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

test.each([...FOUND, ...Array.from({ length: PLANS }, (_, at) => SEED + at)].map((seed, at) => ({ seed, at })))(
  'the plan that seed $seed makes up leaves nothing',
  async ({ seed, at }) => {
    const plan = fuzzPlan(seed);
    const result = await runFuzzed(world.home, world.target, 800_001 + at, plan);
    expect({ plan, residue: result.residue }).toEqual({ plan, residue: [] });
  },
  240_000,
);
