/**
 * repmgr's book: its metadata, which every node holds a copy of. The copy of a primary that is gone is the word of the past; whoever reads one says on which
 * node. Reads only, but for the CHECKPOINT that a rewind needs.
 */
import { GamedayError, messageOf } from '../../core/errors';
import { resolveSecret } from '../../core/secrets';
import type { Target, TargetController } from '../../model/target';
import { withSql } from '../sql';
import { requireNode } from './standalone-config';

export type RepmgrController = Extract<TargetController, { kind: 'repmgr' }>;

export interface RepmgrMember {
  readonly node: string;
  readonly role: string;
  readonly active: boolean;
  readonly priority: number;
  readonly location: string;
}

export interface RepmgrBook {
  /** As the copy on this node says. Throws `controller_unreachable`. */
  members(on: string): Promise<readonly RepmgrMember[]>;
  /** Until its first checkpoint a promoted primary's control file names the old timeline, and nothing seems to need a rewind. */
  checkpoint(on: string): Promise<void>;
}

const CHECKPOINT_MS = 60_000;

export function openRepmgrBook(target: Target, { metadata }: RepmgrController): RepmgrBook {
  const ask = async (on: string, text: string, queryTimeoutMs: number): ReturnType<RepmgrQuery> => {
    const { host, port } = requireNode(target, on);
    const password = metadata.password === null ? null : resolveSecret(metadata.password);
    const address = { host, port, user: metadata.user, password, database: metadata.database };
    try {
      return await withSql(address, (sql) => sql.query(text), { applicationName: 'gameday operate', queryTimeoutMs });
    } catch (error) {
      throw new GamedayError(
        'controller_unreachable',
        `repmgr's metadata on ${on}: ${messageOf(error)}`,
        'controller.metadata in the target file names the database and user that repmgr.conf’s conninfo names.',
      );
    }
  };
  return {
    async members(on) {
      const rows = await ask(
        on,
        'SELECT node_name AS node, type AS role, active::text AS active, priority::text AS priority, location FROM repmgr.nodes ORDER BY node_id',
        5_000,
      );
      return rows.map((row) => ({
        node: row['node'] ?? '',
        role: row['role'] ?? '',
        active: row['active'] === 'true',
        priority: Number(row['priority']),
        location: row['location'] ?? '',
      }));
    },
    checkpoint: async (on) => void (await ask(on, 'CHECKPOINT', CHECKPOINT_MS)),
  };
}

type RepmgrQuery = () => Promise<readonly { readonly [column: string]: string | null }[]>;

/** Whom a copy of the book calls primary; null where it calls nobody so, or two. */
export function primaryOf(members: readonly RepmgrMember[]): string | null {
  const [first, second] = members.filter(({ role, active }) => role === 'primary' && active);
  return second === undefined ? (first?.node ?? null) : null;
}
