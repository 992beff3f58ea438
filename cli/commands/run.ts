/** `gameday run SCENARIO --target T`: runs a drill, or with `--repeat` a series of them, and follows it to its verdict. */
import { Command } from 'commander';
import { GamedayError } from '../../core/errors';
import { parseDurationMs } from '../../core/units';
import { readSignedApproval } from '../../faults/approval-files';
import { collect, defineCommand, type CommandContext } from '../command';
import { occasionOf } from '../occasion';
import { planFor } from '../plan-request';
import { runSeries } from '../repeat';
import { runDrill } from '../run-drill';
import { exitWith } from '../terminal';

const MAX_REPEAT = 1_000;
const MAX_SEED = 2 ** 31 - 1;
const CONTROL_FOR = '20s';

interface Options {
  readonly target?: string;
  readonly set: readonly string[];
  readonly plan?: string;
  readonly approval: readonly string[];
  readonly as?: string;
  readonly detach?: boolean;
  readonly repeat?: string;
  readonly seed?: string;
  readonly control?: boolean;
  readonly controlFor: string;
  readonly announced?: boolean;
  readonly unannounced?: boolean;
  readonly change?: string;
  readonly retest?: string;
}

export function runCommand(): Command {
  const command = new Command('run')
    .description('run a drill and follow it live')
    .argument('[scenario]', 'name in the library, path of a YAML file, or a plan’s file')
    .option('-t, --target <target>', 'name or path of the target file (default: lab)')
    .option('--set <name=value>', 'override a variable (repeatable)', collect, [])
    .option('--plan <file>', 'run exactly this plan, written by `gameday plan --out`')
    .option(
      '--approval <file>',
      'of `gameday approve`, with FILE.sig beside it (repeatable); those in GAMEDAY_HOME/approvals are found',
      collect,
      [],
    )
    .option('--as <person>', 'who starts, answers and halts from here')
    .option('--announced', 'for the record: those who run the target were told before')
    .option('--unannounced', 'for the record: they were not')
    .option('--change <id>', 'for the record: a change is the reason, as a ticket names it')
    .option('--retest <finding>', 'for the record: this finding is tested again; its key, as `gameday findings` shows it')
    .option('--detach', 'start it and do not follow')
    .option('-n, --repeat <n>', 'a series: so many drills, the first fault of each at a random instant')
    .option('--seed <number>', 'of the random instants; drawn and printed if not given')
    .option('--control', 'first a run in which nothing is broken (the default with --repeat 2 and more)')
    .option('--no-control', 'no control run')
    .option('--control-for <duration>', 'how long nothing is broken in it', CONTROL_FOR)
    .addHelpText(
      'after',
      '\nexit codes: 0 pass · 1 objective missed · 2 bad input · 3 inconclusive · 4 aborted · 5 unsafe · 6 refused · 75 service unreachable · 130 detached',
    );
  return defineCommand(command, async (context, options: Options, named: string | undefined) => {
    const scenario = whatToRun(named, options.plan);
    if (options.repeat === undefined && options.seed === undefined && options.control !== true) return runOnce(context, options, scenario);
    return runRepeated(context, options, scenario);
  });
}

async function runOnce({ home, terminal }: CommandContext, options: Options, scenario: string): Promise<void> {
  const built = await planFor(home, { scenario, target: options.target, set: options.set });
  const occasion = occasionOf(home, options, built.plan);
  const approvals = options.approval.map(readSignedApproval);
  exitWith((await runDrill({ home, terminal, built, person: options.as, occasion, detach: options.detach === true, approvals })).exit);
}

function whatToRun(scenario: string | undefined, plan: string | undefined): string {
  if ((scenario === undefined) === (plan === undefined))
    throw new GamedayError('usage', 'name either a scenario or --plan FILE', '`gameday scenarios list` shows the library.');
  if (plan !== undefined && !plan.endsWith('.json'))
    throw new GamedayError('usage', `--plan ${plan} is no file of \`gameday plan --out\``, 'the name of such a file ends in .json.');
  return scenario ?? plan ?? '';
}

async function runRepeated({ home, terminal }: CommandContext, options: Options, scenario: string): Promise<void> {
  if (options.detach === true)
    throw new GamedayError('usage', 'a series is followed here: --detach does not go with --repeat, --seed and --control');
  if (options.approval.length > 0)
    throw new GamedayError(
      'usage',
      'every run of a series is a plan of its own: --approval does not go with --repeat, --seed and --control',
    );
  const repeat = options.repeat === undefined ? 1 : integer('--repeat', options.repeat, 1, MAX_REPEAT);
  const controlMs = parseDurationMs(options.controlFor);
  if (controlMs === null || controlMs < 1_000)
    throw new GamedayError('usage', `--control-for "${options.controlFor}" is no duration of a second or more`, 'write it like 20s.');
  exitWith(
    await runSeries({
      home,
      terminal,
      person: options.as,
      occasion: (plan) => occasionOf(home, options, plan),
      repeat,
      seed: options.seed === undefined ? null : integer('--seed', options.seed, 0, MAX_SEED),
      controlMs: (options.control ?? repeat > 1) ? Math.round(controlMs) : null,
      plan: (series) => planFor(home, { scenario, target: options.target, set: options.set, series }),
    }),
  );
}

function integer(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^[0-9]{1,10}$/.test(text) || value < min || value > max)
    throw new GamedayError('usage', `${option} "${text}" is no whole number from ${min} to ${max}`);
  return value;
}
