/**
 * Opens and closes sessions at a steady rate, as an application without a pool does: every one costs the server a process and a password check.
 *
 *     rate ▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏   connect, close, connect, close …   at most 20 of them open at once, whatever the rate
 *
 * It goes in where clients do, or straight to a node. Each session stays for a moment, so that whoever looks for one finds it; none is kept: taking them all
 * is `connections-exhausted`.
 */
import { z } from 'zod';
import { monotonicMs as ms, sleep, until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { Target } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import { withSql, type Sql } from '../targets/sql';
import type { Fault, FaultContext } from './contract';
import { checkSessionPowers, countNamed, endSessions, manualSessionEnd, proveSessionsLeft, requireShortLabel } from './labelled-sessions';
import { describeNode } from './node-process';
import { hold, letGo, whyNotHeld } from './residents';
import { findPrimary, resolveNode } from './resolve-node';

const BITES_WITHIN_MS = 10_000;
const MOST_AT_ONCE = 20;
/** What a storm that was held up does not make up for any more. */
const LATE_MOST_MS = 1_000;
const SEEN_WITHIN_MS = 8_000;
const LOOK_FOR_MS = 200;
const LOOK_EVERY_MS = 10;
/** Several looks long: a storm that goes on cannot slip between them. */
const STAYS_MS = 50;
const DUE_MEANWHILE = 4;

const BEGUN =
  'SELECT pid::text AS pid, (extract(epoch FROM backend_start) * 1000)::text AS at FROM pg_stat_activity WHERE application_name = $1';

const schema = z.strictObject({
  rate: z.int().min(5).max(200).default(50).describe('new sessions a second'),
  node: z.string().min(1).max(63).default('entry').describe('entry (where clients come in), primary, any-standby or a node’s name'),
});
type Settings = z.infer<typeof schema>;
type Resolved = {
  readonly label: string;
  readonly rate: number;
  readonly host: string;
  readonly port: number;
  readonly node: string | null;
};

async function storm(live: LiveTarget, resolved: Resolved, signal: AbortSignal, bites: () => void): Promise<void> {
  const { probe } = live.target.roles;
  const { host, port, label, rate } = resolved;
  const address = {
    host,
    port,
    user: probe.user,
    password: probe.password === null ? null : resolveSecret(probe.password),
    database: live.target.entry.database,
  };
  const knock = (): Promise<void> =>
    withSql(
      address,
      () => {
        bites();
        return sleep(STAYS_MS, signal).catch(() => undefined);
      },
      { applicationName: label },
    );
  const flying = new Set<Promise<void>>();
  for (let due = ms(); !signal.aborted; due = Math.max(due + 1_000 / rate, ms() - LATE_MOST_MS)) {
    await sleep(Math.max(0, due - ms()), signal).catch(() => undefined);
    if (flying.size >= MOST_AT_ONCE) continue;
    // A refusal is part of a storm; whether it bites is seen on the server.
    const one: Promise<void> = knock()
      .catch(() => undefined)
      .finally(() => flying.delete(one));
    flying.add(one);
  }
  await Promise.all(flying);
}

/** Where the storm arrives now: the entry leads to the primary. */
const arrives = async (live: LiveTarget, { node }: Pick<Resolved, 'node'>): Promise<string> => node ?? findPrimary(live);

/** Nodes that the storm may have come to: the entry may have led it elsewhere meanwhile. */
const mayHold = (target: Target, { node }: Resolved): readonly string[] => (node === null ? target.nodes.map((each) => each.name) : [node]);

/** The most of these instants (ms) that lie within one span of `spanMs`. */
export function mostWithin(instants: readonly number[], spanMs: number): number {
  const sorted = [...instants].sort((a, b) => a - b);
  let [most, from] = [0, 0];
  for (const [at, instant] of sorted.entries()) {
    while (instant - (sorted[from] ?? instant) >= spanMs) from += 1;
    most = Math.max(most, at - from + 1);
  }
  return most;
}

/**
 * Looks at our own sessions until `least` of them have begun within some second by the server's clock, or the time is over. The most that were seen so. What
 * stood at the first look does not count: it may have come at any time.
 */
async function countBegun(sql: Sql, label: string, least: number, endMs: number): Promise<number> {
  const seen = new Set<string>();
  const begun: number[] = [];
  for (let looks = 0; ; looks += 1) {
    for (const { pid, at } of await sql.query(BEGUN, [label])) {
      if (looks > 0 && !seen.has(`${pid} ${at}`)) begun.push(Number(at));
      seen.add(`${pid} ${at}`);
    }
    const most = mostWithin(begun, 1_000);
    if (most >= least || ms() >= endMs) return most;
    await sleep(LOOK_EVERY_MS);
  }
}

/**
 * Half the rate, in the best of several seconds. Each session counted was seen there under our name and counts once, in the second in which the server began
 * it: nobody else's counts, nor one that a pooler keeps and lends again, and a late look can only miss some. A look sees all that stand, which each does for
 * `STAYS_MS` at least: whatever the rate, half of them are missed only where looks lie twice as far apart.
 */
async function confirm({ label, rate, ...way }: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const missing = whyNotHeld(label);
  if (missing !== null) return { holds: false, by: missing, facts: {} };
  const end = ms() + SEEN_WITHIN_MS;
  const { node, most } = await until(
    async () => {
      const at = await arrives(live, way);
      return { node: at, most: await live.sql(at, 'operate', (sql) => countBegun(sql, label, rate / 2, end)) };
    },
    {
      timeoutMs: SEEN_WITHIN_MS,
      onTimeout: (last) => new GamedayError('fault_unconfirmed', `its sessions could not be looked at: ${messageOf(last)}`),
    },
  );
  return {
    holds: most >= rate / 2,
    by: `${most} sessions named ${label} began on ${node} within one second`,
    facts: { node, perSecond: most },
  };
}

/** Looks again and again over one connection, until sessions of that name are there or the time is over. */
async function lookFor(sql: Sql, label: string, forMs: number): Promise<{ readonly sessions: number; readonly looks: number }> {
  const end = ms() + forMs;
  let looks = 0;
  do {
    const sessions = await countNamed(sql, label);
    looks += 1;
    if (sessions > 0) return { sessions, looks };
    await sleep(LOOK_EVERY_MS);
  } while (ms() < end);
  return { sessions: 0, looks };
}

/** Whoever else connects meanwhile, healing itself among them, raises the rate: so names are looked at, long enough for several that were due. */
async function confirmGone(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  for (const node of mayHold(live.target, resolved)) {
    const left = await proveSessionsLeft(live, node, resolved.label);
    if (left !== null) return left;
  }
  const node = await arrives(live, resolved);
  const forMs = Math.max(LOOK_FOR_MS, (DUE_MEANWHILE * 1_000) / resolved.rate);
  const { sessions, looks } = await live.sql(node, 'operate', (sql) => lookFor(sql, resolved.label, forMs));
  if (sessions > 0)
    return { holds: false, by: `${sessions} sessions named ${resolved.label} came to ${node} after all`, facts: { node, sessions } };
  return {
    holds: true,
    by: `no session named ${resolved.label} came to ${node} within ${Math.round(forMs)} ms, in ${looks} looks`,
    facts: { node, looks },
  };
}

async function ready(settings: Settings, context: FaultContext): Promise<readonly CheckResult[]> {
  const { live } = context;
  const resolved = await resolve(settings, context);
  return [await checkSessionPowers(live, await arrives(live, resolved))];
}

async function resolve(settings: Settings, context: FaultContext): Promise<Resolved> {
  const { live } = context;
  const label = requireShortLabel(context);
  if (settings.node === 'entry') {
    await findPrimary(live);
    const { host, port } = live.target.entry;
    return { label, rate: settings.rate, host, port, node: null };
  }
  const node = await resolveNode(live, settings.node);
  const { host, port } = describeNode(live.target, node);
  return { label, rate: settings.rate, host, port, node };
}

export const connectionStorm: Fault<Settings, Resolved> = {
  name: 'connection-storm',
  summary: 'opens and closes sessions at a steady rate',
  schema,
  mayLoseWrites: () => false,
  resident: true,
  resolve,
  preview: ({ rate, node }) =>
    `open and close ${rate} sessions a second ${node === null ? 'at the entry' : `on ${node}`}, at most ${MOST_AT_ONCE} at once`,
  reach: ({ node }) => ({ nodes: node === null ? [] : [node] }),
  manualUndo: (resolved, target) => mayHold(target, resolved).map((node) => manualSessionEnd(target, node, resolved.label)),
  ready,
  async inject(resolved, context) {
    await hold(resolved.label, BITES_WITHIN_MS, (signal, bites) => storm(context.live, resolved, signal, bites));
    return { rate: resolved.rate, through: `${resolved.host}:${resolved.port}` };
  },
  confirm,
  async undo(resolved, { live }) {
    await letGo(resolved.label);
    for (const node of mayHold(live.target, resolved)) await endSessions(live, node, resolved.label);
  },
  confirmGone,
};
