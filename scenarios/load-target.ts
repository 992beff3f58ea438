/** Reads a target file: YAML through the target's own schema, errors with file, line and column. It opens no connection and reads no secret. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../core/errors';
import { homePaths } from '../core/home';
import { FAULTS } from '../faults/registry';
import type { Target } from '../model/target';
import { targetSchema } from '../targets/schema';
import { suggest } from './nearest';
import { checkYaml, readYaml, type YamlProblem } from './yaml-source';

export interface LoadedTarget {
  readonly target: Target;
  /** Verbatim text, and the SHA-256 of it. */
  readonly source: string;
  readonly sha256: string;
  readonly file: string;
}

/** Throws `file_unreadable`, `yaml_invalid`, `target_invalid`. */
export function loadTarget(path: string): LoadedTarget {
  const yaml = readYaml(path);
  const target: Target = checkYaml(yaml, targetSchema, 'target_invalid');
  const problems = findIncidentProblems(target);
  if (problems.length > 0) throw yaml.error('target_invalid', problems);
  return { target, source: yaml.text, sha256: yaml.sha256, file: path };
}

/** A kind of fault that does not exist would be one that every drill lacks. */
function findIncidentProblems({ incidents = [] }: Target): YamlProblem[] {
  const known = FAULTS.map(({ name }) => name);
  return incidents.flatMap(({ faults }, index) =>
    faults.flatMap((fault, at) =>
      known.includes(fault)
        ? []
        : [
            {
              path: ['incidents', index, 'faults', at],
              message: `there is no fault "${fault}"${suggest(fault, known)}; docs/WRITING-A-FAULT.md lists them`,
            },
          ],
    ),
  );
}

/** The file of a target given by path or by its name in `<home>/targets/`. Throws `target_unknown`. */
export function findTarget(home: string, nameOrPath: string): string {
  if (/[/\\]|\.ya?ml$/.test(nameOrPath)) {
    if (existsSync(nameOrPath)) return nameOrPath;
    throw new GamedayError('target_unknown', `no target file ${nameOrPath}`);
  }
  const path = join(homePaths(home).targets, `${nameOrPath}.yaml`);
  if (existsSync(path)) return path;
  throw new GamedayError('target_unknown', `no target "${nameOrPath}": ${path} does not exist`);
}
