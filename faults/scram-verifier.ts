/**
 * A password as PostgreSQL stores it, computed here, so that the password itself never stands in a statement, a log or a trace. Pure.
 */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

/** PostgreSQL's own choice: SCRAM_SHA_256_DEFAULT_ITERATIONS, src/include/common/scram-common.h. */
const ITERATIONS = 4_096;

/** `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5803; documentation, pg_authid). `salt`: 16 random bytes. */
export function scramVerifier(password: string, salt: Buffer): string {
  // SASLprep (RFC 4013) normalises by NFKC; for ASCII it changes nothing.
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, 32, 'sha256');
  const keyed = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(keyed('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${keyed('Server Key').toString('base64')}`;
}
