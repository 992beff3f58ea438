/** Steps that people answer: manual steps and gates. Answers come as validated Updates; a manual step may also be noticed by its check. */
import { ApplicationFailure, CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import type { AnswerInput, OpenQuestion } from '../model/message';
import type { GateStep, ManualStep } from '../model/plan';
import type { DrillContext } from './drill-context';
import { failureText } from './failure-text';

/** Throws (and so rejects the Update) unless somebody waits for exactly this answer. */
export function validateAnswer(context: DrillContext, answer: AnswerInput): void {
  const question = context.open.get(answer.step);
  if (question === undefined) {
    const open = [...context.open.keys()];
    throw ApplicationFailure.nonRetryable(
      `step "${answer.step}" does not wait for an answer; ${open.length === 0 ? 'no step does' : `waiting: ${open.join(', ')}`}`,
      'answer_invalid',
    );
  }
  if (!question.answers.includes(answer.answer)) {
    throw ApplicationFailure.nonRetryable(
      `step "${answer.step}" takes ${question.answers.join(' or ')}, not "${answer.answer}"`,
      'answer_invalid',
    );
  }
  if (answer.by === '') throw ApplicationFailure.nonRetryable('an answer needs the name of who gives it', 'answer_invalid');
}

export function acceptAnswer(context: DrillContext, answer: AnswerInput): void {
  context.open.delete(answer.step);
  context.answers.set(answer.step, answer);
}

/** What stamps a declaration must not stop a drill: a boundary that was not stamped is told as not observed. */
async function unlessCancelled(context: DrillContext, step: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (isCancellation(error)) throw error;
    context.say(step, 'not stamped', `when the incident was declared could not be stamped: ${failureText(error)}`);
  }
}

/** Resolves with the answer; `noticed` when the step's own check saw that it was done; null when time ran out. */
export async function ask(context: DrillContext, step: ManualStep | GateStep): Promise<AnswerInput | 'noticed' | null> {
  const question: OpenQuestion =
    step.kind === 'manual'
      ? { step: step.id, kind: 'manual', text: step.instruction, owner: step.owner, answers: ['done'], since: new Date().toISOString() }
      : { step: step.id, kind: 'gate', text: step.question, owner: step.owner, answers: ['go', 'no-go'], since: new Date().toISOString() };
  // Only where the plan says so: histories of other drills hold no such activities.
  const probe = step.declares === undefined ? null : context.probe;
  if (probe !== null) await unlessCancelled(context, step.id, context.hands.site.declare({ probe, step: step.id, phase: 'about-to' }));
  context.open.set(step.id, question);
  context.say(step.id, 'asked', `waiting for ${step.owner}: ${question.text} (${question.answers.join('/')})`);
  await context.flushEvents();
  let noticed = false;
  const watcher = new CancellationScope();
  const spec = step.kind === 'manual' ? step.check : null;
  const watching =
    spec !== null
      ? watcher
          .run(async () => {
            const check = { ...spec, withinMs: step.timeoutMs };
            const result = await context.hands.long(step.timeoutMs + 30_000).check({ plan: context.input.plan, check, sandbox: null });
            if (result.ok) noticed = true;
          })
          .catch((error: unknown) => {
            if (!isCancellation(error)) context.say(step.id, 'check failed', `the step's own check could not run: ${String(error)}`);
          })
      : Promise.resolve();
  const stamping =
    probe === null
      ? Promise.resolve()
      : watcher
          .run(() => context.hands.long(step.timeoutMs + 30_000).watchDeclaration({ drill: context.ref, probe, step: step.id }))
          .catch(() => undefined);
  try {
    await condition(() => context.answers.has(step.id) || noticed, step.timeoutMs);
    const { answer } = context.answers.get(step.id) ?? { answer: 'no-go' };
    if (probe !== null && answer !== 'no-go')
      await unlessCancelled(context, step.id, context.hands.site.declare({ probe, step: step.id, phase: 'done' }));
  } finally {
    context.open.delete(step.id);
    watcher.cancel();
  }
  await watching;
  await stamping;
  const answer = context.answers.get(step.id);
  if (answer !== undefined) {
    context.people.push({ id: answer.by, step: step.id, answer: answer.answer, at: new Date().toISOString(), note: answer.note });
    return answer;
  }
  return noticed ? 'noticed' : null;
}
