/**
 * Asks the open questions of a drill at the terminal, one at a time. A question answered elsewhere disappears; an answer that the drill refuses
 * is explained and asked again. It decides nothing: every answer goes through the drill's validated update.
 */
import type { WorkflowHandle } from '@temporalio/client';
import { createInterface, type Interface } from 'node:readline';
import { messageOf } from '../core/errors';
import type { AnswerInput, OpenQuestion } from '../model/message';
import { answerUpdate } from '../workflows/messages';
import type { TemporalAccess } from './temporal';
import type { Terminal } from './terminal';

const ANSWER_MS = 15_000;

export interface Prompt {
  /** The questions that are open now. */
  offer(open: readonly OpenQuestion[]): void;
  close(): void;
}

export interface PromptOptions {
  readonly terminal: Terminal;
  readonly temporal: TemporalAccess;
  readonly handle: WorkflowHandle;
  readonly person: string;
  readonly onInterrupt: () => void;
}

export function openPrompt(options: PromptOptions): Prompt {
  const { terminal } = options;
  let asked: OpenQuestion | null = null;
  let lines: Interface | null = null;
  const end = (): void => {
    lines?.close();
    lines = null;
    asked = null;
  };
  const ask = (question: OpenQuestion): void => {
    asked = question;
    lines ??= open();
    lines.setPrompt(`${question.step} · ${question.owner}, ${question.answers.join(' or ')}, then a note if you like > `);
    lines.prompt();
  };
  const open = (): Interface => {
    const made = createInterface({ input: process.stdin, output: process.stderr });
    made.on('SIGINT', options.onInterrupt);
    made.on('line', (line) => {
      const question = asked;
      if (question === null) return;
      const parsed = parseAnswer(question, line);
      if (typeof parsed === 'string') {
        terminal.progress(parsed);
        made.prompt();
        return;
      }
      asked = null;
      void send(options, question, parsed).then((refusal) => {
        if (refusal !== null) terminal.progress(`not taken: ${refusal}`);
        end();
      });
    });
    return made;
  };
  return {
    offer: (questions) => {
      const still = asked !== null && questions.some(({ step }) => step === asked?.step);
      if (asked !== null && !still) {
        terminal.progress(`\n${asked.step} no longer waits for an answer`);
        end();
      }
      const [next] = questions;
      if (asked === null && next !== undefined && lines === null) ask(next);
    },
    close: end,
  };
}

/** `go because it is quiet` → the answer and its note; text for the person if it is none. `y` and `n` stand for yes and no. */
export function parseAnswer(
  question: Pick<OpenQuestion, 'answers' | 'kind'>,
  line: string,
): { readonly answer: AnswerInput['answer']; readonly note: string | null } | string {
  const [first = '', ...rest] = line.trim().split(/\s+/);
  const word = first.toLowerCase();
  const short: Readonly<Record<string, AnswerInput['answer']>> =
    question.kind === 'manual' ? { d: 'done', y: 'done', yes: 'done' } : { y: 'go', yes: 'go', n: 'no-go', no: 'no-go', nogo: 'no-go' };
  const answer = question.answers.find((each) => each === word) ?? short[word];
  if (answer === undefined) return `answer with ${question.answers.join(' or ')}`;
  return { answer, note: rest.length === 0 ? null : rest.join(' ') };
}

/** Null when it was taken, else why not. */
async function send(
  { temporal, handle, person }: PromptOptions,
  question: OpenQuestion,
  given: { readonly answer: AnswerInput['answer']; readonly note: string | null },
): Promise<string | null> {
  const input: AnswerInput = { step: question.step, answer: given.answer, by: person, note: given.note };
  try {
    await temporal.call(() => handle.executeUpdate(answerUpdate, { args: [input] }), ANSWER_MS);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}
