/** Who was told what: derived from plan and course, with what came of it; what is missing has a reason, and what comes after the seal is said to. */
import type { ObservationPlan } from '../model/observation';
import type { PlanStep } from '../model/plan';
import type { StepRecord } from '../model/record';
import { samplePlan } from '../test/sample-plan';
import { communicationsOf } from './communications';

const NOTE: PlanStep = { kind: 'note', id: 'say', title: 'Say', text: 'the primary is killed next' };
const TELL: PlanStep = {
  kind: 'manual',
  id: 'tell',
  title: 'Tell',
  instruction: 'tell the status page',
  owner: 'on-call',
  check: null,
  timeoutMs: 60_000,
  declares: 'incident',
};
const GO: PlanStep = { kind: 'gate', id: 'go', title: 'Go?', question: 'Go on?', owner: 'lead', timeoutMs: 60_000 };
const at = (second: number): string => `2026-11-23T03:00:${String(second).padStart(2, '0')}.000Z`;
const began = (id: string, second: number, outcome: StepRecord['outcome'] = 'done', reason: string | null = null): StepRecord => ({
  ...{ id, kind: 'note', title: id, outcome, reason, actor: 'gameday', output: null },
  ...{ startedAt: outcome === 'not executed' ? null : at(second), endedAt: outcome === 'not executed' ? null : at(second + 1) },
});
const unsaid = { notRecorded: 'whoever started it did not say' };
const course = { state: 'completed', startedBy: 'mira', steps: [], people: [], announced: unsaid } as const;
const told = (plan: readonly PlanStep[], changes: Partial<Parameters<typeof communicationsOf>[1]>) => {
  const found = communicationsOf(samplePlan(plan), { ...course, ...changes }).told;
  if ('notRecorded' in found) throw new Error(found.notRecorded);
  return found;
};

test('notes, questions and answers stand in order of time, inside parallel branches too, each with what came of it', () => {
  const steps = [began('both', 1), began('go', 2), began('say', 4), began('tell', 3)];
  const people = [
    { id: 'carol', step: 'tell', answer: 'done', at: at(5), note: 'as agreed' },
    { id: 'lee', step: 'go', answer: 'go', at: at(9), note: null },
  ];
  const plan: PlanStep[] = [{ kind: 'parallel', id: 'both', title: 'Both', branches: [[GO], [TELL, NOTE]] }];
  expect(told(plan, { steps, people }).map(({ at: when, kind, from, to, text, result }) => [when, kind, from, to, text, result])).toEqual([
    [at(2), 'question', 'gameday', 'lead', 'Go on?', 'lee answered go'],
    [at(3), 'question', 'gameday', 'on-call', 'tell the status page', 'carol answered done'],
    [at(4), 'note', 'gameday', 'whoever runs or follows the drill', 'the primary is killed next', expect.objectContaining({}) as object],
    [at(5), 'declaration', 'carol', 'gameday', 'done: as agreed', 'the incident was declared'],
    [at(9), 'answer', 'lee', 'gameday', 'go', 'the drill went on'],
  ]);
});

test('a no-go halts, nobody’s answer is told with its reason, and what a check saw was answered by nobody', () => {
  const people = [{ id: 'lee', step: 'go', answer: 'no-go', at: at(3), note: 'too late today' }];
  expect(told([GO], { steps: [began('go', 2, 'failed', 'halted by lee')], people }).map(({ text, result }) => [text, result])).toEqual([
    ['Go on?', 'lee answered no-go'],
    ['no-go: too late today', 'the drill was halted'],
  ]);
  const reason = 'on-call did not report the step done within 1 min 0 s';
  expect(told([TELL], { steps: [began('tell', 2, 'failed', reason)] }).map(({ result }) => result)).toEqual([reason]);
  expect(told([TELL], { steps: [began('tell', 2)] })[0]?.result).toMatch(/^nobody answered: .* check/);
});

test('that it was announced stands first, with what nobody said of it; that it was not is no communication', () => {
  const [first, ...rest] = told([NOTE], { steps: [began('say', 1)], announced: true });
  expect(first).toMatchObject({ kind: 'announcement', from: 'mira', at: { notRecorded: expect.stringMatching(/not when/) as string } });
  expect(rest).toHaveLength(1);
  expect(communicationsOf(samplePlan([]), { ...course, announced: false }).told).toEqual({
    notRecorded: 'no step of this drill told anybody anything or asked anybody',
  });
});

test('steps that were not carried out told nobody: the record names them', () => {
  const steps = [began('go', 1, 'not executed', 'the drill ended before')];
  expect(communicationsOf(samplePlan([GO]), { ...course, steps }).told).toEqual({
    notRecorded: 'no step that tells or asks was carried out: go',
  });
  expect(communicationsOf(samplePlan([GO]), { ...course, state: 'lost' }).told).toEqual({ notRecorded: expect.stringMatching(/lost/) });
});

test('what goes out after the seal is said, and that no record can hold it', () => {
  const after = (state: 'completed' | 'unsafe' | 'lost'): string => communicationsOf(samplePlan([]), { ...course, state }).afterSeal;
  for (const state of ['completed', 'unsafe', 'lost'] as const)
    expect(after(state)).toMatch(/after the seal, so this record cannot hold it/);
  expect([after('completed'), after('unsafe')].map((text) => text.includes('still broken on purpose'))).toEqual([false, true]);
  const observation = { ...samplePlan([]), observation: {} } as unknown as ObservationPlan;
  expect(communicationsOf(observation, course)).toMatchObject({ told: { notRecorded: expect.stringMatching(/observation/) as string } });
});
