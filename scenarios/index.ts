/** The library of scenarios that come with gameday, and how a scenario is found: by name there, or by the path of a file. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { packageRoot } from '../core/files';
import { loadScenario } from './load-scenario';
import { suggest } from './nearest';

export interface ScenarioEntry {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly path: string;
  /** Why it cannot be used; null if it can. */
  readonly problem: string | null;
}

export function libraryDir(): string {
  return join(packageRoot(), 'scenarios', 'library');
}

function libraryNames(): string[] {
  return readdirSync(libraryDir())
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/** Every scenario of the library, by name. */
export function listScenarios(): readonly ScenarioEntry[] {
  return libraryNames().map((name) => {
    const path = join(libraryDir(), `${name}.yaml`);
    try {
      const { written } = loadScenario(path);
      return { name, title: written.title, description: written.description, path, problem: null };
    } catch (error) {
      return { name, title: '', description: '', path, problem: messageOf(error) };
    }
  });
}

/** The file of a scenario given by name or path. Throws `scenario_unknown` with the nearest name. */
export function findScenario(nameOrPath: string): string {
  if (/[/\\]|\.ya?ml$/.test(nameOrPath)) {
    if (existsSync(nameOrPath)) return nameOrPath;
    throw new GamedayError('scenario_unknown', `no scenario file ${nameOrPath}`);
  }
  const names = libraryNames();
  if (names.includes(nameOrPath)) return join(libraryDir(), `${nameOrPath}.yaml`);
  throw new GamedayError('scenario_unknown', `no scenario "${nameOrPath}"${suggest(nameOrPath, names)}`);
}
