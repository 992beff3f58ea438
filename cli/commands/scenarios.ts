/** `gameday scenarios list|validate|schema`: what can be rehearsed, and the format of the files. */
import { Command } from 'commander';
import { findScenario, listScenarios } from '../../scenarios/index';
import { scenarioJsonSchema } from '../../scenarios/json-schema';
import { loadScenario } from '../../scenarios/load-scenario';
import { defineCommand } from '../command';
import { planFor } from '../plan-request';

export function scenariosCommand(): Command {
  const validate = new Command('validate')
    .description('check a scenario file; with --target also whether it fits')
    .argument('<scenario>', 'path, or name in the library')
    .option('-t, --target <target>', 'name or path of the target file');
  return new Command('scenarios')
    .description('what can be rehearsed')
    .addCommand(
      defineCommand(new Command('list').description('the library'), async ({ terminal }) => {
        const all = listScenarios();
        terminal.print(
          all
            .map(
              ({ name, title, description, problem }) =>
                `${name.padEnd(22)} ${title}\n${' '.repeat(23)}${problem ?? firstSentence(description)}`,
            )
            .join('\n'),
        );
        terminal.result(all);
      }),
    )
    .addCommand(
      defineCommand(validate, async ({ home, terminal }, options: { readonly target?: string }, scenario: string) => {
        const path = findScenario(scenario);
        const { written } = loadScenario(path);
        const built = options.target === undefined ? null : await planFor(home, { scenario, target: options.target, set: [] });
        terminal.print(
          `${path}: ${written.title}, ${written.steps.length} steps: valid${built === null ? '' : ` for ${built.plan.target.name}, plan ${built.planSha256.slice(0, 12)}`}`,
        );
        for (const note of built?.notes ?? []) terminal.print(`note: ${note}`);
        terminal.result({ valid: true, path, name: written.name, notes: built?.notes ?? [] });
      }),
    )
    .addCommand(
      defineCommand(new Command('schema').description('JSON Schema of scenario files, for editors'), async ({ terminal }) => {
        const schema = scenarioJsonSchema();
        terminal.print(JSON.stringify(schema, null, 2));
        terminal.result(schema);
      }),
    );
}

function firstSentence(text: string): string {
  const line = text.replaceAll('\n', ' ').trim();
  const end = line.indexOf('. ');
  return end < 0 ? line : line.slice(0, end + 1);
}
