/** A seeded few of the mutants that `npm run test:mutation` runs all of: the suite must notice each. `GAMEDAY_SEED` draws the same few again. */
import { MUTATIONS } from './mutation/mutations';
import { drawMutations, runMutants, whyNotApplicable } from './mutation/run-mutants';

const SEED = Number(process.env['GAMEDAY_SEED'] ?? Date.now() % 2 ** 31);
const SAMPLE = 4;

describe('mutants of the judgement', () => {
  it('all apply to the sources as they stand', () => {
    expect(MUTATIONS.map(whyNotApplicable).filter((why) => why !== null)).toEqual([]);
    expect(new Set(MUTATIONS.map(({ file, what }) => `${file} ${what}`)).size).toBe(MUTATIONS.length);
    expect(MUTATIONS.length).toBeGreaterThanOrEqual(40);
  });

  it(`${SAMPLE} drawn by seed ${SEED} are all noticed`, async () => {
    const verdicts = await runMutants(drawMutations(SAMPLE, SEED));
    expect(verdicts).toHaveLength(SAMPLE);
    expect(verdicts.flatMap(({ killed, mutation }) => (killed ? [] : [`${mutation.file}: ${mutation.what}`]))).toEqual([]);
  }, 600_000);
});
