/**
 * What guards a node against people: TLS, rules of access, roles, archiving. Each is reduced to a keyed digest on the spot, so that two nodes can be compared and
 * nobody learns a rule, a role or a setting from it; whoever throws the key away keeps nothing but the comparison. What a role may not ask says so.
 */
import { createHmac } from 'node:crypto';
import { GamedayError, messageOf } from '../core/errors';
import type { Maybe, SecurityAspect } from '../model/record';
import type { LiveTarget } from './ports';
import type { Sql } from './sql';

/** By aspect; each value is an HMAC-SHA-256 under the drill's own key. */
export type SecurityDigests = { readonly [Aspect in SecurityAspect]: Maybe<string> };

/** What belongs to the cluster's data is compared, too: a standby that had fallen behind, or another cluster's, would differ. */
const QUERIES = {
  TLS: `SELECT name, setting FROM pg_settings
    WHERE name IN ('ssl', 'ssl_min_protocol_version', 'ssl_max_protocol_version', 'ssl_ciphers', 'ssl_prefer_server_ciphers') ORDER BY name`,
  'password encryption': `SELECT name, setting FROM pg_settings WHERE name IN ('password_encryption', 'scram_iterations') ORDER BY name`,
  'kinds of password verifiers': `SELECT rolname, CASE WHEN rolpassword IS NULL THEN 'none' WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN 'scram' ELSE 'md5' END
    FROM pg_authid ORDER BY rolname`,
  roles: `SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit,
      r.rolvaliduntil, array(SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY g.rolname) AS memberships
    FROM pg_roles r ORDER BY r.rolname`,
  extensions: `SELECT extname, extversion FROM pg_extension UNION ALL SELECT name, setting FROM pg_settings WHERE name = 'shared_preload_libraries' ORDER BY 1`,
  // What a node writes into its command may name the node; that it archives at all must not depend on who leads.
  archiving: `SELECT (SELECT setting FROM pg_settings WHERE name = 'archive_mode') AS mode,
      EXISTS (SELECT FROM pg_settings WHERE name IN ('archive_command', 'archive_library') AND setting NOT IN ('', '(disabled)')) AS is_set`,
} as const satisfies Partial<Record<SecurityAspect, string>>;
const HBA = `SELECT type, database, user_name, address, netmask, auth_method, options, error FROM pg_hba_file_rules ORDER BY line_number`;

/** Never rejects: a node that does not answer has no aspect, with the reason. */
export async function readSecurityDigests(live: LiveTarget, node: string, key: string): Promise<SecurityDigests> {
  const digest = (text: string): string => createHmac('sha256', key).update(text).digest('hex');
  try {
    return await live.sql(node, 'operate', async (sql) => ({
      TLS: await asked(sql, QUERIES.TLS, digest),
      'rules of access': await accessRules(live, node, sql, digest),
      'password encryption': await asked(sql, QUERIES['password encryption'], digest),
      'kinds of password verifiers': await asked(sql, QUERIES['kinds of password verifiers'], digest),
      roles: await asked(sql, QUERIES.roles, digest),
      extensions: await asked(sql, QUERIES.extensions, digest),
      archiving: await asked(sql, QUERIES.archiving, digest),
    }));
  } catch (error) {
    const unknown = { notRecorded: `${node} did not answer: ${messageOf(error)}` };
    return {
      ...{ TLS: unknown, 'rules of access': unknown, 'password encryption': unknown, 'kinds of password verifiers': unknown },
      ...{ roles: unknown, extensions: unknown, archiving: unknown },
    };
  }
}

async function asked(sql: Sql, query: string, digest: (text: string) => string): Promise<Maybe<string>> {
  try {
    return digest(JSON.stringify(await sql.query(query)));
  } catch (error) {
    return { notRecorded: messageOf(error) };
  }
}

/** As the server reads them where it tells, else the file itself without comments; the two are never taken for one another. */
async function accessRules(live: LiveTarget, node: string, sql: Sql, digest: (text: string) => string): Promise<Maybe<string>> {
  const told = await asked(sql, HBA, (text) => digest(`rules ${text}`));
  if (typeof told === 'string') return told;
  try {
    const [row] = await sql.query('SHOW hba_file');
    const path = row?.['hba_file'] ?? null;
    const text = path === null ? null : await live.host(node).readFile(path);
    if (text === null) throw new GamedayError('file_unreadable', 'pg_hba.conf is not there');
    const rules = text
      .split('\n')
      .map((line) => line.replace(/#.*/, '').trim().replace(/\s+/g, ' '))
      .filter((line) => line !== '');
    return digest(`file ${rules.join('\n')}`);
  } catch (error) {
    return { notRecorded: `${told.notRecorded}; and its file: ${messageOf(error)}` };
  }
}
