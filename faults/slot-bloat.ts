/**
 * A replication slot that nobody reads any more: the primary keeps every byte of WAL since for it, until the disk is full.
 *
 *     restart_lsn of the slot ├──────── kept: at least `bytes` ────────┤ current position
 *
 * The WAL is messages that no table and no client sees. It never touches a slot that is not named by its own label.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { monotonicNs } from '../core/clock';
import { GamedayError } from '../core/errors';
import { formatBytes } from '../core/units';
import type { JsonObject } from '../model/json';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { Sql } from '../targets/sql';
import { sqlByHand } from './by-hand';
import type { Fault, FaultContext } from './contract';
import { requireShortLabel } from './labelled-sessions';
import { describeNode } from './node-process';
import { findPrimary } from './resolve-node';
import { sizeBetween, sizeBytes } from './size-setting';
import { dropSlot, slotOfLabel } from './slots';

const MESSAGE_BYTES = 1024 * 1024;
/** Each statement writes this many messages: far within a statement's deadline even on a slow disk. */
const MESSAGES_AT_ONCE = 8;
const WRITTEN_WITHIN_MS = 25_000;

const schema = z.strictObject({
  bytes: sizeBetween('16MB', '1GB').default('64MB').describe('WAL that the slot keeps at least, e.g. 64MB'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly node: string; readonly slot: string; readonly bytes: number };

/** WAL kept for the slot; null when there is no such slot, or when the server has given up on it. */
async function retained(sql: Sql, slot: string): Promise<number | null> {
  const rows = await sql.query(
    `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint::text AS bytes FROM pg_replication_slots WHERE slot_name = $1 AND restart_lsn IS NOT NULL`,
    [slot],
  );
  const bytes = rows[0]?.['bytes'] ?? null;
  return bytes === null ? null : Number(bytes);
}

async function createSlot(sql: Sql, slot: string): Promise<void> {
  await sql.query(
    `SELECT pg_create_physical_replication_slot($1, true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`,
    [slot],
  );
}

/** Writes until the slot keeps so much; returns how much that is. */
async function writeWal(sql: Sql, { node, slot, bytes }: Resolved): Promise<number> {
  const giveUpAt = monotonicNs() + BigInt(WRITTEN_WITHIN_MS) * 1_000_000n;
  for (;;) {
    const kept = (await retained(sql, slot)) ?? 0;
    if (kept >= bytes) return kept;
    if (monotonicNs() >= giveUpAt)
      throw new GamedayError(
        'step_failed',
        `${node} wrote ${formatBytes(kept)} of ${formatBytes(bytes)} of WAL within ${WRITTEN_WITHIN_MS} ms`,
        'ask for fewer bytes.',
      );
    const messages = Math.min(MESSAGES_AT_ONCE, Math.ceil((bytes - kept) / MESSAGE_BYTES));
    // Not transactional: no commit, so nobody waits for a standby.
    await sql.query(
      `SELECT count(pg_logical_emit_message(false, 'gameday', repeat('x', ${MESSAGE_BYTES}))) FROM generate_series(1, ${messages})`,
    );
  }
}

async function inject(resolved: Resolved, { live }: FaultContext): Promise<JsonObject> {
  const { node, slot } = resolved;
  return live.sql(node, 'operate', async (sql) => {
    await createSlot(sql, slot);
    return { node, slot, retainedBytes: await writeWal(sql, resolved) };
  });
}

async function confirm({ node, slot, bytes }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const kept = await live.sql(node, 'observe', (sql) => retained(sql, slot));
  return {
    holds: kept !== null && kept >= bytes,
    by:
      kept === null
        ? `another session on ${node} finds no slot ${slot}`
        : `another session on ${node} counts ${formatBytes(kept)} of WAL since slot ${slot} stopped`,
    facts: { node, slot, retainedBytes: kept },
  };
}

/** On disk, where a slot lives, whatever the server says. */
async function confirmGone({ node, slot }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const path = join(describeNode(live.target, node).dataDir, 'pg_replslot', slot);
  const there = await live.host(node).exists(path);
  return { holds: !there, by: `${path} ${there ? 'is still there' : 'does not exist'}`, facts: { node, slot } };
}

const LIMITS = `SELECT current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots) AS free,
  (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS keep_mb,
  (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user) AS may`;

async function ready(settings: Settings, { live }: FaultContext): Promise<readonly CheckResult[]> {
  const node = await findPrimary(live);
  const bytes = sizeBytes(settings.bytes);
  const limits = (await live.sql(node, 'operate', (sql) => sql.query(LIMITS)))[0] ?? {};
  const free = Number(limits['free'] ?? 0);
  const keepMb = Number(limits['keep_mb'] ?? -1);
  const keeps = keepMb < 0 || keepMb * 1024 ** 2 >= bytes;
  const room = await live.host(node).freeBytes(describeNode(live.target, node).dataDir);
  const needed = bytes + live.target.policy.minFreeDiskBytes;
  return [
    {
      name: `${node} has a replication slot to spare`,
      ok: free > 0 && limits['may'] === 't',
      found: `${free} free, ${limits['may'] === 't' ? 'allowed' : 'not allowed'} to the operate role`,
      expected: 'one free, allowed to the operate role',
      hint: free > 0 && limits['may'] === 't' ? null : 'raise max_replication_slots, or give the operate role REPLICATION.',
    },
    {
      name: `${node} keeps WAL for a slot`,
      ok: keeps,
      found: keepMb < 0 ? 'without limit' : `${keepMb} MB`,
      expected: `at least ${settings.bytes}`,
      hint: keeps ? null : 'max_slot_wal_keep_size would drop the slot first, as it should: ask for fewer bytes.',
    },
    {
      name: `${node} has room for the WAL`,
      ok: room >= needed,
      found: formatBytes(room),
      expected: `at least ${formatBytes(needed)}`,
      hint: room >= needed ? null : 'free space, or ask for fewer bytes.',
    },
  ];
}

export const slotBloat: Fault<Settings, Resolved> = {
  name: 'slot-bloat',
  summary: 'leaves a replication slot behind that nobody reads, and WAL piles up for it',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    return { node: await findPrimary(context.live), slot: slotOfLabel(requireShortLabel(context)), bytes: sizeBytes(settings.bytes) };
  },
  preview: ({ node, slot, bytes }) => `make slot ${slot} on ${node} and write WAL until it keeps ${formatBytes(bytes)}`,
  reach: ({ node }) => ({ nodes: [node] }),
  manualUndo: ({ node, slot }, target) => [
    sqlByHand(target, node, 'operate', [
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${slot}'`,
    ]),
  ],
  ready,
  inject,
  confirm,
  undo: ({ node, slot }, { live }) => dropSlot(live, node, slot),
  confirmGone,
};
