/** A series on the shared lab: a control run that must be quiet, then drills at drawn instants, added up in one line. */
import { join } from 'node:path';
import { sleep, until } from '../../core/clock';
import { packageRoot, readJsonFile } from '../../core/files';
import type { Plan } from '../../model/plan';
import type { DrillRecord } from '../../model/record';
import { drawPhaseMs, injectionPeriodMs } from '../../scenarios/series';
import { openTarget } from '../../targets/open-target';
import { cli, lab } from './lab';
import { fullTest } from './drawn';

interface RunLine {
  readonly drill: string;
  readonly sequence: number;
  readonly state: string;
  readonly verdict: string;
  readonly rto: { readonly lowMs: number; readonly highMs: number } | null;
  readonly evidence: string;
}
interface SeriesLine {
  readonly repeat: number;
  readonly seed: number;
  readonly control: (RunLine & { readonly problem: string | null }) | null;
  readonly runs: readonly (RunLine & { readonly run: number; readonly phaseMs: number })[];
  readonly summary: Readonly<Record<string, { readonly min: number; readonly median: number; readonly max: number; readonly n: number }>>;
  readonly stopped: string | null;
}

const scenario = (name: string): string => join(packageRoot(), 'test', 'scenarios', `${name}.yaml`);

function planOf({ evidence }: RunLine): Plan {
  const plan = readJsonFile<Plan>(join(evidence, 'plan.json'));
  if (plan === null) throw new Error(`no plan in ${evidence}`);
  return plan;
}

/** Whatever ran before may have left the target well but not ready yet: the archive must reach the new timeline, say. */
beforeEach(async () => {
  const { home } = lab();
  const check = ['check', '--scenario', scenario('gentle-loss')];
  await until(async () => ((await cli(check, { home })).code === 0 ? true : null), {
    timeoutMs: 60_000,
    onTimeout: () => new Error('the lab is not ready'),
  });
}, 70_000);

fullTest(
  'two drills after a quiet control run: each at its drawn instant, min, median and max over both',
  async () => {
    const { home } = lab();
    const args = ['run', scenario('gentle-loss'), '--repeat', '2', '--seed', '41', '--control-for', '3s'];
    const ended = await cli([...args, '--json'], { home, timeoutMs: 150_000 });
    const last = ended.stdout.trim().split('\n').at(-1) ?? '';
    if (!last.startsWith('{"repeat"')) throw new Error(`no series line; exit ${ended.code}\n${ended.stdout}\n${ended.stderr}`);
    const series = JSON.parse(last) as SeriesLine;
    expect([series.repeat, series.seed, series.stopped]).toEqual([2, 41, null]);
    expect(series.control).toMatchObject({ state: 'completed', verdict: 'pass', problem: null, rto: null });
    if (series.control === null) throw new Error('no control run');
    expect(planOf(series.control).steps.map(({ kind }) => kind)).toEqual(['wait']);
    expect(series.runs.map(({ run, state }) => [run, state])).toEqual([
      [1, 'completed'],
      [2, 'completed'],
    ]);
    expect(series.runs.map(({ sequence }) => sequence)).toEqual([1, 2].map((n) => (series.control?.sequence ?? 0) + n));
    for (const run of series.runs) {
      const drawn = drawPhaseMs(41, run.run, injectionPeriodMs('standalone'));
      const [wait, fault] = planOf(run).steps;
      expect([run.phaseMs, wait?.kind === 'wait' && wait.wait.kind === 'for' ? wait.wait.ms : null, fault?.kind]).toEqual([
        drawn,
        drawn,
        'fault',
      ]);
      const record = readJsonFile<DrillRecord>(join(run.evidence, 'record.json'));
      expect(record?.steps[0]).toMatchObject({ id: 'injection-phase', outcome: 'done' });
      expect(record?.rto).toMatchObject({ rto: run.rto });
    }
    const middles = series.runs.map(({ rto }) => ((rto?.lowMs ?? NaN) + (rto?.highMs ?? NaN)) / 2);
    const { rto } = series.summary;
    expect(rto).toMatchObject({ n: 2 });
    expect(rto?.min).toBeCloseTo(Math.min(...middles), 3);
    expect(rto?.max).toBeCloseTo(Math.max(...middles), 3);
    expect(rto?.median).toBeCloseTo(((rto?.min ?? 0) + (rto?.max ?? 0)) / 2, 3);
    const worst = series.runs.map(({ verdict }) => verdict);
    expect(ended.code).toBe(
      worst.every((verdict) => verdict === 'pass') ? 0 : worst.some((verdict) => verdict === 'fail' || verdict === 'marginal') ? 1 : 3,
    );
  },
  170_000,
);

fullTest(
  'clients that see an outage in the control run make the series inconclusive, and nothing is broken',
  async () => {
    const { home, target } = lab();
    const links = openTarget(target).links;
    const entry = links?.find('client', 'router') ?? null;
    if (links === null || entry === null) throw new Error('the lab has no client link');
    const args = ['run', scenario('gentle-loss'), '--control', '--control-for', '10s', '--json'];
    const running = new Promise<Awaited<ReturnType<typeof cli>>>((resolve, reject) => {
      // The command itself says when its method begins: asking another one takes seconds on a busy machine, and the outage came too late.
      let isCut = false;
      const cutOnce = (said: string): void => {
        if (isCut || !said.includes('── method')) return;
        isCut = true;
        links
          .setEnabled(entry, false)
          .then(() => sleep(1_000))
          .finally(() => links.setEnabled(entry, true))
          .catch(reject);
      };
      cli(args, { home, timeoutMs: 90_000, onProgress: cutOnce }).then(resolve, reject);
    });
    const ended = await running;
    const series = JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '') as SeriesLine;
    expect(series.control?.problem).toMatch(/^clients saw \d+ outages?, the longest of .*, though nothing was broken on purpose$/);
    expect([ended.code, series.runs, series.summary]).toEqual([3, [], {}]);
    expect(series.stopped).toContain('the control run does not hold');
  },
  120_000,
);
