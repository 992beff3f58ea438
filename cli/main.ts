/**
 * `gameday`: the front door. Every way out leads through here, so that an exit code always means what the design says: an uncaught exception is
 * 70, never 1; bad usage is 2.
 */
import { CommanderError } from 'commander';
import { EXIT } from '../model/constants';
import { buildProgram } from './program';
import { reportError } from './terminal';

async function main(argv: readonly string[]): Promise<void> {
  const json = argv.includes('--json');
  process.on('uncaughtException', (error) => process.exit(reportError(error, json)));
  process.on('unhandledRejection', (error) => process.exit(reportError(error, json)));
  // A reader that went away (`gameday … | head`) is no error of ours.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? EXIT.pass);
      throw error;
    });
  }
  try {
    await (await buildProgram(argv)).parseAsync(argv);
  } catch (error) {
    process.exitCode = endOf(error, json);
  }
}

function endOf(error: unknown, json: boolean): number {
  if (!(error instanceof CommanderError)) return reportError(error, json);
  // Help and version have been printed; help without having been asked for means that a command was missing.
  return error.exitCode === 0 ? EXIT.pass : EXIT.badInput;
}

void main(process.argv);
