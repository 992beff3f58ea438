/**
 * Opens and closes sessions at a steady rate, as an application without a pool does: every one costs the server a process and a password check.
 *
 *     rate ▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏▏   connect, close, connect, close …   at most 20 of them open at once, whatever the rate
 *
 * It goes in where clients do, or straight to a node. Each session stays for a moment, so that whoever looks for one finds it; none is kept: taking them all
 * is `connections-exhausted`.
 */
import { z } from 'zod';
import { monotonicNs, sleep } from '../core/clock';
import { resolveSecret } from '../core/secrets';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { Target } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import { withSql, type Sql } from '../targets/sql';
import type { Fault, FaultContext } from './contract';
import { checkSessionPowers, countNamed, endSessions, manualSessionEnd, proveSessionsLeft, requireShortLabel } from './labelled-sessions';
import { describeNode } from './node-process';
import { hold, letGo } from './residents';
import { findPrimary, resolveNode } from './resolve-node';

const BITES_WITHIN_MS = 10_000;
const MOST_AT_ONCE = 20;
const COUNT_FOR_MS = 1_000;
const LOOK_FOR_MS = 200;
const LOOK_EVERY_MS = 10;
/** Several looks long: a storm that goes on cannot slip between them. */
const STAYS_MS = 50;
const DUE_MEANWHILE = 4;

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

const ms = (): number => Number(monotonicNs()) / 1e6;

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
  for (let due = ms(); !signal.aborted; due = Math.max(due + 1_000 / rate, ms() - COUNT_FOR_MS)) {
    await sleep(Math.max(0, due - ms()), signal).catch(() => undefined);
    if (flying.size >= MOST_AT_ONCE) continue;
    // A refusal is part of a storm; whether it bites is counted on the server.
    const one: Promise<void> = knock()
      .catch(() => undefined)
      .finally(() => flying.delete(one));
    flying.add(one);
  }
  await Promise.all(flying);
}

/** Sessions that the server has counted in the entry's database since its statistics began. */
async function countEver(sql: Sql, database: string): Promise<number> {
  const rows = await sql.query('SELECT sessions::text AS n FROM pg_stat_database WHERE datname = $1', [database]);
  return Number(rows[0]?.['n'] ?? 0);
}

/** New sessions a second, as the server counts them over one second. */
async function measureRate(live: LiveTarget, node: string): Promise<number> {
  const { database } = live.target.entry;
  return live.sql(node, 'observe', async (sql) => {
    const [start, before] = [ms(), await countEver(sql, database)];
    await sleep(COUNT_FOR_MS);
    const after = await countEver(sql, database);
    return ((after - before) * 1_000) / (ms() - start);
  });
}

/** Where the storm arrives now: the entry leads to the primary. */
const arrives = async (live: LiveTarget, { node }: Resolved): Promise<string> => node ?? findPrimary(live);

/** Nodes that the storm may have come to: the entry may have led it elsewhere meanwhile. */
const mayHold = (target: Target, { node }: Resolved): readonly string[] => (node === null ? target.nodes.map((each) => each.name) : [node]);

function recall({ memory }: FaultContext): number | null {
  const before = memory.read()?.['perSecond'];
  return typeof before === 'number' ? before : null;
}

async function confirm(resolved: Resolved, context: FaultContext): Promise<FaultProof> {
  const before = recall(context);
  if (before === null) return { holds: false, by: 'it was never injected: nobody knows the rate before', facts: {} };
  const node = await arrives(context.live, resolved);
  const now = await measureRate(context.live, node);
  return {
    holds: now - before >= resolved.rate / 2,
    by: `${node} counts ${now.toFixed(1)} new sessions a second (${before.toFixed(1)} before)`,
    facts: { node, perSecond: Math.round(now * 10) / 10, before: Math.round(before * 10) / 10 },
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
  const node = await arrives(live, resolved);
  const version = Number((await live.sql(node, 'observe', (sql) => sql.query('SHOW server_version_num')))[0]?.['server_version_num'] ?? 0);
  return [
    {
      name: `${node} counts sessions`,
      ok: version >= 140_000,
      found: `version ${version}`,
      expected: '140000 or later',
      hint: version >= 140_000 ? null : 'pg_stat_database.sessions exists since PostgreSQL 14; before it nothing could be proven.',
    },
    await checkSessionPowers(live, node),
  ];
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
    const { live, memory } = context;
    if (recall(context) === null) memory.write({ perSecond: await measureRate(live, await arrives(live, resolved)) });
    await hold(resolved.label, BITES_WITHIN_MS, (signal, bites) => storm(live, resolved, signal, bites));
    return { rate: resolved.rate, through: `${resolved.host}:${resolved.port}` };
  },
  confirm,
  async undo(resolved, { live }) {
    await letGo(resolved.label);
    for (const node of mayHold(live.target, resolved)) await endSessions(live, node, resolved.label);
  },
  confirmGone,
};
