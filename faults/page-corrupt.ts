/**
 * Spoils one page of a table that the drill made itself, in the files of one standby: sixteen bytes of its first page are inverted, as a failing disk
 * or a stray write would. Page checksums find it when the page is read.
 *
 *     primary   make table, VACUUM, CHECKPOINT ──▶ standby replays, writes it out, restarts (so that the page is in its files and not in its memory)
 *     standby   ▓▓▓▓▓▓▓▓▓▓▓▓░▓ 8 kB     16 bytes inverted; the original ones were written to the fault's memory first
 *
 * It must never touch a primary's files, nor any table but its own. Undo puts the original bytes back, unless the page was written anew since.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { LiveTarget } from '../targets/ports';
import type { Fault, FaultContext } from './contract';
import { createAndFill, describeDrillTable, dropByHand, isWhole, tableExists, type DrillTable } from './drill-table';
import { bringUp, isUp, stopInOrder } from './node-power';
import { describeNode } from './node-process';
import { howToStart } from './node-role';
import { runScript } from './node-script';
import { findPrimary, resolveNode } from './resolve-node';

const ROWS = 500;
/** Inside the first rows of the first page: rows fill a page from its end. */
const OFFSET = 8_000;
const LENGTH = 16;
const REPLAY_WITHIN_MS = 10_000;
/** A table of the default tablespace: no path from outside the data directory is ever written to. */
const RELATION = /^base\/[0-9]+\/[0-9]+$/;

const schema = z.strictObject({
  node: z
    .string()
    .min(1)
    .max(63)
    .refine((word) => word !== 'primary', 'a primary’s files are never spoiled; name a standby')
    .describe('any-standby or a standby’s name'),
});
type Settings = z.infer<typeof schema>;
type Resolved = DrillTable & { readonly node: string };

/** What was inverted where, in hex; `file` is null until it is known. */
type Spoiled = { readonly file: string | null; readonly original: string; readonly inverted: string };

function recall({ memory }: FaultContext): Spoiled | null {
  const state = memory.read();
  return state === null ? null : (state as unknown as Spoiled);
}

const invert = (hex: string): string => Buffer.from(Buffer.from(hex, 'hex').map((byte) => byte ^ 0xff)).toString('hex');

async function readBytes(live: LiveTarget, node: string, file: string): Promise<string> {
  const script = `dd if="$1" bs=1 skip=${OFFSET} count=${LENGTH} status=none | od -An -v -tx1 | tr -d ' \\n'`;
  const hex = (await runScript(live.host(node), `reading ${file}`, script, [file])).trim();
  if (hex.length !== 2 * LENGTH) throw new GamedayError('step_failed', `${file} has no whole first page`);
  return hex;
}

async function writeBytes(live: LiveTarget, node: string, file: string, hex: string): Promise<void> {
  // POSIX printf knows octal alone.
  const octal = [...Buffer.from(hex, 'hex')].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('');
  const script = `printf %b "$2" | dd of="$1" bs=${LENGTH} seek=$((${OFFSET} / ${LENGTH})) conv=notrunc,fsync iflag=fullblock status=none`;
  await runScript(live.host(node), `writing ${file}`, script, [file, octal]);
}

async function isStandby(live: LiveTarget, node: string): Promise<boolean> {
  const rows = await live.sql(node, 'observe', (sql) => sql.query('SELECT pg_is_in_recovery()::text AS standby'));
  return rows[0]?.['standby'] === 'true';
}

async function requireStandby(live: LiveTarget, node: string): Promise<void> {
  if (!(await isStandby(live, node)))
    throw new GamedayError('fault_refused', `${node} is a primary, whose files are never spoiled`, 'use any-standby or a standby’s name.');
}

/** Makes the table on the primary, so that nothing has to be written to its pages later; returns a position in the WAL behind it. */
async function makeTable(live: LiveTarget, table: DrillTable): Promise<string> {
  const primary = await findPrimary(live);
  await live.sql(primary, 'probe', async (sql) => {
    await createAndFill(sql, table);
    // A page image that a later hint bit or vacuum sends to the standby would repair what we spoil.
    await sql.query(`ALTER TABLE gameday.${table.table} SET (autovacuum_enabled = off)`);
    await sql.query(`VACUUM (FREEZE) gameday.${table.table}`);
  });
  const rows = await live.sql(primary, 'operate', async (sql) => {
    await sql.query('CHECKPOINT');
    return sql.query('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  });
  return rows[0]?.['lsn'] ?? '';
}

/** Waits until the standby has replayed up to there, and has it write out what it replayed. Returns the table's file. */
async function writeOut(live: LiveTarget, node: string, table: string, lsn: string): Promise<string> {
  await until(
    async () => {
      const rows = await live.sql(node, 'observe', (sql) =>
        sql.query('SELECT (pg_last_wal_replay_lsn() >= $1::pg_lsn)::text AS there', [lsn]),
      );
      return rows[0]?.['there'] === 'true' ? true : null;
    },
    {
      timeoutMs: REPLAY_WITHIN_MS,
      onTimeout: () => new GamedayError('step_failed', `${node} has not replayed ${lsn}`, 'is it streaming?'),
    },
  );
  const rows = await live.sql(node, 'operate', async (sql) => {
    await sql.query('CHECKPOINT');
    return sql.query('SELECT pg_relation_filepath($1::regclass) AS path', [`gameday.${table}`]);
  });
  const path = rows[0]?.['path'] ?? '';
  if (!RELATION.test(path))
    throw new GamedayError('step_failed', `gameday.${table} lies at "${path}" on ${node}, outside the default tablespace`);
  return join(describeNode(live.target, node).dataDir, path);
}

async function inject(resolved: Resolved, context: FaultContext): Promise<JsonObject> {
  const { live, memory } = context;
  const { node, table } = resolved;
  let spoiled = recall(context);
  if (spoiled === null || spoiled.file === null) {
    await requireStandby(live, node);
    const lsn = await makeTable(live, resolved);
    const file = await writeOut(live, node, table, lsn);
    memory.write({ file: null, original: '', inverted: '' });
    await stopInOrder(live, node);
    await bringUp(live, node);
    const original = await readBytes(live, node, file);
    spoiled = { file, original, inverted: invert(original) };
    memory.write({ ...spoiled });
  }
  // A failover may have come in between.
  await requireStandby(live, node);
  if (spoiled.file !== null) await writeBytes(live, node, spoiled.file, spoiled.inverted);
  return { node, table: `gameday.${table}`, file: spoiled.file };
}

/** PostgreSQL's five letters; `unknown` for an error that is not the server's. */
function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}

/** What a session on the node gets when it reads the whole table: `error` holds PostgreSQL's code. */
async function readAll(
  live: LiveTarget,
  { node, table }: Resolved,
): Promise<{ readonly rows: string | null; readonly error: string | null; readonly said: string }> {
  return live
    .sql(node, 'probe', (sql) => sql.query(`SELECT count(payload)::text AS rows FROM gameday.${table}`))
    .then(
      (rows) => ({ rows: rows[0]?.['rows'] ?? null, error: null, said: `${rows[0]?.['rows'] ?? '0'} rows` }),
      (error: unknown) => ({ rows: null, error: codeOf(error), said: messageOf(error) }),
    );
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { error, said } = await readAll(live, resolved);
  return {
    // data_corrupted: PostgreSQL's checksum of the page, not ours, says so.
    holds: error === 'XX001',
    by: `a session on ${resolved.node} that reads gameday.${resolved.table}: ${said}`,
    facts: { node: resolved.node, table: `gameday.${resolved.table}`, code: error },
  };
}

async function undo({ node }: Resolved, context: FaultContext): Promise<void> {
  const { live } = context;
  const spoiled = recall(context);
  if (spoiled === null) return;
  const { file, original, inverted } = spoiled;
  // Written anew since (a rebuild, a page image of the primary's): then it is whole already.
  if (file !== null && (await live.host(node).exists(file)) && (await readBytes(live, node, file)) === inverted)
    await writeBytes(live, node, file, original);
  await bringUp(live, node);
}

async function confirmGone(resolved: Resolved, context: FaultContext): Promise<FaultProof> {
  const { live } = context;
  const { node, table, rows } = resolved;
  if (recall(context) === null && !(await isUp(live, node)))
    return { holds: true, by: `nothing on ${node} was spoiled, and it is down`, facts: { node } };
  const found = await live
    .sql(node, 'probe', async (sql) => ((await tableExists(sql, table)) ? await isWhole(sql, resolved) : null))
    .catch(messageOf);
  return {
    holds: found === true || found === null,
    by: `gameday.${table} on ${node} ${found === true ? `gives all its ${rows} rows, by count and SHA-256` : found === null ? 'does not exist' : `cannot be read whole${found === false ? '' : `: ${found}`}`}`,
    facts: { node, rows },
  };
}

const MAY_CHECKPOINT = `SELECT (rolsuper OR coalesce(pg_has_role(oid, to_regrole('pg_checkpoint'), 'USAGE'), false))::text AS ok FROM pg_roles WHERE rolname = current_user`;

async function ready(settings: Settings, { live }: FaultContext): Promise<readonly CheckResult[]> {
  const node = await resolveNode(live, settings.node);
  const primary = await findPrimary(live);
  const ask = async (where: string, role: 'observe' | 'operate' | 'probe', text: string): Promise<string> =>
    (await live.sql(where, role, (sql) => sql.query(text)))[0]?.['ok'] ?? 'unknown';
  const check = (name: string, found: string, expected: string, hint: string): CheckResult => ({
    name,
    ok: found === expected,
    found,
    expected,
    hint: found === expected ? null : hint,
  });
  return [
    check(`${node} is a standby`, (await isStandby(live, node)) ? 'standby' : 'primary', 'standby', 'use any-standby or a standby’s name.'),
    check(
      `${node} checks its pages`,
      await ask(node, 'observe', `SELECT current_setting('data_checksums') AS ok`),
      'on',
      'without data checksums nothing would notice; enable them with pg_checksums.',
    ),
    check(
      'the probe role may create tables in schema gameday',
      await ask(primary, 'probe', `SELECT coalesce(has_schema_privilege(to_regnamespace('gameday'), 'CREATE'), false)::text AS ok`),
      'true',
      'prepare the target’s database `gameday` with its schema and roles.',
    ),
    check(`the operate role may checkpoint`, await ask(node, 'operate', MAY_CHECKPOINT), 'true', 'grant it pg_checkpoint.'),
  ];
}

export const pageCorrupt: Fault<Settings, Resolved> = {
  name: 'page-corrupt',
  summary: 'spoils a page of a table of the drill’s own in a standby’s files',
  schema,
  mayLoseWrites: () => false,
  async resolve(settings, context) {
    const node = await resolveNode(context.live, settings.node);
    const status = (await context.live.controller.status()).find((each) => each.node === node);
    if (status?.up !== true || status.inRecovery !== true)
      throw new GamedayError(
        'fault_refused',
        `${node} is ${status?.up === true ? 'a primary, whose files are never spoiled' : 'down'}`,
        'use any-standby or the name of a standby that is up.',
      );
    return { node, ...describeDrillTable(context, ROWS) };
  },
  preview: ({ node, table }) => `restart ${node} and spoil a page of gameday.${table}, a table made for it, in its files`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: ({ node, table }, target) => [
    `# on the primary: replaying it removes the spoiled file from ${node}`,
    dropByHand(target, { table }),
    ...howToStart(target, node),
  ],
  ready,
  inject,
  confirm,
  undo,
  confirmGone,
};
