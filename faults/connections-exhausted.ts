/**
 * Takes every connection that a node gives to ordinary roles, so that the next client is turned away (53300), as a leaking application does.
 *
 *     max_connections ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░░░
 *                     clients' │ ours, idle     │ superuser_reserved_connections: never ours, undo comes in there
 *
 * The sessions are held by the guardian and taken again where others let go. It never ends anybody else's session.
 */
import { z } from 'zod';
import { monotonicMs, sleep } from '../core/clock';
import { messageOf } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { LiveTarget } from '../targets/ports';
import type { Fault, FaultContext } from './contract';
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
import { hold, letGo, whyNotHeld } from './residents';
import { resolveNode } from './resolve-node';

const TOO_MANY_CONNECTIONS = '53300';
const FILL_WITHIN_MS = 25_000;
const REFILL_EVERY_MS = 200;
const STUCK_AFTER_MS = 15_000;
/** Opened at once; each costs both sides a password check. */
const PARALLEL = 8;
const MOST_LEFT = 50;
/** Times that a proof asks before it says that there is room. */
const TRIES = 5;

const schema = z.strictObject({
  node: z.string().min(1).max(63).default('primary').describe('primary, any-standby or a node’s name'),
  leave: z.int().min(0).max(MOST_LEFT).default(0).describe('ordinary connections that stay free'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly node: string; readonly leave: number; readonly label: string };

interface Room {
  /** Ordinary connections that the server gives in all. */
  readonly ordinary: number;
  readonly free: number;
}

/** Without the session that asks. PostgreSQL 16 keeps `reserved_connections` back besides; superusers' sessions come out of the same pool. */
const ROOM = `SELECT (m - r)::text AS ordinary, (m - r - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()))::text AS free
  FROM (SELECT current_setting('max_connections')::int AS m,
    current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0) AS r) AS s`;

async function measureRoom(live: LiveTarget, node: string): Promise<Room> {
  const rows = await live.sql(node, 'operate', (sql) => sql.query(ROOM));
  return { ordinary: Number(rows[0]?.['ordinary'] ?? 0), free: Number(rows[0]?.['free'] ?? 0) };
}

/** False when the server turned it away for want of room; throws what else went wrong. */
async function getsIn(open: () => Promise<void>): Promise<boolean> {
  return open().then(
    () => true,
    (error: unknown) => {
      if (sqlState(error) !== TOO_MANY_CONNECTIONS) throw error;
      return false;
    },
  );
}

/** Opens sessions, `atOnce` at a time, until the server turns one away, `most` are open or `signal` aborts. True when it was turned away. */
async function openMany(open: () => Promise<void>, most: number, atOnce: number, signal: AbortSignal): Promise<boolean> {
  for (let opened = 0; opened < most && !signal.aborted; opened += atOnce) {
    const batch = Array.from({ length: Math.min(atOnce, most - opened) }, () => getsIn(open));
    // None may still be opening when one of them has failed.
    await Promise.allSettled(batch);
    if ((await Promise.all(batch)).includes(false)) return true;
  }
  return false;
}

/**
 * Fills and keeps filled until `signal` aborts; then every session is closed. Once it is full, a knock that nobody answers ends nothing: the others are held
 * all the same, and a server that restarted meanwhile is filled anew. One that answers no more for `STUCK_AFTER_MS` is full no more, for all we know: throws.
 */
async function occupy(live: LiveTarget, { node, leave, label }: Resolved, signal: AbortSignal, bites: () => void): Promise<void> {
  const ours = new AbortController();
  const release = aborted(ours.signal);
  const ended: Promise<void>[] = [];
  let alive = 0;
  const open = async (): Promise<void> => {
    const session = await keepSession({ live, node, label, release }, async () => undefined);
    alive += 1;
    // That one is lost is made up for by the next filling.
    ended.push(session.ended.catch(() => undefined).finally(() => (alive -= 1)));
  };
  try {
    const { ordinary } = await measureRoom(live, node);
    let full = false;
    let bittenMs: number | null = null;
    const fill = async (): Promise<void> => {
      const room = leave === 0 ? ordinary : (await measureRoom(live, node)).free - leave;
      // Once full, what others let go comes one by one; a server that is asked more would be stormed besides.
      // One more than there is room for is turned away; a role that is not goes no further, for the last places are for whoever comes to undo.
      full = (await openMany(open, Math.min(room, ordinary + 1 - alive), full ? 1 : PARALLEL, signal)) || full;
      if (leave === 0 ? !full : room > 0) return;
      bittenMs = monotonicMs();
      bites();
    };
    while (!signal.aborted) {
      await fill().catch((error: unknown) => {
        if (bittenMs === null || monotonicMs() - bittenMs > STUCK_AFTER_MS) throw error;
      });
      await sleep(REFILL_EVERY_MS, signal).catch(() => undefined);
    }
  } finally {
    ours.abort();
    await Promise.all(ended);
  }
}

/** What `many` sessions opened at once and held together get: how many are in, how many are told 53300, and anything else that was said. */
async function tryMany(
  live: LiveTarget,
  node: string,
  many: number,
): Promise<{ readonly opened: number; readonly refused: number; readonly other: string | null }> {
  const done = new AbortController();
  const release = aborted(done.signal);
  const tries = Array.from({ length: many }, () => keepSession({ live, node, label: 'gameday try', release }, async () => undefined));
  const results = await Promise.allSettled(tries);
  done.abort();
  const errors: unknown[] = [];
  for (const each of results) {
    if (each.status === 'fulfilled') await each.value.ended.catch(() => undefined);
    else errors.push(each.reason);
  }
  const others = errors.filter((error) => sqlState(error) !== TOO_MANY_CONNECTIONS).map(messageOf);
  return { opened: many - errors.length, refused: errors.length - others.length, other: others[0] ?? null };
}

/** Others' sessions come and go: one that went a moment ago is made up for by the next filling, and a try that got in, or was not heard, proves nothing before. */
async function confirm({ node, leave, label }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  let { opened, refused, other } = await tryMany(live, node, leave + 1);
  for (let again = 1; again < TRIES && refused === 0; again += 1) {
    await sleep(REFILL_EVERY_MS);
    ({ opened, refused, other } = await tryMany(live, node, leave + 1));
  }
  const said = [other, refused > 0 ? null : whyNotHeld(label)].filter((each) => each !== null);
  return {
    holds: refused > 0,
    by: `of ${leave + 1} new sessions on ${node} ${refused} are refused with ${TOO_MANY_CONNECTIONS}${said.map((each) => `; ${each}`).join('')}`,
    facts: { node, opened, refused },
  };
}

const LIMITS = `SELECT r.rolconnlimit::text AS role, d.datconnlimit::text AS database FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`;

async function ready(settings: Settings, context: FaultContext): Promise<readonly CheckResult[]> {
  const { live } = context;
  const node = await resolveNode(live, settings.node);
  const limits = (await live.sql(node, 'probe', (sql) => sql.query(LIMITS)))[0];
  const limited = Number(limits?.['role'] ?? -1) >= 0 || Number(limits?.['database'] ?? -1) >= 0;
  const { ordinary, free } = await measureRoom(live, node);
  const superuser = (
    await live.sql(node, 'operate', (sql) =>
      sql.query(
        `SELECT (rolsuper AND current_setting('superuser_reserved_connections')::int > 0)::text AS ok FROM pg_roles WHERE rolname = current_user`,
      ),
    )
  )[0]?.['ok'];
  return [
    {
      name: `${node} has connections to take`,
      ok: free > settings.leave,
      found: `${free} of ${ordinary} free`,
      expected: `more than ${settings.leave} free`,
      hint: free > settings.leave ? null : 'they are used up already; find out by whom first.',
    },
    {
      name: 'the probe role may take every ordinary connection',
      ok: !limited,
      found: limited ? `limits: role ${limits?.['role']}, database ${limits?.['database']}` : 'no limit of its own',
      expected: 'no limit of its own',
      hint: limited ? 'with CONNECTION LIMIT only the limit would be exhausted, not the server.' : null,
    },
    {
      name: 'undo finds a connection that is kept for superusers',
      ok: superuser === 'true',
      found: superuser === 'true' ? 'the operate role comes in there' : 'none for the operate role',
      expected: 'the operate role comes in there',
      hint: superuser === 'true' ? null : 'it must be superuser, and superuser_reserved_connections above 0.',
    },
    await checkSessionPowers(live, node),
  ];
}

export const connectionsExhausted: Fault<Settings, Resolved> = {
  name: 'connections-exhausted',
  summary: 'takes every connection that a node gives to ordinary roles',
  schema,
  mayLoseWrites: () => false,
  resident: true,
  async resolve(settings, context) {
    return { node: await resolveNode(context.live, settings.node), leave: settings.leave, label: requireShortLabel(context) };
  },
  preview: ({ node, leave }) =>
    `open sessions on ${node} until ${leave === 0 ? 'no' : leave} ordinary connection${leave === 1 ? ' is' : 's are'} left`,
  reach: ({ node }) => ({ nodes: [node] }),
  manualUndo: ({ node, label }, target) => [manualSessionEnd(target, node, label)],
  ready,
  async inject(resolved, { live }) {
    await hold(resolved.label, FILL_WITHIN_MS, (signal, bites) => occupy(live, resolved, signal, bites));
    return { node: resolved.node, leave: resolved.leave };
  },
  confirm,
  async undo({ node, label }, { live }) {
    await letGo(label);
    await endSessions(live, node, label);
  },
  async confirmGone({ node, label }, { live }) {
    const left = await proveSessionsLeft(live, node, label);
    if (left !== null) return left;
    if ((await live.host(node).postmaster()) === null) return { holds: true, by: `${node} is down and holds no session`, facts: { node } };
    const { opened, refused, other } = await tryMany(live, node, 1);
    return {
      holds: opened === 1,
      by: `no session named ${label} is left on ${node}; a new one ${opened === 1 ? 'comes in' : `is refused: ${other ?? TOO_MANY_CONNECTIONS}`}`,
      facts: { node, refused },
    };
  },
};
