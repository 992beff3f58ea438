/**
 * Drops a table "by accident": one that this drill made and filled a moment before, in schema gameday. Never touches any other table.
 * The accident is one transaction of its own, whose xid and LSN are what a point-in-time restore then aims just before.
 */
import { z } from 'zod';
import type { JsonObject } from '../model/json';
import type { FaultProof } from '../model/fault';
import { commitAccident, describeVictim } from './accident';
import type { Fault, FaultContext } from './contract';
import {
  checkMayCreateTables,
  createAndFill,
  describeDrillTable,
  fillByHand,
  isWhole,
  makeWhole,
  tableExists,
  type DrillTable,
} from './drill-table';
import { findPrimary } from './resolve-node';

const MAX_ROWS = 100_000;
const schema = z.strictObject({ rows: z.int().min(1).max(MAX_ROWS).default(1_000) });
type Settings = z.infer<typeof schema>;
type Resolved = DrillTable;

async function inject(resolved: Resolved, { live }: FaultContext): Promise<JsonObject> {
  const node = await findPrimary(live);
  return live.sql(node, 'probe', async (sql) => {
    await createAndFill(sql, resolved);
    const facts = await commitAccident(sql, resolved.table, `DROP TABLE gameday.${resolved.table}`);
    return { ...facts, ...describeVictim(resolved), primary: node };
  });
}

async function confirm({ table }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const node = await findPrimary(live);
  const there = await live.sql(node, 'observe', (sql) => tableExists(sql, table));
  return {
    holds: !there,
    by: `another session on ${node} ${there ? 'still sees' : 'finds no'} table gameday.${table}`,
    facts: { node, table: `gameday.${table}` },
  };
}

async function confirmGone(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const node = await findPrimary(live);
  const whole = await live.sql(node, 'probe', (sql) => isWhole(sql, resolved));
  return {
    holds: whole,
    by: `gameday.${resolved.table} on ${node} ${whole ? 'holds' : 'does not hold'} its ${resolved.rows} rows, by count and SHA-256`,
    facts: { node, rows: resolved.rows, sha256: resolved.sha256 },
  };
}

export const dropTable: Fault<Settings, Resolved> = {
  name: 'drop-table',
  summary: 'drops a table that the drill made and filled itself',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    await findPrimary(context.live);
    return describeDrillTable(context, settings.rows);
  },
  preview: (r) => `create gameday.${r.table} with ${r.rows} rows, then drop it by accident`,
  reach: () => ({ nodes: [] }),
  manualUndo: (r, target) => [fillByHand(target, r)],
  ready: async (_settings, { live }) => [await checkMayCreateTables(live)],
  inject,
  confirm,
  async undo(resolved, { live }) {
    const node = await findPrimary(live);
    await live.sql(node, 'probe', (sql) => makeWhole(sql, resolved));
  },
  confirmGone,
};
