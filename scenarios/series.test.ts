import { join } from 'node:path';
import fc from 'fast-check';
import { packageRoot } from '../core/files';
import type { PlanStep } from '../model/plan';
import { sampleTarget } from '../test/sample-plan';
import { flattenSteps } from '../model/plan-steps';
import { buildPlan } from './build-plan';
import { findScenario } from './index';
import { loadScenario, parseScenario } from './load-scenario';
import { controlSteps, drawPhaseMs, injectionPeriodMs, withInjectionPhase, type SeriesRun } from './series';

const target = {
  target: { ...sampleTarget(), policy: { ...sampleTarget().policy, maxFaultMs: 900_000 } },
  source: '',
  sha256: '',
  file: 'lab.yaml',
};
const HEAD = 'name: x\ntitle: X\nhypothesis: h\nobjectives: { rto: 30s }\n';
const build = (text: string, series?: SeriesRun) => buildPlan({ scenario: parseScenario('s.yaml', HEAD + text), target, series }).plan;
const outline = (steps: readonly PlanStep[]): string[] => flattenSteps(steps).map(({ id }) => id);

describe('the injection phase', () => {
  const run: SeriesRun = { kind: 'drill', seed: 7, run: 2 };

  test('is a wait of the drawn length before the first disruption, in the plan and under its digest', () => {
    const text = 'steps: [{ note: hello }, { parallel: [[{ wait: 1s }, { fault: noop }], [{ note: aside }]] }, { fault: noop }]\n';
    const { steps } = build(text, run);
    expect(outline(steps)).toEqual(['note-1', 'injection-phase', 'parallel-1', 'wait-1', 'noop', 'note-2', 'noop-2']);
    expect(steps[1]).toEqual({
      kind: 'wait',
      id: 'injection-phase',
      title: 'injection phase (seed 7, run 2)',
      wait: { kind: 'for', ms: drawPhaseMs(7, 2, injectionPeriodMs('standalone')) },
    });
    expect(build(text, run)).toEqual(build(text, run));
    expect(build(text, { ...run, run: 3 })).not.toEqual(build(text, run));
  });

  test('is left out where nothing is disrupted, and takes a free id', () => {
    expect(outline(build('steps: [{ note: hello }]\n', run).steps)).toEqual(['note-1']);
    expect(outline(build('steps: [{ failover: most-advanced, id: injection-phase }]\n', run).steps)).toEqual([
      'injection-phase-2',
      'injection-phase',
    ]);
  });

  test('is drawn uniformly within the period, each run by itself', () => {
    const draws = Array.from({ length: 4_000 }, (_, n) => drawPhaseMs(1, n + 1, 1_000));
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws)).toBeLessThan(1_000);
    const tenths = Array.from({ length: 10 }, (_, at) => draws.filter((ms) => Math.floor(ms / 100) === at).length);
    // 400 expected in each; five standard deviations are 95.
    for (const count of tenths) expect(Math.abs(count - 400)).toBeLessThan(95);
    expect(drawPhaseMs(1, 1, 1_000)).not.toBe(drawPhaseMs(2, 1, 1_000));
  });
});

describe('the control run', () => {
  const control: SeriesRun = { kind: 'control', waitMs: 20_000 };

  test('of every scenario in the library and the tests breaks, restores and asks nothing after its wait', () => {
    const files = ['cut-and-kill', 'quick-loss', 'ten-steps', 'people'].map((name) =>
      join(packageRoot(), 'test', 'scenarios', `${name}.yaml`),
    );
    const found = ['primary-loss', 'replication-latency', 'runbook-rehearsal'].map(findScenario);
    for (const path of [...files, ...found]) {
      const { plan } = buildPlan({ scenario: loadScenario(path), target, series: control });
      const kinds = new Set(flattenSteps(plan.steps).map(({ kind }) => kind));
      expect([...kinds].filter((kind) => ['fault', 'failover', 'restore', 'heal'].includes(kind))).toEqual([]);
      expect(plan.steps.filter((step) => step.kind === 'wait' && step.wait.kind === 'for' && step.wait.ms === 20_000)).toHaveLength(1);
    }
  });

  test('keeps what stands before the disruption, its notes and its waits, and drops what may rest on it', () => {
    const text = `steps:
  - check: { sql: select 1, on: primary, expect: '1' }
  - fault: noop
    id: a
  - wait: 2s
  - parallel: [[{ fault: noop, id: b }, { wait: 1s }], [{ heal: [a] }]]
  - parallel: [[{ wait: 3s }], [{ note: aside }]]
  - check: { sql: select 2, on: primary, expect: '2' }
  - wait: recovered
  - gate: go on?
    owner: lead
  - heal: all
  - note: the end
`;
    expect(outline(build(text, control).steps)).toEqual([
      'check-1',
      'control',
      'wait-1',
      'wait-2',
      'parallel-2',
      'wait-3',
      'note-1',
      'note-2',
    ]);
  });

  test('says in its title that it is one, and has no objective about a restore', () => {
    const text =
      HEAD.replace('{ rto: 30s }', '{ rto: 30s, rpo: 0 tx, restore_time: 1m }') +
      'steps: [{ fault: noop, id: a }, { restore: { before: a } }]\n';
    const archived = { ...sampleTarget(), sandbox: { dir: '/x', osUser: null, binDir: '/x' } };
    const archive = {
      kind: 'native',
      endpoint: 'http://127.0.0.2:1',
      region: 'r',
      bucket: 'bbb',
      prefix: 'p',
      accessKey: 'env:A',
      secretKey: 'env:B',
      spoolDir: '/x',
    } as const;
    const { plan } = buildPlan({
      scenario: parseScenario('s.yaml', text),
      target: { ...target, target: { ...archived, archive } },
      series: control,
    });
    expect(plan.scenario.title).toBe('X (control run)');
    expect(plan.objectives.map(({ name }) => name)).toEqual(['rto', 'rpo_transactions']);
  });

  test('whatever the steps, nothing that disrupts is left and no id is used twice', () => {
    const leaf: fc.Arbitrary<PlanStep> = fc.oneof(
      fc.record({ kind: fc.constant('note' as const), id: fc.uuid(), title: fc.constant('n'), text: fc.constant('n') }),
      fc.record({
        kind: fc.constant('failover' as const),
        id: fc.uuid(),
        title: fc.constant('f'),
        candidate: fc.constant(null),
        timeoutMs: fc.constant(1),
      }),
      fc.record({
        kind: fc.constant('wait' as const),
        id: fc.constantFrom('control', 'control-2'),
        title: fc.constant('w'),
        wait: fc.constant({ kind: 'for' as const, ms: 1 }),
      }),
    );
    const parallel: fc.Arbitrary<PlanStep> = fc.record({
      kind: fc.constant('parallel' as const),
      id: fc.uuid(),
      title: fc.constant('p'),
      branches: fc.array(fc.array(leaf, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(leaf, parallel), { maxLength: 6 }), (steps) => {
        const left = flattenSteps(controlSteps(steps, 5));
        expect(left.filter(({ kind }) => kind === 'failover')).toEqual([]);
        const added = left.filter((step) => step.kind === 'wait' && step.wait.kind === 'for' && step.wait.ms === 5);
        expect(added).toHaveLength(1);
        expect(flattenSteps(steps).map(({ id }) => id)).not.toContain(added[0]?.id);
        expect(flattenSteps(withInjectionPhase(steps, { kind: 'drill', seed: 1, run: 1 }, 10)).length - flattenSteps(steps).length).toBe(
          flattenSteps(steps).some(({ kind }) => kind === 'failover') ? 1 : 0,
        );
      }),
    );
  });
});
