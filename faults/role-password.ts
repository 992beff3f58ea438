/**
 * The password of one of the target's own roles: changed, put back to what its secret says, and tried by logging in. A changed one carries the fault's
 * label as a setting of the role, in the same transaction. No password is ever remembered, logged or sent: only its verifier is.
 */
import { randomBytes } from 'node:crypto';
import { GamedayError, messageOf } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import type { Target, TargetRole } from '../model/target';
import { quoteWord } from '../targets/hosts/shell-words';
import type { LiveTarget } from '../targets/ports';
import { withSql } from '../targets/sql';
import { psqlByHand, secretWord } from './by-hand';
import { OUR_LABEL, type Stray } from './contract';
import { sqlState } from './labelled-sessions';
import { describeNode } from './node-process';
import { findPrimary } from './resolve-node';
import { scramVerifier } from './scram-verifier';

/** Roles that may be rotated: never those by which undo itself comes in. */
export const ROTATABLE = ['replicate', 'probe'] as const;
export type Rotatable = (typeof ROTATABLE)[number];

/** A setting of our own, of no meaning to PostgreSQL. */
const MARK = 'gameday.rotated_by';
export const INVALID_PASSWORD = '28P01';

const identifier = (text: string): string => `"${text.replaceAll('"', '""')}"`;

/** The role with the name of its secret; throws `fault_refused` when it logs in without a password. */
export function requirePassword(target: Target, purpose: Rotatable): TargetRole & { readonly password: string } {
  const role = target.roles[purpose];
  if (role.password === null)
    throw new GamedayError(
      'fault_refused',
      `the ${purpose} role ${role.user} of target ${target.name} has no password`,
      'credentials can be rotated only where a password is asked for; name its secret in the target file.',
    );
  return { user: role.user, password: role.password };
}

async function alter(live: LiveTarget, user: string, password: string, mark: string): Promise<void> {
  const verifier = scramVerifier(password, randomBytes(16));
  await live.sql(await findPrimary(live), 'operate', async (sql) => {
    // Without replication nobody could confirm a commit.
    await sql.query('SET synchronous_commit = local');
    await sql.query('BEGIN');
    await sql.query(`ALTER ROLE ${identifier(user)} PASSWORD '${verifier}'`);
    await sql.query(`ALTER ROLE ${identifier(user)} ${mark}`);
    await sql.query('COMMIT');
  });
}

/** Gives the role a password that nobody knows. */
export function rotatePassword(live: LiveTarget, purpose: Rotatable, label: string): Promise<void> {
  return alter(live, requirePassword(live.target, purpose).user, randomBytes(24).toString('base64'), `SET ${MARK} = '${label}'`);
}

async function markOf(live: LiveTarget, user: string): Promise<string | null> {
  const rows = await live.sql(await findPrimary(live), 'operate', (sql) =>
    sql.query(
      `SELECT split_part(c, '=', 2) AS label FROM pg_db_role_setting s, unnest(s.setconfig) AS c WHERE s.setrole = to_regrole($1) AND s.setdatabase = 0 AND c LIKE '${MARK}=%'`,
      [identifier(user)],
    ),
  );
  return rows[0]?.['label'] ?? null;
}

/** The password that the secret says, and no mark. Idempotent: one that is in order is left alone. */
export async function restorePassword(live: LiveTarget, purpose: Rotatable): Promise<void> {
  const role = requirePassword(live.target, purpose);
  const refused = await tryLogin(live, purpose, await findPrimary(live));
  if (refused === null && (await markOf(live, role.user)) === null) return;
  await alter(live, role.user, resolveSecret(role.password), `RESET ${MARK}`);
}

/** What a person types so that the role has the password that its secret says. psql reads the secret itself: it stands in no process list and no log. */
export function restoreByHand(target: Target, purpose: Rotatable): string {
  const { user, password } = requirePassword(target, purpose);
  const secret = secretWord(password);
  const lines = [
    `\\set password \`printf %s ${secret}\``,
    `SET password_encryption = 'scram-sha-256';`,
    `SET log_statement = 'none';`,
    `SET log_min_duration_statement = -1;`,
    `SET log_min_error_statement = 'panic';`,
    `ALTER ROLE ${identifier(user)} PASSWORD :'password';`,
    `ALTER ROLE ${identifier(user)} RESET ${MARK};`,
  ];
  return `[ -n ${secret} ] && printf '%s\\n' ${lines.map(quoteWord).join(' ')} | ${psqlByHand(target, null, 'operate', [])}`;
}

/** Logs in on the node as the role does its work; null when it is let in, otherwise why not. `password`: instead of the secret's. */
export async function tryLogin(
  live: LiveTarget,
  purpose: Rotatable,
  node: string,
  password: string | null = null,
): Promise<{ readonly code: string | null; readonly said: string } | null> {
  const role = requirePassword(live.target, purpose);
  const { host, port } = describeNode(live.target, node);
  const replication = purpose === 'replicate';
  return withSql(
    { host, port, user: role.user, password: password ?? resolveSecret(role.password), database: live.target.entry.database },
    async (sql) => {
      await sql.query(replication ? 'IDENTIFY_SYSTEM' : 'SELECT 1');
      return null;
    },
    { replication },
  ).catch((error: unknown) => ({ code: sqlState(error), said: messageOf(error) }));
}

/** Roles whose password a dead guardian left changed. Reads only. */
export async function findRotated(live: LiveTarget): Promise<readonly Stray[]> {
  const found: Stray[] = [];
  for (const purpose of ROTATABLE) {
    const { user, password } = live.target.roles[purpose];
    const label = password === null ? null : await markOf(live, user);
    if (label === null || !OUR_LABEL.test(label)) continue;
    found.push({ what: `password of ${user} rotated by ${label}`, labels: [label], remove: () => restorePassword(live, purpose) });
  }
  return found;
}
