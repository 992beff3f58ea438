/** Where restored copies of a target may stand. They keep the original's classification: outside labs only where its owner has said so. */
import { hostname } from 'node:os';
import { GamedayError } from '../core/errors';
import type { Target } from '../model/target';

/** Throws `refused`. */
export function requireDeclaredHost({ kind, name, sandbox }: Pick<Target, 'kind' | 'name' | 'sandbox'>, here: string = hostname()): void {
  const hosts = sandbox?.hosts;
  if (hosts === undefined ? kind === 'lab' : hosts.includes(here)) return;
  throw new GamedayError(
    'refused',
    `target ${name} does not let restored copies stand on ${here}: sandbox.hosts ${hosts === undefined ? 'is missing' : `names ${hosts.join(', ') || 'none'}`}`,
    'name the machine under sandbox.hosts in the target file if the owner of the data agrees, or run the restores’ worker on one that it names.',
  );
}
