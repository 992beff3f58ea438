/** `gameday findings`: what drills have found and no retest has cleared, who owns it and until when. Decisions are appended; bundles stay as they are. */
import { Command } from 'commander';
import { nowUtc } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import { decide, readFindings, type FindingDecision, type FindingStory } from '../../evidence/finding-register';
import { defineCommand, type CommandContext } from '../command';
import { parseDay } from '../day';
import { personId } from '../terminal';

interface ListOptions {
  readonly target?: string;
  readonly all?: boolean;
}
interface DecideOptions {
  readonly owner?: string;
  readonly due?: string;
  readonly until?: string;
  readonly reason?: string;
  readonly as?: string;
}

export function findingsCommand(): Command {
  const command = new Command('findings').description('what drills have found and no retest has cleared');
  const list = command
    .command('list', { isDefault: true })
    .description('open findings, worst first')
    .option('-t, --target <target>', 'of this target only')
    .option('-a, --all', 'closed ones as well');
  defineCommand(list, listFindings);
  const assign = command
    .command('assign')
    .description('say who owns a finding, and until when it is to be gone')
    .argument('<finding>', 'its key, as `gameday findings` shows it')
    .option('--owner <person>', 'who sees to it')
    .option('--due <date>', 'until when, as 2026-12-31')
    .option('--as <person>', 'who says so; default: your login');
  defineCommand(assign, assignFinding);
  const accept = command
    .command('accept')
    .description('accept the risk of a finding until a day, with a reason')
    .argument('<finding>', 'its key, as `gameday findings` shows it')
    .requiredOption('--until <date>', 'the last day, as 2026-12-31')
    .requiredOption('--reason <text>', 'why')
    .option('--as <person>', 'who says so; default: your login');
  defineCommand(accept, acceptFinding);
  return command;
}

function dayOf(text: string, option: string): string {
  parseDay(text, option);
  return text;
}

const today = (): string => nowUtc().slice(0, 10);
const RANK = { high: 0, medium: 1, low: 2 } as const;

async function listFindings({ home, terminal }: CommandContext, { target, all = false }: ListOptions): Promise<void> {
  const { stories, problems } = readFindings(homePaths(home).drills, target ?? null, today());
  const shown = stories
    .filter(({ state }) => all || state !== 'closed')
    .sort((a, b) => Number(b.isOverdue) - Number(a.isOverdue) || RANK[a.severity] - RANK[b.severity] || (a.key < b.key ? -1 : 1));
  for (const problem of problems) terminal.progress(`not looked at: ${problem}`);
  terminal.print(shown.length === 0 ? 'no finding is open' : shown.map(storyText).join('\n'));
  terminal.result({ findings: shown, problems });
  return Promise.resolve();
}

function storyText(story: FindingStory): string {
  const { key, severity, state, isOverdue, target, scenario, text, firstDrill, lastDrill, seen, owner, due, accepted, closedBy } = story;
  const whose = `owner ${owner ?? 'not recorded'}, due ${due ?? 'not recorded'}${isOverdue ? ', OVERDUE' : ''}`;
  const risk = accepted === null ? '' : `; risk accepted by ${accepted.by} until ${accepted.until}: ${accepted.reason}`;
  const end = closedBy === null ? '' : `; closed by ${closedBy}`;
  return `${key}  ${severity.padEnd(6)}  ${state.padEnd(8)}  ${target} · ${scenario}: ${text}\n              ${firstDrill} to ${lastDrill}, ${seen} ${seen === 1 ? 'drill' : 'drills'}; ${whose}${risk}${end}`;
}

async function assignFinding(context: CommandContext, options: DecideOptions, key: string): Promise<void> {
  if (options.owner === undefined && options.due === undefined)
    throw new GamedayError('usage', 'nothing to assign', 'give --owner, --due, or both.');
  decideAbout(context, key, options, {
    owner: options.owner ?? null,
    due: options.due === undefined ? null : dayOf(options.due, '--due'),
    accepted: null,
  });
  return Promise.resolve();
}

async function acceptFinding(context: CommandContext, options: DecideOptions, key: string): Promise<void> {
  const until = dayOf(options.until ?? '', '--until');
  if (until < today()) throw new GamedayError('usage', `--until ${until} has passed`, 'a risk is accepted for days to come.');
  const reason = (options.reason ?? '').trim();
  if (reason === '') throw new GamedayError('usage', '--reason is empty', 'an auditor reads it: say why the risk is taken.');
  decideAbout(context, key, options, { owner: null, due: null, accepted: { until, reason } });
  return Promise.resolve();
}

function decideAbout(
  { home, terminal }: CommandContext,
  key: string,
  options: DecideOptions,
  decision: Pick<FindingDecision, 'owner' | 'due' | 'accepted'>,
): void {
  const { drills } = homePaths(home);
  const story = readFindings(drills, null, today()).stories.find((one) => one.key === key);
  if (story === undefined) throw new GamedayError('usage', `there is no finding ${key}`, '`gameday findings --all` lists them.');
  decide(drills, story.target, { key, at: nowUtc(), by: personId(options.as), ...decision });
  const after = readFindings(drills, story.target, today()).stories.find((one) => one.key === key) ?? story;
  terminal.print(storyText(after));
  terminal.result(after);
}
