/** The command tree of `gameday`. One file per command; this one only lists them. */
import { Command } from 'commander';
import { GamedayError } from '../core/errors';
import { toolVersion } from '../core/files';

/** In the order in which help lists them. Loaded when asked for: most of the time a command takes to start is its libraries', and it needs few of them. */
const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map(
  Object.entries({
    demo: async () => (await import('./commands/demo.js')).demoCommand(),
    lab: async () => (await import('./commands/lab.js')).labCommand(),
    target: async () => (await import('./commands/target.js')).targetCommand(),
    check: async () => (await import('./commands/check.js')).checkCommand(),
    plan: async () => (await import('./commands/plan.js')).planCommand(),
    approve: async () => (await import('./commands/approve.js')).approveCommand(),
    run: async () => (await import('./commands/run.js')).runCommand(),
    observe: async () => (await import('./commands/observe.js')).observeCommand(),
    status: async () => (await import('./commands/status.js')).statusCommand(),
    answer: async () => (await import('./commands/answer.js')).answerCommand(),
    halt: async () => (await import('./commands/halt.js')).haltCommand(),
    release: async () => (await import('./commands/release.js')).releaseCommand(),
    schedule: async () => (await import('./commands/schedule.js')).scheduleCommand(),
    drills: async () => (await import('./commands/drills.js')).drillsCommand(),
    show: async () => (await import('./commands/drills.js')).showCommand(),
    forecast: async () => (await import('./commands/forecast.js')).forecastCommand(),
    report: async () => (await import('./commands/report.js')).reportCommand(),
    compare: async () => (await import('./commands/compare.js')).compareCommand(),
    findings: async () => (await import('./commands/findings.js')).findingsCommand(),
    export: async () => (await import('./commands/export.js')).exportCommand(),
    verify: async () => (await import('./commands/verify.js')).verifyCommand(),
    recompute: async () => (await import('./commands/recompute.js')).recomputeCommand(),
    signoff: async () => (await import('./commands/signoff.js')).signoffCommand(),
    deliver: async () => (await import('./commands/deliver.js')).deliverCommand(),
    ledger: async () => (await import('./commands/ledger.js')).ledgerCommand(),
    archive: async () => (await import('./commands/archive.js')).archiveCommand(),
    scenarios: async () => (await import('./commands/scenarios.js')).scenariosCommand(),
    doctor: async () => (await import('./commands/doctor.js')).doctorCommand(),
  }),
);

/** The tree for these words (as `process.argv` has them): the one command that they name, or all of them for help and for names that nobody knows. */
export async function buildProgram(argv: readonly string[]): Promise<Command> {
  const program = new Command('gameday')
    .description('rehearses PostgreSQL disasters and proves the outcome')
    .version(toolVersion())
    .showSuggestionAfterError()
    .addHelpText('after', '\nbegin with `gameday demo`; `gameday status` always says what is broken on purpose');
  const named = COMMANDS.get(argv[2] ?? '');
  const bare = argv[2] === '--version' || argv[2] === '-V';
  const loads = named !== undefined ? [named] : bare ? [] : [...COMMANDS.values()];
  for (const load of loads) program.addCommand(await load());
  return exitOverridden(program);
}

/** commander ends with 1 for bad usage; here 1 means a missed objective, so every ending goes through `main`, and what is wrong is said once, there. */
function exitOverridden(command: Command, path = command.name()): Command {
  command.configureOutput({ outputError: () => undefined });
  command.exitOverride((error) => {
    if (error.exitCode === 0 || error.code === 'commander.help') throw error;
    const message = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
    throw new GamedayError('usage', message, `see \`${path} --help\`.`, { cause: error });
  });
  for (const inner of command.commands) exitOverridden(inner, `${path} ${inner.name()}`);
  return command;
}
