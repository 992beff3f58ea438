/**
 * Updates every row of a table "by accident", as an UPDATE without its WHERE does: of a table that this drill made and filled a moment before, in schema
 * gameday. Never touches any other table. Nothing is missing afterwards and no error is seen, which is what makes it worse than a dropped table.
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
const WRONG = 'overwritten by an UPDATE without WHERE';

const schema = z.strictObject({ rows: z.int().min(1).max(MAX_ROWS).default(1_000) });
type Settings = z.infer<typeof schema>;
type Resolved = DrillTable;

async function inject(resolved: Resolved, { live }: FaultContext): Promise<JsonObject> {
  const node = await findPrimary(live);
  return live.sql(node, 'probe', async (sql) => {
    await createAndFill(sql, resolved);
    const facts = await commitAccident(sql, resolved.table, `UPDATE gameday.${resolved.table} SET payload = '${WRONG}'`);
    return { ...facts, ...describeVictim(resolved), primary: node };
  });
}

async function confirm({ table, rows }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const node = await findPrimary(live);
  const wrong = await live.sql(node, 'observe', async (sql) => {
    if (!(await tableExists(sql, table))) return null;
    const found = await sql.query(`SELECT count(*)::text AS n FROM gameday.${table} WHERE payload = $1`, [WRONG]);
    return Number(found[0]?.['n'] ?? 0);
  });
  return {
    holds: wrong === rows,
    by: `another session on ${node} ${wrong === null ? 'finds no' : `reads ${wrong} wrong rows of ${rows} in`} table gameday.${table}`,
    facts: { node, table: `gameday.${table}`, wrong },
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

export const massUpdate: Fault<Settings, Resolved> = {
  name: 'mass-update',
  summary: 'overwrites every row of a table that the drill made and filled itself',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    await findPrimary(context.live);
    return describeDrillTable(context, settings.rows);
  },
  preview: (r) => `create gameday.${r.table} with ${r.rows} rows, then overwrite all of them by accident`,
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
