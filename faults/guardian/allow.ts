/**
 * What the owner of this machine allows: the last word, past which no plan and no Temporal client can go.
 * The file must belong to root or to whoever runs the guardian, and nobody else may be able to write it. No file: nothing is allowed.
 */
import { z } from 'zod';
import { canonicalJson } from '../../core/canonical-json';
import { GamedayError, messageOf } from '../../core/errors';
import { sha256Hex } from '../../core/files';
import { readOwnedFile } from '../../core/owned-file';
import type { Target } from '../../model/target';

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
  /** By system: what `pinOf` must give for the target of every fault. A system that does not stand here may be described by any target file. */
  pinnedTargets: z.record(z.string().regex(/^[0-9]{1,20}$/), z.string().regex(/^[0-9a-f]{64}$/)).optional(),
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

/**
 * SHA-256 of what a target file says of where faults reach and how far: the system, its nodes and services, how they are found and led to, and the policy.
 * Not of names, notes and places of gameday's own, which change nothing of that.
 */
export function pinOf(target: Target): string {
  const { kind, systemIdentifier, nodes, services, controller, links, router, entry, paths, archive, roles, policy } = target;
  const said = { kind, systemIdentifier, nodes, services, controller, links, router, entry, paths, archive, roles, policy };
  return sha256Hex(Buffer.from(canonicalJson(said)));
}

/** Throws `fault_refused` where the owner of this machine pinned another target file for its system, with the line that does. */
export function requirePinned(path: string, allow: Allow, target: Target): void {
  const pinned = allow.pinnedTargets?.[target.systemIdentifier];
  if (pinned === undefined) return;
  const found = pinOf(target);
  if (pinned === found) return;
  const file = readOwnedFile(path);
  const line = 'text' in file ? file.text.split('\n').findIndex((text) => text.includes(pinned)) + 1 : 0;
  refuseByAllow(
    line === 0 ? path : `${path}:${line}`,
    `pinnedTargets has ${pinned} for system ${target.systemIdentifier}, but the target ${target.name} as it is now has ${found}`,
    'the target file was changed: the owner of this machine reads the change and pins it anew, or it is taken back.',
  );
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
