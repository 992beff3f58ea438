/**
 * Sets a node's clock fast or slow, for its server alone: PostgreSQL is stopped in good order and started again under libfaketime, which answers
 * whoever asks for the time of day. Timers and durations stay true (the monotonic clock is not touched), and so does the host's own clock.
 *
 *     host  12:00 ──▶ libfaketime (+5m) ──▶ postgres 12:05      commit timestamps, now(), archive requests, log lines
 *
 * Undo restarts the server without it. It must never set a machine's clock.
 */
import { z } from 'zod';
import { GamedayError, messageOf } from '../core/errors';
import { formatMs, parseDurationMs } from '../core/units';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { Environment, Host, LiveTarget } from '../targets/ports';
import type { Fault, FaultContext } from './contract';
import { bringUp, isUp, stopForHealing, stopInOrder } from './node-power';
import { requireRunning } from './node-process';
import { howToStart, howToStop } from './node-role';
import { runScript } from './node-script';
import { resolveNode } from './resolve-node';

/** Variable that says, to whoever finds the process, which fault started it. */
export const FAULT_VARIABLE = 'GAMEDAY_FAULT';
const LEAST_MS = 5_000;
const MOST_MS = 30 * 86_400_000;
/** Two clocks read one after the other agree within this, besides the time that reading took. */
const TOLERANCE_MS = 1_000;
const INSTALL = 'install libfaketime on the node’s host: apt-get install libfaketime';

function skewMs(by: string): number | null {
  const ms = /^[+-]/.test(by) ? parseDurationMs(by.slice(1)) : null;
  return ms === null ? null : by.startsWith('-') ? -ms : ms;
}

const inRange = (by: string): boolean => {
  const ms = skewMs(by);
  return ms !== null && Math.abs(ms) >= LEAST_MS && Math.abs(ms) <= MOST_MS && ms % 1_000 === 0;
};

const schema = z.strictObject({
  node: z.string().min(1).max(63).describe('primary, any-standby or a node’s name'),
  by: z.string().refine(inRange, 'a sign and whole seconds, from 5s to 30d, e.g. +5m or -30s'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly node: string; readonly skewMs: number; readonly library: string; readonly label: string };

const LIBRARY =
  'for file in /usr/lib/*/faketime /usr/lib*/faketime /usr/local/lib/faketime; do [ ! -r "$file/libfaketime.so.1" ] || { echo "$file/libfaketime.so.1"; exit; }; done';

async function findLibrary(host: Host): Promise<string> {
  const path = (await runScript(host, 'looking for libfaketime', LIBRARY, [])).trim();
  if (path === '') throw new GamedayError('fault_refused', 'libfaketime was not found on the host', INSTALL);
  return path;
}

function environmentOf({ library, skewMs: ms, label }: Resolved): Environment {
  return {
    LD_PRELOAD: library,
    FAKETIME: `${ms < 0 ? '-' : '+'}${Math.abs(ms) / 1_000}`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    // Ages of files are differences of two readings: both true.
    NO_FAKE_STAT: '1',
    [FAULT_VARIABLE]: label,
  };
}

/** Label of the fault that started the node's server as it runs now; null: none did, or no server runs. */
export async function startedBy(live: LiveTarget, node: string): Promise<string | null> {
  const postmaster = await live.host(node).postmaster();
  if (postmaster === null) return null;
  const variables = (await live.host(node).readFile(`/proc/${postmaster.pid}/environ`)) ?? '';
  const line = variables.split('\0').find((each) => each.startsWith(`${FAULT_VARIABLE}=`));
  return line?.slice(FAULT_VARIABLE.length + 1) ?? null;
}

async function hostMs(host: Host): Promise<number> {
  const result = await host.exec(['date', '+%s.%N'], { asNode: false, timeoutMs: 5_000 });
  return Number(result.stdout.trim()) * 1_000;
}

/** How far a session's clock is from the host's, and how far off that may be; null when the node does not answer. */
async function measureSkew(live: LiveTarget, node: string): Promise<{ readonly ms: number; readonly errorMs: number } | null> {
  const host = live.host(node);
  const before = await hostMs(host);
  const rows = await live
    .sql(node, 'observe', (sql) => sql.query('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::text AS ms'))
    .catch(() => []);
  const after = await hostMs(host);
  const found = rows[0]?.['ms'] ?? null;
  return found === null ? null : { ms: Number(found) - (before + after) / 2, errorMs: (after - before) / 2 };
}

const sayMs = (ms: number): string => `${ms < 0 ? '-' : '+'}${formatMs(Math.abs(ms))}`;

async function proveSkew(live: LiveTarget, node: string, expectedMs: number): Promise<FaultProof> {
  const skew = await measureSkew(live, node);
  if (skew === null) return { holds: false, by: `${node} does not answer`, facts: { node, skewMs: null } };
  return {
    holds: Math.abs(skew.ms - expectedMs) <= TOLERANCE_MS + skew.errorMs,
    by: `a session’s clock on ${node} is ${sayMs(skew.ms)} from its host’s, read within ${formatMs(2 * skew.errorMs)}`,
    facts: { node, skewMs: skew.ms, errorMs: skew.errorMs },
  };
}

/** Restarts the node with its true clock. Leaves alone a server that was started without our label. */
export async function restoreClock(live: LiveTarget, node: string, label: string): Promise<void> {
  if ((await startedBy(live, node)) === label) await stopForHealing(live, node);
  await bringUp(live, node);
}

async function ready(settings: Settings, { live }: FaultContext): Promise<readonly CheckResult[]> {
  const node = await resolveNode(live, settings.node);
  const host = live.host(node);
  const wanted = skewMs(settings.by) ?? 0;
  const check = {
    name: `clocks of programs on the host of ${node} can be set`,
    expected: `a program that is told a time ${settings.by} off`,
  };
  try {
    const environment = environmentOf({ node, skewMs: wanted, library: await findLibrary(host), label: 'trial' });
    const words = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const trueMs = await hostMs(host);
    const result = await host.exec(['env', ...words, 'date', '+%s.%N'], { asNode: true, timeoutMs: 5_000 });
    const off = Number(result.stdout.trim()) * 1_000 - trueMs;
    const ok = Math.abs(off - wanted) <= TOLERANCE_MS;
    return [{ ...check, ok, found: ok ? `${sayMs(off)} off` : result.stderr.trim() || `${sayMs(off)} off`, hint: ok ? null : INSTALL }];
  } catch (error) {
    return [{ ...check, ok: false, found: messageOf(error), hint: INSTALL }];
  }
}

export const clockSkew: Fault<Settings, Resolved> = {
  name: 'clock-skew',
  summary: 'sets a node’s clock fast or slow, by a restart of its server',
  schema,
  // The restart is in good order: connected standbys have received everything before the server ends, and nobody is killed.
  mayLoseWrites: () => false,
  async resolve(settings, { live, label }) {
    const node = await resolveNode(live, settings.node);
    await requireRunning(live, node);
    return { node, skewMs: skewMs(settings.by) ?? 0, library: await findLibrary(live.host(node)), label };
  },
  preview: (r) => `restart ${r.node} with its clock ${formatMs(Math.abs(r.skewMs))} ${r.skewMs < 0 ? 'slow' : 'fast'}`,
  reach: ({ node }) => ({ nodes: [node] }),
  holdsDown: ({ node }) => [node],
  manualUndo: ({ node }, target) => [howToStop(target, node, 'fast'), ...howToStart(target, node)],
  ready,
  async inject(resolved, { live, memory }) {
    const { node, label } = resolved;
    if ((await startedBy(live, node)) !== label) {
      memory.write({ restarted: node });
      await stopInOrder(live, node);
      await live.controller.startNode(node, environmentOf(resolved));
    }
    return { node, skewMs: resolved.skewMs };
  },
  confirm: ({ node, skewMs: ms }, { live }) => proveSkew(live, node, ms),
  async undo({ node, label }, { live, memory }) {
    // A node that was down before we restarted it is somebody else's to start.
    if (memory.read() !== null) await restoreClock(live, node, label);
  },
  async confirmGone({ node, label }, { live, memory }) {
    // Never injected: a node that somebody else has stopped has no clock that could be wrong.
    if (memory.read() === null && !(await isUp(live, node)) && (await startedBy(live, node)) !== label)
      return { holds: true, by: `${node} was never restarted by this fault, and is down`, facts: { node } };
    return proveSkew(live, node, 0);
  },
};
