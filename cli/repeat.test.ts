/** A series before its first drill: what is planned, and what is refused while nothing has run. */
import { GamedayError } from '../core/errors';
import type { BuiltPlan } from '../scenarios/build-plan';
import type { SeriesRun } from '../scenarios/series';
import { samplePlan } from '../test/sample-plan';
import { runSeries } from './repeat';
import { openTerminal } from './terminal';

test('every run is planned once, and the reason of a series is held against its first drill before anything runs', async () => {
  const planned: SeriesRun[] = [];
  const heldAgainst: string[] = [];
  const series = runSeries({
    home: '/nowhere',
    terminal: openTerminal(true),
    person: undefined,
    repeat: 3,
    seed: 41,
    controlMs: 3_000,
    plan: async (run) => {
      planned.push(run);
      const plan = samplePlan([]);
      return { plan: { ...plan, scenario: { ...plan.scenario, name: `run ${'run' in run ? run.run : 0}` } } } as BuiltPlan;
    },
    occasion: ({ scenario }) => {
      heldAgainst.push(scenario.name);
      throw new GamedayError('usage', '--retest lost: there is no such finding');
    },
  });
  await expect(series).rejects.toThrow('there is no such finding');
  expect(planned).toEqual([{ kind: 'control', waitMs: 3_000 }, ...[1, 2, 3].map((run) => ({ kind: 'drill', seed: 41, run }))]);
  expect(heldAgainst).toEqual(['run 1']);
});
