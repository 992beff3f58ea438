/** `gameday answer DRILL STEP done|go|no-go`: answers a manual step or a gate from any terminal. The drill itself judges the answer. */
import { Argument, Command } from 'commander';
import type { AnswerInput } from '../../model/message';
import { answerUpdate } from '../../workflows/messages';
import { defineCommand } from '../command';
import { findRunningDrill, nameOfDrill } from '../drill-handles';
import { withTemporal } from '../temporal';
import { personId } from '../terminal';

export function answerCommand(): Command {
  const command = new Command('answer')
    .description('answer a manual step or a gate')
    .argument('<drill>', 'number or name of the drill, name of its target, or workflow id')
    .argument('<step>', 'the step that waits')
    .addArgument(new Argument('<answer>', 'done for a manual step; go or no-go for a gate').choices(['done', 'go', 'no-go']))
    .option('--as <person>', 'who answers')
    .option('--note <text>', 'kept in the record');
  return defineCommand(
    command,
    async (
      { home, terminal },
      options: { readonly as?: string; readonly note?: string },
      name: string,
      step: string,
      answer: AnswerInput['answer'],
    ) => {
      const input: AnswerInput = { step, answer, by: personId(options.as), note: options.note ?? null };
      const drill = await withTemporal(home, async (temporal) => {
        const found = await findRunningDrill(temporal, home, name);
        await temporal.call(() => found.handle.executeUpdate(answerUpdate, { args: [input] }));
        return nameOfDrill(found);
      });
      terminal.print(`${drill}: ${step} answered ${answer} by ${input.by}`);
      terminal.result({ drill, ...input });
    },
  );
}
