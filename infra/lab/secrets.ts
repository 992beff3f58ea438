/** The lab's own passwords and keys: made once, kept in files that only their owner reads, never printed. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '../../core/files';
import { secretFile } from './topology';

const ROLES = ['gameday_operate', 'gameday_observe', 'gameday_probe', 'gameday_replicate'] as const;

/** Creates what is missing below `<lab>/secrets`; existing secrets stay, for the servers know them. */
export function ensureSecrets(lab: string): void {
  const dir = join(lab, 'secrets');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  chmodSync(dir, 0o700);
  const ensure = (name: string, make: () => string): void => {
    const path = secretFile(lab, name);
    if (!existsSync(path)) writeFileDurably(path, `${make()}\n`);
  };
  for (const role of ROLES) ensure(role, () => randomBytes(24).toString('base64url'));
  // Patroni's own superuser and the one it rewinds with, whoever may order it about over its API; what Temporal keeps its state in.
  for (const name of ['postgres', 'gameday_rewind', 'patroni-api', 'temporal-db'])
    ensure(name, () => randomBytes(24).toString('base64url'));
  ensure('s3-access-key', () => `gameday${randomBytes(8).toString('hex')}`);
  ensure('s3-secret-key', () => randomBytes(30).toString('base64url'));
}
