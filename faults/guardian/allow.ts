/**
 * What the owner of this machine allows: the last word, past which no plan and no Temporal client can go.
 * The file must belong to root or to whoever runs the guardian, and nobody else may be able to write it. No file: nothing is allowed.
 */
import { z } from 'zod';
import { GamedayError, messageOf } from '../../core/errors';
import { readOwnedFile } from '../../core/owned-file';

const systems = z.array(z.string().regex(/^[0-9]{1,20}$/)).max(1_000);
const schema = z.strictObject({
  /** PostgreSQL system identifiers as decimal strings. */
  systemIdentifiers: systems,
  /** Of these, those that are production whatever a target file calls them. */
  productionSystems: systems.optional(),
  faults: z.array(z.string()).max(1_000),
  /** No fault stands longer than this, in milliseconds. */
  maxFaultMs: z.int().min(1),
  /** Nodes of one system that faults may hurt at once; absent: as the target's policy says. */
  maxNodesAtOnce: z.int().min(0).optional(),
  /** Absolute path of the allowed-signers file of those who may approve drills on production; absent: nobody may. */
  approvers: z.string().startsWith('/').optional(),
});
export type Allow = z.infer<typeof schema>;

/** Throws `fault_refused` with the file's name, what is wrong, and what to do. */
export function refuseByAllow(path: string, why: string, hint: string | null = null): never {
  throw new GamedayError('fault_refused', `allow file ${path}: ${why}`, hint);
}

/** Reads and checks the file. Throws `fault_refused` with the file's name and what is wrong with it. */
export function readAllow(path: string): Allow {
  const file = readOwnedFile(path);
  if ('problem' in file)
    return refuseByAllow(
      path,
      file.problem,
      file.hint ?? 'without this file the guardian injects nothing; `gameday lab up` makes it for a lab.',
    );
  try {
    return schema.parse(JSON.parse(file.text));
  } catch (error) {
    const why =
      error instanceof z.ZodError
        ? error.issues.map((issue) => `${issue.path.join('.') || 'top level'}: ${issue.message}`).join('; ')
        : messageOf(error);
    return refuseByAllow(path, `is not valid: ${why}`);
  }
}

/** Throws `fault_refused` naming the file and the entry that is missing. */
export function requireAllowed(path: string, wanted: { readonly systemIdentifier: string; readonly faults: readonly string[] }): Allow {
  const allow = readAllow(path);
  if (!allow.systemIdentifiers.includes(wanted.systemIdentifier))
    refuseByAllow(
      path,
      `systemIdentifiers does not list ${wanted.systemIdentifier}`,
      'add it, if the owner of that PostgreSQL system agrees.',
    );
  const missing = wanted.faults.filter((fault) => !allow.faults.includes(fault));
  if (missing.length > 0)
    refuseByAllow(path, `faults does not list ${missing.join(', ')}`, 'add what is missing, if the owner of this machine agrees.');
  return allow;
}
