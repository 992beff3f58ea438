/**
 * A transaction that somebody forgot: idle, with a snapshot that keeps VACUUM from removing anything and, on the primary, with a row changed and not
 * committed. The row is of a table that the drill made itself; no other row is ever locked.
 */
import { z } from 'zod';
import type { FaultProof } from '../model/fault';
import type { LiveTarget } from '../targets/ports';
import type { Sql } from '../targets/sql';
import type { Fault, FaultContext } from './contract';
import {
  checkMayCreateTables,
  createAndFill,
  describeDrillTable,
  dropByHand,
  dropDrillTable,
  tableExists,
  type DrillTable,
} from './drill-table';
import {
  aborted,
  checkSessionPowers,
  endSessions,
  keepSession,
  manualSessionEnd,
  proveSessionsLeft,
  requireShortLabel,
} from './labelled-sessions';
import { hold, letGo } from './residents';
import { findPrimary, resolveNode } from './resolve-node';

const BITES_WITHIN_MS = 15_000;

const schema = z.strictObject({
  node: z.string().min(1).max(63).default('primary').describe('primary, any-standby or a node’s name'),
});
type Settings = z.infer<typeof schema>;
/** `table` is null on a standby, where a transaction can hold a snapshot and nothing else. */
type Resolved = { readonly node: string; readonly label: string; readonly table: DrillTable | null };

async function begin(sql: Sql, table: DrillTable | null): Promise<void> {
  await sql.query('SET idle_in_transaction_session_timeout = 0');
  // Repeatable read keeps the snapshot of its first statement; read committed would drop it.
  await sql.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await sql.query('SELECT count(*) FROM pg_class');
  if (table !== null) await sql.query(`UPDATE gameday.${table.table} SET payload = 'never committed' WHERE id = 1`);
}

interface Idle {
  readonly xmin: string | null;
  readonly xid: string | null;
  readonly ms: string | null;
}

async function findIdle(live: LiveTarget, { node, label }: Resolved): Promise<Idle | null> {
  const rows = await live.sql(node, 'operate', (sql) =>
    sql.query(
      `SELECT backend_xmin::text AS xmin, backend_xid::text AS xid, round(extract(epoch FROM clock_timestamp() - xact_start) * 1000)::text AS ms
         FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle in transaction'`,
      [label],
    ),
  );
  const [row] = rows;
  return row === undefined ? null : { xmin: row['xmin'] ?? null, xid: row['xid'] ?? null, ms: row['ms'] ?? null };
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const idle = await findIdle(live, resolved);
  const holds = idle !== null && idle.xmin !== null && (resolved.table === null || idle.xid !== null);
  return {
    holds,
    by:
      idle === null
        ? `another session on ${resolved.node} sees no idle transaction of ${resolved.label}`
        : `another session on ${resolved.node} sees it idle in transaction for ${idle.ms} ms, xmin ${idle.xmin ?? 'none'}, xid ${idle.xid ?? 'none'}`,
    facts: { node: resolved.node, xmin: idle?.xmin ?? null, xid: idle?.xid ?? null },
  };
}

export const longTransaction: Fault<Settings, Resolved> = {
  name: 'long-transaction',
  summary: 'leaves a transaction open, idle, with a snapshot and an uncommitted row',
  schema,
  mayLoseWrites: () => false,
  resident: true,
  async resolve(settings, context) {
    const node = await resolveNode(context.live, settings.node);
    const primary = node === (await findPrimary(context.live));
    return { node, label: requireShortLabel(context), table: primary ? describeDrillTable(context, 1) : null };
  },
  preview: ({ node, table }) => `leave a transaction idle on ${node}, with a snapshot${table === null ? '' : ' and an uncommitted row'}`,
  reach: ({ node }) => ({ nodes: [node] }),
  manualUndo: ({ node, label, table }, target) => [
    manualSessionEnd(target, node, label),
    ...(table === null ? [] : [dropByHand(target, table)]),
  ],
  async ready(settings, { live }) {
    const node = await resolveNode(live, settings.node);
    return [await checkMayCreateTables(live), await checkSessionPowers(live, node)];
  },
  async inject({ node, label, table }, { live }) {
    if (table !== null) await live.sql(node, 'probe', (sql) => createAndFill(sql, table));
    await hold(label, BITES_WITHIN_MS, async (signal, bites) => {
      const session = await keepSession({ live, node, label, release: aborted(signal) }, (sql) => begin(sql, table));
      bites();
      await session.ended;
    });
    return { node };
  },
  confirm,
  async undo({ node, label, table }, { live }) {
    await letGo(label);
    await endSessions(live, node, label);
    if (table !== null) await dropDrillTable(live, table);
  },
  async confirmGone({ node, label, table }, { live }) {
    const left = await proveSessionsLeft(live, node, label);
    if (left !== null) return left;
    const primary = await findPrimary(live);
    const there = table !== null && (await live.sql(primary, 'observe', (sql) => tableExists(sql, table.table)));
    return {
      holds: !there,
      by: `no session named ${label} is left on ${node}${table === null ? '' : there ? '; its table is still there' : '; its table is gone'}`,
      facts: { node },
    };
  },
};
