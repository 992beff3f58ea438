/** The command tree of `gameday`. One file per command; this one only lists them. */
import { Command } from 'commander';
import { GamedayError } from '../core/errors';
import { toolVersion } from '../scenarios/build-plan';
import { answerCommand } from './commands/answer';
import { approveCommand } from './commands/approve';
import { archiveCommand } from './commands/archive';
import { checkCommand } from './commands/check';
import { compareCommand } from './commands/compare';
import { deliverCommand } from './commands/deliver';
import { demoCommand } from './commands/demo';
import { doctorCommand } from './commands/doctor';
import { drillsCommand, showCommand } from './commands/drills';
import { exportCommand } from './commands/export';
import { findingsCommand } from './commands/findings';
import { forecastCommand } from './commands/forecast';
import { haltCommand } from './commands/halt';
import { labCommand } from './commands/lab';
import { ledgerCommand } from './commands/ledger';
import { observeCommand } from './commands/observe';
import { planCommand } from './commands/plan';
import { recomputeCommand } from './commands/recompute';
import { releaseCommand } from './commands/release';
import { reportCommand } from './commands/report';
import { runCommand } from './commands/run';
import { scenariosCommand } from './commands/scenarios';
import { scheduleCommand } from './commands/schedule';
import { signoffCommand } from './commands/signoff';
import { statusCommand } from './commands/status';
import { targetCommand } from './commands/target';
import { verifyCommand } from './commands/verify';

export function buildProgram(): Command {
  const commands = [
    demoCommand(),
    labCommand(),
    targetCommand(),
    checkCommand(),
    planCommand(),
    approveCommand(),
    runCommand(),
    observeCommand(),
    statusCommand(),
    answerCommand(),
    haltCommand(),
    releaseCommand(),
    scheduleCommand(),
    drillsCommand(),
    showCommand(),
    forecastCommand(),
    reportCommand(),
    compareCommand(),
    findingsCommand(),
    exportCommand(),
    verifyCommand(),
    recomputeCommand(),
    signoffCommand(),
    deliverCommand(),
    ledgerCommand(),
    archiveCommand(),
    scenariosCommand(),
    doctorCommand(),
  ];
  const program = new Command('gameday')
    .description('rehearses PostgreSQL disasters and proves the outcome')
    .version(toolVersion())
    .showSuggestionAfterError()
    .addHelpText('after', '\nbegin with `gameday demo`; `gameday status` always says what is broken on purpose');
  for (const command of commands) program.addCommand(command);
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
