/**
 * Replication slots named by a fault's label, and finding those that a dead guardian left: they keep WAL until the disk is full.
 * It drops no slot of any other name.
 */
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { LiveTarget } from '../targets/ports';
import { OUR_LABEL, type Stray } from './contract';

const DROPPED_WITHIN_MS = 10_000;

/** Slots take a-z, 0-9 and _ alone. Labels hold no _, so nothing is lost. */
export const slotOfLabel = (label: string): string => label.replaceAll('-', '_');
export const labelOfSlot = (slot: string): string => slot.replaceAll('_', '-');

/** Drops the slot and ends whoever reads from it. Idempotent. */
export async function dropSlot(live: LiveTarget, node: string, slot: string): Promise<void> {
  await until(
    () =>
      live.sql(node, 'operate', async (sql) => {
        const rows = await sql.query('SELECT active_pid::text AS pid FROM pg_replication_slots WHERE slot_name = $1', [slot]);
        if (rows.length === 0) return true;
        const pid = rows[0]?.['pid'] ?? null;
        if (pid !== null) await sql.query('SELECT pg_terminate_backend($1::int)', [pid]);
        await sql.query('SELECT pg_drop_replication_slot($1)', [slot]);
        return true;
      }),
    {
      timeoutMs: DROPPED_WITHIN_MS,
      onTimeout: (last) => new GamedayError('undo_failed', `slot ${slot} on ${node} cannot be dropped: ${messageOf(last)}`),
    },
  );
}

export async function findSlots(live: LiveTarget): Promise<readonly Stray[]> {
  const found: Stray[] = [];
  for (const { name: node } of live.target.nodes) {
    if ((await live.host(node).postmaster()) === null) continue;
    const rows = await live.sql(node, 'operate', (sql) => sql.query(`SELECT slot_name AS slot FROM pg_replication_slots`));
    for (const { slot } of rows) {
      if (slot === null || slot === undefined || !OUR_LABEL.test(labelOfSlot(slot))) continue;
      found.push({ what: `slot ${slot} on ${node}`, labels: [labelOfSlot(slot)], remove: () => dropSlot(live, node, slot) });
    }
  }
  return found;
}
