/**
 * Sessions that a fault keeps open on a node, told from everybody else's by their application_name, which is the fault's label.
 * It ends no session of any other name.
 */
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { Target } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import type { Sql } from '../targets/sql';
import { sqlByHand } from './by-hand';
import type { FaultContext } from './contract';

/** NAMEDATALEN - 1: PostgreSQL cuts longer names of sessions, slots and tables. */
const NAME_LIMIT = 63;
const END_WITHIN_MS = 10_000;

/** The label, when it fits a name in PostgreSQL uncut; throws `fault_refused` when the step's name is too long. */
export function requireShortLabel({ label, drill }: Pick<FaultContext, 'label' | 'drill'>): string {
  const most = NAME_LIMIT - `gd-${drill}-`.length;
  if (label.length > NAME_LIMIT)
    throw new GamedayError(
      'fault_refused',
      `the label "${label}" has ${label.length} characters; names in PostgreSQL hold ${NAME_LIMIT}`,
      `give the step an id of at most ${most} characters.`,
    );
  return label;
}

/** PostgreSQL's five-character code of an error, also of one met while connecting; null where it is none of the server's. */
export function sqlState(error: unknown): string | null {
  for (const each of [error, (error as { cause?: unknown }).cause]) {
    const code = (each as { code?: unknown } | undefined)?.code;
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return null;
}

interface SessionRequest {
  readonly live: LiveTarget;
  readonly node: string;
  readonly label: string;
  /** The session ends when this resolves. */
  readonly release: Promise<void>;
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** A session that the server ended is noticed by then. */
const LOOK_AFTER_MS = 2_000;

/**
 * Opens a session of the probe role under the label and runs `begin` in it; resolves then, while the session stays open until `release`. `ended` rejects when
 * somebody else ends it before.
 */
export function keepSession(request: SessionRequest, begin: (sql: Sql) => Promise<void>): Promise<{ readonly ended: Promise<void> }> {
  const { live, node, label, release } = request;
  return new Promise((resolve, reject) => {
    const ended: Promise<void> = live.sql(node, 'probe', async (sql) => {
      await sql.query(`SELECT set_config('application_name', $1, false)`, [label]);
      await begin(sql);
      resolve({ ended });
      await keepAlive(sql, release);
    });
    ended.catch(reject);
  });
}

async function keepAlive(sql: Sql, release: Promise<void>): Promise<void> {
  const released = release.then(() => true);
  const later = (): Promise<boolean> => new Promise((resolve) => setTimeout(() => resolve(false), LOOK_AFTER_MS).unref());
  while (!(await Promise.race([released, later()])))
    await sql.query('SELECT').catch((error: unknown) => {
      // A server that hangs holds what it held.
      if (sqlState(error) !== null || !/timeout/i.test(messageOf(error))) throw error;
    });
}

export async function countNamed(sql: Sql, label: string): Promise<number> {
  const rows = await sql.query('SELECT count(*)::text AS n FROM pg_stat_activity WHERE application_name = $1', [label]);
  return Number(rows[0]?.['n'] ?? 0);
}

/** A node that runs no server holds no session. */
async function isDown(live: LiveTarget, node: string): Promise<boolean> {
  return (await live.host(node).postmaster()) === null;
}

/** Ends every session of this label on the node and waits until none is left. Idempotent; a node that is down has none. */
export async function endSessions(live: LiveTarget, node: string, label: string): Promise<void> {
  if (await isDown(live, node)) return;
  await until(
    async () => {
      const rows = await live.sql(node, 'operate', (sql) =>
        sql.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [label]),
      );
      return rows.length === 0 ? true : null;
    },
    {
      timeoutMs: END_WITHIN_MS,
      onTimeout: (last) =>
        new GamedayError(
          'undo_failed',
          `sessions named ${label} on ${node} do not end${last === null ? '' : `: ${messageOf(last)}`}`,
          'end them by hand with the command shown.',
        ),
    },
  );
}

/** Null when no session of this label is left on the node; otherwise the proof of the opposite. */
export async function proveSessionsLeft(live: LiveTarget, node: string, label: string): Promise<FaultProof | null> {
  if (await isDown(live, node)) return null;
  const left = await live.sql(node, 'operate', (sql) => countNamed(sql, label));
  return left === 0 ? null : { holds: false, by: `${left} sessions named ${label} are left on ${node}`, facts: { node, left } };
}

/** What a person types to end them. */
export function manualSessionEnd(target: Target, node: string, label: string): string {
  return sqlByHand(target, node, 'operate', [`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${label}'`]);
}

const POWERS = `SELECT (rolsuper OR (pg_has_role(oid, to_regrole('pg_signal_backend'), 'USAGE') AND pg_has_role(oid, to_regrole('pg_read_all_stats'), 'USAGE')))::text AS ok FROM pg_roles WHERE rolname = current_user`;

/** Could the sessions be seen and ended from outside? */
export async function checkSessionPowers(live: LiveTarget, node: string): Promise<CheckResult> {
  const rows = await live.sql(node, 'operate', (sql) => sql.query(POWERS));
  const ok = rows[0]?.['ok'] === 'true';
  return {
    name: `the operate role may end sessions on ${node}`,
    ok,
    found: ok ? 'allowed' : 'not allowed',
    expected: 'allowed',
    hint: ok ? null : 'grant it pg_signal_backend and pg_read_all_stats.',
  };
}
