/** What every command is given, and how it is run: with its terminal and home at hand, and its errors turned into an exit code. */
import type { Command } from 'commander';
import { gamedayHome } from '../core/home';
import { openTerminal, type Terminal } from './terminal';

export interface CommandContext {
  readonly terminal: Terminal;
  /** Absolute path of GAMEDAY_HOME. */
  readonly home: string;
}

/** Adds `--json` and wires the action: `work` gets the context, the positional arguments and the options. */
export function defineCommand<A extends readonly unknown[], O extends object>(
  command: Command,
  work: (context: CommandContext, options: O, ...args: A) => Promise<void>,
): Command {
  return command.option('--json', 'the result as JSON on stdout').action(async (...given: unknown[]) => {
    const self = given.at(-1) as Command;
    const options: O & { json?: boolean } = self.opts();
    const args = given.slice(0, -2) as unknown as A;
    await work({ terminal: openTerminal(options.json === true), home: gamedayHome() }, options, ...args);
  });
}

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
