import type { Plan, PlanStep } from '../model/plan';
import type { StepRecord } from '../model/record';
import { sampleRecord } from '../test/fixtures/record';
import { samplePlan } from '../test/sample-plan';
import { besidePlan, circumstancesOf, stepsBesidePlan, unknownCircumstances } from './beside-plan';

const gone = unknownCircumstances('nobody looked');
const [firstFault] = sampleRecord().faults;
const done = (id: string, kind: StepRecord['kind'], seconds: number, output: StepRecord['output'] = null): StepRecord => ({
  id,
  kind,
  title: id,
  outcome: 'done',
  reason: null,
  actor: 'gameday',
  startedAt: '2026-11-23T03:00:00.000Z',
  endedAt: new Date(Date.parse('2026-11-23T03:00:00.000Z') + seconds * 1_000).toISOString(),
  output,
});
const KILL: PlanStep = { kind: 'fault', id: 'kill', title: 'Kill', fault: 'process-kill', settings: {}, maxMs: 60_000 };
const GO: PlanStep = { kind: 'gate', id: 'go', title: 'Go?', question: 'Go?', owner: 'on-call', timeoutMs: 60_000, plannedMs: 5_000 };
const OVER: PlanStep = { kind: 'failover', id: 'over', title: 'Fail over', candidate: 'n2', timeoutMs: 60_000 };
const PAUSE: PlanStep = { kind: 'wait', id: 'pause', title: 'Pause', wait: { kind: 'for', ms: 2_000 } };
const planOf = (steps: readonly PlanStep[], scenario: Partial<Plan['scenario']> = {}): Plan => {
  const plan = samplePlan(steps);
  return { ...plan, scenario: { ...plan.scenario, ...scenario } };
};

describe('what a record says beside the plan', () => {
  it('has no deviation where everything went as planned, whatever a wait needed beyond its time', () => {
    const course = {
      steps: [done('kill', 'fault', 1), done('go', 'gate', 5), done('over', 'failover', 3, { to: 'n2' }), done('pause', 'wait', 9)],
      faults: [{ ...firstFault!, step: 'kill' }],
    };
    expect(besidePlan(planOf([KILL, GO, OVER, PAUSE]), gone, course).deviations).toEqual([]);
  });

  it('names each deviation with what was planned, inside parallel branches too', () => {
    const plan = planOf([KILL, { kind: 'parallel', id: 'both', title: 'Both', branches: [[GO], [OVER]] }, PAUSE]);
    const steps = [
      done('kill', 'fault', 1),
      done('both', 'parallel', 6),
      done('go', 'gate', 6),
      done('over', 'failover', 3, { to: 'n3' }),
      { ...done('pause', 'wait', 0), outcome: 'not executed' as const, reason: 'the drill ended before', startedAt: null, endedAt: null },
    ];
    const faults = [{ ...firstFault!, step: 'kill', fault: 'process-kill', endedBy: 'expired' }];
    expect(
      besidePlan(plan, gone, { steps, faults }).deviations.map(
        ({ kind, step, planned, actual }) => `${step} ${kind}: ${planned} | ${actual}`,
      ),
    ).toEqual([
      'kill ended early: process-kill is taken off by the drill | its time ran out',
      'go took longer: at most 5.00 s | 6.00 s',
      'over other node: fail over to n2 | n3 took over',
      'pause not carried out: Pause | not executed: the drill ended before',
    ]);
  });

  it('keeps how long steps should take, and the digest of what they showed whatever the order of its keys', () => {
    const plan = planOf([GO, OVER, PAUSE]);
    const [go, over, pause] = stepsBesidePlan(
      [done('go', 'gate', 1, { answer: 'go', by: 'jo' }), done('over', 'failover', 1), done('pause', 'wait', 2)],
      plan,
    );
    expect([go?.plannedMs, pause?.plannedMs]).toEqual([5_000, 2_000]);
    expect(over).toMatchObject({ plannedMs: { notRecorded: expect.stringContaining('says nothing') as string }, outputSha256: null });
    const [again] = stepsBesidePlan([done('go', 'gate', 1, { by: 'jo', answer: 'go' })], plan);
    expect(go?.outputSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(again?.outputSha256).toBe(go?.outputSha256);
    const [other] = stepsBesidePlan([done('go', 'gate', 1, { by: 'jo', answer: 'no-go' })], plan);
    expect(other?.outputSha256).not.toBe(go?.outputSha256);
  });

  it('says what the scenario says, and of the rest that it says nothing', () => {
    const said = {
      rationale: 'because',
      exclusions: ['the replica'],
      runbook: { file: 'r.md', sha256: 'ab'.repeat(32) },
      roles: [{ role: 'DBA', absent: true }],
    };
    const { planning } = besidePlan(
      planOf([GO], said),
      circumstancesOf(false, undefined, { securityParity: { notRecorded: 'no other node leads' } }),
      {
        steps: [],
        faults: [],
      },
    );
    expect(planning).toMatchObject({ ...said, announced: false, assumptions: { notRecorded: expect.any(String) as string } });
    expect(planning.abortCriteria).toEqual(expect.arrayContaining(['a person halts it', 'a person answers no-go']));
    expect(planning.approvals).toEqual({ notRecorded: 'the pre-flight did not come so far' });
    expect(
      besidePlan(planOf([GO]), circumstancesOf(undefined, undefined, { securityParity: { notRecorded: 'no other node leads' } }), {
        steps: [],
        faults: [],
      }).planning.announced,
    ).toEqual({
      notRecorded: 'whoever started it did not say',
    });
  });

  it('holds incidents against what was shown to bite, newest first, and leaves out those that had nothing of it', () => {
    const plan = planOf([KILL]);
    const incidents = [
      { name: 'old', on: '2025-01-01', faults: ['process-kill'] },
      { name: 'new', on: '2026-08-14', faults: ['process-kill', 'link-cut'] },
      { name: 'other', on: '2026-10-01', faults: ['drop-table'] },
    ];
    const named: Plan = { ...plan, target: { ...plan.target, incidents } };
    const fault = { ...firstFault!, step: 'kill', fault: 'process-kill' };
    const match = (confirmed: boolean) => besidePlan(named, gone, { steps: [], faults: [{ ...fault, confirmed }] }).incidents;
    expect(match(true)).toEqual([
      { name: 'new', on: '2026-08-14', alike: ['process-kill'], lacking: ['link-cut'] },
      { name: 'old', on: '2025-01-01', alike: ['process-kill'], lacking: [] },
    ]);
    expect(match(false)).toEqual([]);
    expect(besidePlan(plan, gone, { steps: [], faults: [] }).incidents).toEqual({ notRecorded: 'the target file names no incident' });
  });
});
