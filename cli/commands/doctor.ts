/** `gameday doctor`: what was found on this machine, where, which version, and what is missing. */
import { Command } from 'commander';
import { diagnose, formatDoctor } from '../../infra/doctor';
import { EXIT } from '../../model/constants';
import { defineCommand } from '../command';
import { exitWith } from '../terminal';

export function doctorCommand(): Command {
  return defineCommand(new Command('doctor').description('what this machine has and lacks'), async ({ home, terminal }) => {
    const report = await diagnose(home);
    terminal.print(formatDoctor(report));
    terminal.result(report);
    exitWith(report.ok ? EXIT.pass : EXIT.badInput);
  });
}
