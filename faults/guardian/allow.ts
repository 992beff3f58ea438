/**
 * What the owner of this machine allows: the last word, past which no plan and no Temporal client can go.
 * The file must belong to root or to whoever runs the guardian, and nobody else may be able to write it. No file: nothing is allowed.
 */
import { lstatSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { GamedayError, messageOf } from '../../core/errors';

const schema = z.strictObject({
  /** PostgreSQL system identifiers as decimal strings. */
  systemIdentifiers: z.array(z.string().regex(/^[0-9]{1,20}$/)).max(1_000),
  faults: z.array(z.string()).max(1_000),
  /** No fault stands longer than this, in milliseconds. */
  maxFaultMs: z.int().min(1),
});
export type Allow = z.infer<typeof schema>;

function refuse(path: string, why: string, hint: string | null = null): never {
  throw new GamedayError('fault_refused', `allow file ${path}: ${why}`, hint);
}

/** Reads and checks the file. Throws `fault_refused` with the file's name and what is wrong with it. */
export function readAllow(path: string): Allow {
  let text: string;
  try {
    const stats = lstatSync(path);
    const me = process.getuid?.() ?? 0;
    if (!stats.isFile()) refuse(path, 'is no regular file');
    if (stats.uid !== 0 && stats.uid !== me)
      refuse(path, `belongs to user ${stats.uid}`, `chown it to root or to the guardian’s user (${me}).`);
    if ((stats.mode & 0o022) !== 0)
      refuse(path, `may be written by others (mode ${(stats.mode & 0o777).toString(8)})`, `chmod go-w ${path}`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof GamedayError) throw error;
    return refuse(
      path,
      `cannot be read: ${messageOf(error)}`,
      'without this file the guardian injects nothing; `gameday lab up` makes it for a lab.',
    );
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const why =
      error instanceof z.ZodError
        ? error.issues.map((issue) => `${issue.path.join('.') || 'top level'}: ${issue.message}`).join('; ')
        : messageOf(error);
    return refuse(path, `is not valid: ${why}`);
  }
}

/** Throws `fault_refused` naming the file and the entry that is missing. */
export function requireAllowed(path: string, wanted: { readonly systemIdentifier: string; readonly fault: string }): Allow {
  const allow = readAllow(path);
  if (!allow.systemIdentifiers.includes(wanted.systemIdentifier))
    refuse(path, `systemIdentifiers does not list ${wanted.systemIdentifier}`, 'add it, if the owner of that PostgreSQL system agrees.');
  if (!allow.faults.includes(wanted.fault))
    refuse(path, `faults does not list ${wanted.fault}`, 'add it, if the owner of this machine agrees.');
  return allow;
}
