/** `gameday demo`: lab up, the flagship drill, its verdict, and what to do next. The first thing that anybody runs. */
import { Command } from 'commander';
import { labStatus } from '../../infra/lab/status';
import { labUp } from '../../infra/lab/up';
import { defineCommand } from '../command';
import { planFor } from '../plan-request';
import { runDrill } from '../run-drill';
import { exitWith } from '../terminal';

export function demoCommand(): Command {
  const command = new Command('demo')
    .description('start the lab, run the flagship drill on it, print the verdict')
    .option('-s, --scenario <scenario>', 'another scenario than the flagship', 'game-day-in-a-box');
  return defineCommand(command, async ({ home, terminal }, options: { readonly scenario: string }) => {
    if (!(await labStatus({ home })).up) {
      terminal.progress('starting the lab');
      await labUp({ home, onProgress: (text) => terminal.progress(text) });
    }
    const built = await planFor(home, { scenario: options.scenario, target: 'lab', set: [] });
    const { exit, result } = await runDrill({ home, terminal, built, person: undefined, detach: false });
    const status = await labStatus({ home });
    const running = [...status.servers, ...status.nodes].filter((one) => one.running).map((one) => one.name);
    terminal.print(
      [
        '',
        `still running  the lab (${running.join(', ')}); \`gameday lab down\` stops it, its data is kept in ${home}`,
        ...(status.temporalUi === null ? [] : [`               Temporal's pages: ${status.temporalUi}`]),
        '',
        'try next',
        result === null
          ? '  npm run gameday -- status                    what is broken on purpose, and what waits for an answer'
          : `  npm run gameday -- verify ${result.evidence}    check the evidence`,
        '  npm run gameday -- run runbook-rehearsal     a drill that asks you',
        '  npm run gameday -- scenarios list            what else can be rehearsed',
      ].join('\n'),
    );
    exitWith(exit);
  });
}
