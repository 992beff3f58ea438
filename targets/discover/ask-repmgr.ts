/**
 * What repmgr's metadata say of a cluster: its name for each node, and where each node's repmgr.conf lies. Read-only, in the database that whoever asks came in
 * by, else in `repmgr`, as its manual names it. Of conninfo strings, which may hold secrets, nothing is kept.
 */
import type { HostPort } from '../../model/target';
import { withSql } from '../sql';
import type { Login } from './found';

const TIMEOUTS = { connectTimeoutMs: 3_000, queryTimeoutMs: 5_000, applicationName: 'gameday discover' };
const NODES = `SELECT node_name AS name, type, active::text AS active, config_file AS file FROM repmgr.nodes WHERE type <> 'witness' ORDER BY node_id`;

export interface RepmgrFacts {
  readonly database: string;
  readonly nodes: readonly { readonly name: string; readonly isPrimary: boolean; readonly file: string | null }[];
}

/** Null where neither database holds such metadata that this role may read. */
export async function askRepmgr({ host, port }: HostPort, login: Login): Promise<RepmgrFacts | null> {
  for (const database of new Set([login.database, 'repmgr'])) {
    const rows = await withSql({ host, port, ...login, database }, (sql) => sql.query(NODES), TIMEOUTS).catch(() => null);
    if (rows === null) continue;
    const nodes = rows.map((row) => ({
      name: row['name'] ?? '',
      isPrimary: row['type'] === 'primary' && row['active'] === 'true',
      file: row['file']?.startsWith('/') === true ? row['file'] : null,
    }));
    return { database, nodes };
  }
  return null;
}
