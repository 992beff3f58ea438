/**
 * Who was told what in a drill, when, by what way and with what result: from the steps that tell or ask and from what people answered. Derived from plan and
 * course, so that it can be derived again. What goes out after the seal cannot stand in a sealed record, which says so instead. Pure.
 */
import type { ObservationPlan } from '../model/observation';
import type { GateStep, ManualStep, NoteStep, Plan } from '../model/plan';
import { flattenSteps } from '../model/plan-steps';
import type { Communication, Communications, DrillRecord, Maybe, StepRecord } from '../model/record';

const LINES = 'the drill’s lines, on the terminal of whoever runs or follows it, and its events';
const QUESTION = 'the drill’s open question, on the terminal of whoever runs or follows it, and its events';
const ANSWER = '`gameday answer`, or the prompt of whoever follows the drill';

interface Course extends Pick<DrillRecord, 'state' | 'startedBy' | 'steps' | 'people'> {
  /** Whether whoever started it said that those who run the target were told before. */
  readonly announced: Maybe<boolean>;
}

export function communicationsOf(plan: Plan | ObservationPlan, course: Course): Communications {
  if ('observation' in plan) {
    return {
      told: { notRecorded: 'an observation tells nobody anything and asks nobody' },
      afterSeal: 'its verdict is printed on the terminal that started it; that comes after the seal, so this record cannot hold it',
    };
  }
  return { told: toldIn(plan, course), afterSeal: afterSeal(course.state) };
}

function toldIn({ steps: planned }: Plan, { state, startedBy, steps, people, announced }: Course): Communications['told'] {
  if (state === 'lost') return { notRecorded: 'the drill was lost: what it told and asked stands in its events alone' };
  const speaking = flattenSteps(planned).filter((step) => step.kind === 'note' || step.kind === 'manual' || step.kind === 'gate');
  const told = speaking.flatMap((plan) => {
    const step = steps.find(({ id }) => id === plan.id);
    if (step === undefined || step.startedAt === null) return [];
    return plan.kind === 'note' ? [noteOf(plan, step.startedAt)] : asked(plan, step, step.startedAt, people);
  });
  const all = [...(announced === true ? [announcement(startedBy)] : []), ...told.sort(byTime)];
  if (all.length > 0) return all;
  return {
    notRecorded:
      speaking.length === 0
        ? 'no step of this drill told anybody anything or asked anybody'
        : `no step that tells or asks was carried out: ${speaking.map(({ id }) => id).join(', ')}`,
  };
}

function announcement(startedBy: string): Communication {
  return {
    kind: 'announcement',
    step: null,
    at: { notRecorded: `${startedBy} said that it was announced, not when` },
    from: startedBy,
    to: 'those who run the target',
    by: { notRecorded: `${startedBy} did not say by what way` },
    text: 'that there would be a drill',
    result: { notRecorded: 'gameday asks nobody to confirm it' },
  };
}

function noteOf({ id, text }: NoteStep, at: string): Communication {
  const result = { notRecorded: 'nobody is asked to confirm a note' };
  return { kind: 'note', step: id, at, from: 'gameday', to: 'whoever runs or follows the drill', by: LINES, text, result };
}

/** The question, and the answer where a person gave one. */
function asked(plan: ManualStep | GateStep, step: StepRecord, at: string, people: DrillRecord['people']): readonly Communication[] {
  const answer = people.find((one) => one.step === plan.id);
  const silent = step.outcome === 'done' ? 'nobody answered: the step’s own check saw that it was done' : step.reason;
  const question: Communication = {
    kind: 'question',
    step: plan.id,
    at,
    from: 'gameday',
    to: plan.owner,
    by: QUESTION,
    text: plan.kind === 'manual' ? plan.instruction : plan.question,
    result: answer === undefined ? (silent ?? { notRecorded: 'the step gave no reason' }) : `${answer.id} answered ${answer.answer}`,
  };
  if (answer === undefined) return [question];
  const declares = plan.declares !== undefined && answer.answer !== 'no-go';
  const text = answer.note === null ? answer.answer : `${answer.answer}: ${answer.note}`;
  const result = answer.answer === 'no-go' ? 'the drill was halted' : declares ? 'the incident was declared' : 'the drill went on';
  const given = {
    kind: declares ? 'declaration' : 'answer',
    step: plan.id,
    at: answer.at,
    from: answer.id,
    to: 'gameday',
    by: ANSWER,
  } as const;
  return [question, { ...given, text, result }];
}

function byTime(a: Communication, b: Communication): number {
  return typeof a.at === 'string' && typeof b.at === 'string' ? Date.parse(a.at) - Date.parse(b.at) : 0;
}

function afterSeal(state: DrillRecord['state']): string {
  if (state === 'lost')
    return 'that it was sealed as lost goes into the worker’s log; that comes after the seal, so this record cannot hold it';
  const loud = state === 'unsafe' ? ', with a warning that something is still broken on purpose' : '';
  return `the verdict goes out as a line in the worker’s log${loud}, and as the result of whoever waits for the drill; that comes after the seal, so this record cannot hold it`;
}
