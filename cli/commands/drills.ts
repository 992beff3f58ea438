/** `gameday drills` and `gameday show DRILL`: what was run here, from the bundles alone. */
import { Command } from 'commander';
import { homePaths } from '../../core/home';
import { listWaiting, type Waiting } from '../../evidence/deliver';
import { listDrills, readRecord, type DrillEntry } from '../../evidence/read-bundle';
import { bundlePrefix } from '../../evidence/register';
import { renderTerminal } from '../../report/terminal';
import { defineCommand } from '../command';
import { printable } from '../terminal';

const DEFAULT_COUNT = 20;

export function drillsCommand(): Command {
  const command = new Command('drills')
    .description('drills that have a record here, newest last')
    .option('-t, --target <target>', 'of this target only')
    .option('-n, --last <n>', 'how many', (value) => Math.max(1, Number.parseInt(value, 10) || DEFAULT_COUNT), DEFAULT_COUNT);
  return defineCommand(command, async ({ home, terminal }, options: { readonly target?: string; readonly last: number }) => {
    const all = listDrills(homePaths(home).drills).filter(({ target }) => options.target === undefined || target === options.target);
    const shown = [...all].sort((a, b) => (a.registeredAt ?? '').localeCompare(b.registeredAt ?? '')).slice(-options.last);
    const outbox = listWaiting(home);
    const waitingOf = ({ target, drill }: DrillEntry): Waiting | null =>
      outbox.find(({ prefix }) => prefix === bundlePrefix(target, drill)) ?? null;
    terminal.print(
      shown.length === 0
        ? 'no drill has a record here; `gameday run game-day-in-a-box` makes one'
        : shown.flatMap((entry) => [drillLine(entry), ...waitingLines(waitingOf(entry))]).join('\n'),
    );
    const unseen = outbox.filter(({ prefix }) => !shown.some(({ target, drill }) => prefix === bundlePrefix(target, drill)));
    if (unseen.length > 0)
      terminal.print(
        `${unseen.length} older or other ${unseen.length === 1 ? 'bundle waits' : 'bundles wait'} for the evidence store too: see \`gameday status\``,
      );
    terminal.result(
      shown.map(({ record, ...entry }) => ({
        ...entry,
        waiting: deliveryView(waitingOf({ record, ...entry })),
        state: record?.state ?? null,
        verdict: record?.verdict ?? null,
        scenario: record?.scenario.name ?? null,
      })),
    );
  });
}

/** What `--json` says of a bundle that is sealed and not delivered; null: nothing waits. */
function deliveryView(waiting: Waiting | null): Pick<Waiting, 'since' | 'problem'> | null {
  return waiting === null ? null : { since: waiting.since, problem: waiting.problem };
}

function waitingLines(waiting: Waiting | null): readonly string[] {
  return waiting === null
    ? []
    : [`             sealed here, not delivered since ${waiting.since}: ${printable(waiting.problem ?? 'not tried yet')}`];
}

function drillLine({ target, drill, registeredAt, record, sealed, problem }: DrillEntry): string {
  const outcome =
    record === null ? (problem ?? 'no record') : `${record.verdict.padEnd(12)} ${record.state.padEnd(9)} ${record.scenario.title}`;
  return `${drill}  ${printable(target).padEnd(12)} ${(registeredAt ?? 'not registered').slice(0, 19).padEnd(19)}  ${outcome}${record !== null && !sealed ? ' (not sealed)' : ''}`;
}

export function showCommand(): Command {
  const command = new Command('show')
    .description('the verdict of one drill')
    .argument('<drill>', 'number, name, or directory of the bundle')
    .option('-t, --target <target>', 'where several targets have this number');
  return defineCommand(command, async ({ home, terminal }, options: { readonly target?: string }, name: string) => {
    const { record, dir, recordSha256, sealSha256 } = readRecord(homePaths(home).drills, name, options.target ?? null);
    terminal.print(renderTerminal(record, { color: terminal.color }));
    terminal.print(`evidence  ${dir}${sealSha256 === null ? '  NOT SEALED' : ''}`);
    terminal.result({ dir, recordSha256, sealSha256, record });
  });
}
