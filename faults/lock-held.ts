/**
 * Holds a lock on a table, as a migration does that nobody looks after: whoever needs the table waits behind it.
 *
 *     own      a table that the drill makes for it: shows what a waiting session looks like, hurts nobody
 *     probe    the table that the prober writes to: its clients wait, so the drill measures it
 *
 * It never locks a table of anybody else's.
 */
import { z } from 'zod';
import { GamedayError, messageOf } from '../core/errors';
import { probeTableName } from '../core/ids';
import type { FaultProof } from '../model/fault';
import type { LiveTarget } from '../targets/ports';
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
  sqlState,
} from './labelled-sessions';
import { hold, letGo } from './residents';
import { findPrimary } from './resolve-node';

const BITES_WITHIN_MS = 15_000;
/** Behind it everybody else waits as well while we wait for the lock ourselves. */
const GET_LOCK_WITHIN_MS = 4_000;
const TRY_FOR_MS = 300;
const LOCK_NOT_AVAILABLE = '55P03';

/** What each mode keeps out, by the weakest lock that conflicts with it: of a reader, of a reader FOR UPDATE, of a writer (documentation, "Table-Level Locks"). */
const KEEPS_OUT = { 'access exclusive': 'ACCESS SHARE', exclusive: 'ROW SHARE', share: 'ROW EXCLUSIVE' } as const;
type Mode = keyof typeof KEEPS_OUT;

const schema = z.strictObject({
  mode: z.enum(['access exclusive', 'exclusive', 'share']).default('access exclusive'),
  table: z.enum(['own', 'probe']).default('own'),
});
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly node: string;
  readonly label: string;
  readonly mode: Mode;
  readonly table: string;
  /** The table to make for it; null when it is the probe's. */
  readonly own: DrillTable | null;
};

/** A try for the lock by a session of a client's role: null when it got it, otherwise why not. */
async function tryLock(
  live: LiveTarget,
  { node, table, mode }: Resolved,
): Promise<{ readonly code: string | null; readonly said: string } | null> {
  return live
    .sql(node, 'probe', async (sql) => {
      await sql.query('BEGIN');
      await sql.query(`SET LOCAL lock_timeout = ${TRY_FOR_MS}`);
      await sql.query(`LOCK TABLE gameday.${table} IN ${KEEPS_OUT[mode]} MODE`);
      return null;
    })
    .catch((error: unknown) => ({ code: sqlState(error), said: messageOf(error) }));
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { node, table, mode } = resolved;
  const refused = await tryLock(live, resolved);
  return {
    holds: refused?.code === LOCK_NOT_AVAILABLE,
    by: `another session on ${node} that asks for ${KEEPS_OUT[mode]} on gameday.${table} ${refused === null ? 'gets it' : `waits ${TRY_FOR_MS} ms in vain: ${refused.said}`}`,
    facts: { node, table: `gameday.${table}`, mode, code: refused?.code ?? null },
  };
}

async function inject(
  { node, label, mode, table, own }: Resolved,
  { live }: FaultContext,
): Promise<{ readonly node: string; readonly table: string }> {
  await hold(label, BITES_WITHIN_MS, async (signal, bites) => {
    // Inside: once the lock is held, not even we could look at the table again.
    if (own !== null) await live.sql(node, 'probe', (sql) => createAndFill(sql, own));
    const session = await keepSession({ live, node, label, release: aborted(signal) }, async (sql) => {
      await sql.query('SET idle_in_transaction_session_timeout = 0');
      await sql.query('BEGIN');
      await sql.query(`SET LOCAL lock_timeout = ${GET_LOCK_WITHIN_MS}`);
      await sql.query(`LOCK TABLE gameday.${table} IN ${mode.toUpperCase()} MODE`);
    });
    bites();
    await session.ended;
  });
  return { node, table: `gameday.${table}` };
}

async function confirmGone(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const { node, label, table, own } = resolved;
  const left = await proveSessionsLeft(live, node, label);
  if (left !== null) return left;
  const primary = await findPrimary(live);
  const there = await live.sql(primary, 'probe', (sql) => tableExists(sql, table));
  if (!there || own !== null)
    return {
      holds: !there,
      by: `no session named ${label} is left on ${node}; table gameday.${table} ${there ? 'is still there' : 'is gone'}`,
      facts: { node },
    };
  const refused = await tryLock(live, { ...resolved, node: primary });
  return {
    holds: refused === null,
    by: `another session on ${primary} ${refused === null ? 'gets its lock' : `waits in vain: ${refused.said}`} on gameday.${table}`,
    facts: { node: primary },
  };
}

export const lockHeld: Fault<Settings, Resolved> = {
  name: 'lock-held',
  summary: 'holds a lock on a table of the drill’s own or of its prober',
  schema,
  mayLoseWrites: () => false,
  resident: true,
  async resolve(settings, context) {
    const node = await findPrimary(context.live);
    const own = settings.table === 'own' ? describeDrillTable(context, 1) : null;
    return { node, label: requireShortLabel(context), mode: settings.mode, table: own?.table ?? probeTableName(context.drill), own };
  },
  preview: ({ node, mode, table }) => `lock gameday.${table} on ${node} in ${mode} mode`,
  // Whoever waits for the prober's table is the prober; a table of the drill's own keeps nobody waiting.
  reach: ({ node, own }) => ({ nodes: own === null ? [node] : [] }),
  manualUndo: ({ node, label, own }, target) => [manualSessionEnd(target, node, label), ...(own === null ? [] : [dropByHand(target, own)])],
  async ready(_settings, { live }) {
    return [await checkMayCreateTables(live), await checkSessionPowers(live, await findPrimary(live))];
  },
  async inject(resolved, context) {
    const { node, table, own } = resolved;
    if (own === null && !(await context.live.sql(node, 'probe', (sql) => tableExists(sql, table))))
      throw new GamedayError('fault_refused', `there is no table gameday.${table} on ${node}`, 'the probe must run; or choose table: own.');
    return inject(resolved, context);
  },
  confirm,
  async undo({ node, label, own }, { live }) {
    await letGo(label);
    await endSessions(live, node, label);
    if (own !== null) await dropDrillTable(live, own);
  },
  confirmGone,
};
