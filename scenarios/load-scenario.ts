/** Reads a scenario file and checks it with its variables' values. It resolves nothing against a target; `build-plan.ts` does. */
import { checkScenario, type ScenarioWritten } from './schema';
import { substituteVariables } from './variables';
import { parseYaml, readYaml, type YamlSource } from './yaml-source';
import type { Json } from '../model/json';
import type { LiveVariables, Timers } from '../model/plan';

export interface LoadedScenario {
  readonly yaml: YamlSource;
  /** As written, with the variables' defaults. */
  readonly written: ScenarioWritten;
}

/** Throws `file_unreadable`, `yaml_invalid`, `scenario_invalid`. */
export function loadScenario(path: string): LoadedScenario {
  const yaml = readYaml(path);
  return { yaml, written: interpretScenario(yaml, {}).written };
}

/** The same from text; `file` stands in front of errors. */
export function parseScenario(file: string, text: string): LoadedScenario {
  const yaml = parseYaml(file, text);
  return { yaml, written: interpretScenario(yaml, {}).written };
}

/** The scenario with these overrides of its variables, and what follows from these timers. Throws `scenario_invalid`, `setting_invalid`. */
export function interpretScenario(
  yaml: YamlSource,
  overrides: Readonly<Record<string, string>>,
  timers: Timers = {},
): { readonly written: ScenarioWritten; readonly variables: Readonly<Record<string, Json>>; readonly live: LiveVariables | null } {
  const { value, variables, live } = substituteVariables(yaml, overrides, timers);
  const result = checkScenario(value);
  if (!result.ok) throw yaml.error('scenario_invalid', result.problems);
  return { written: result.scenario, variables, live };
}
