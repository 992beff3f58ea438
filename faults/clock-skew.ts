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
/** Of two clocks; the first that is narrow enough counts. */
const READINGS = 3;
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
  if (result.code !== 0) throw new GamedayError('step_failed', `date failed on the host: ${result.stderr.trim() || `exit ${result.code}`}`);
  return Number(result.stdout.trim()) * 1_000;
}

/** How far a clock is from the host's: that one was read before and after it. */
interface Offset {
  readonly ms: number;
  readonly errorMs: number;
}

const between = (before: number, read: number, after: number): Offset => ({
  ms: read - (before + after) / 2,
  errorMs: (after - before) / 2,
});

/** On a machine that takes seconds to start a process, a true clock and one that is a little off look alike. */
const isNarrow = ({ errorMs }: Offset, skew: number): boolean => errorMs <= Math.abs(skew) / 4;

/** True where the reading can tell the fault's skew from none, and tells this one. */
const agrees = (offset: Offset, expectedMs: number, skew: number): boolean =>
  isNarrow(offset, skew) && Math.abs(offset.ms - expectedMs) <= TOLERANCE_MS + offset.errorMs;

async function narrowest(read: () => Promise<Offset>, skew: number): Promise<Offset> {
  let best = await read();
  for (let n = 1; n < READINGS && !isNarrow(best, skew); n += 1) {
    const next = await read();
    if (!(best.errorMs <= next.errorMs)) best = next;
  }
  return best;
}

/** How far a session's clock is from the host's. Connecting is no part of it. Throws when the node does not answer. */
async function measureSkew(live: LiveTarget, node: string, skew: number): Promise<Offset> {
  const host = live.host(node);
  return live.sql(node, 'observe', (sql) =>
    narrowest(async () => {
      const before = await hostMs(host);
      const rows = await sql.query('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::text AS ms');
      return between(before, Number(rows[0]?.['ms'] ?? NaN), await hostMs(host));
    }, skew),
  );
}

const sayMs = (ms: number): string => `${ms < 0 ? '-' : '+'}${formatMs(Math.abs(ms))}`;

async function proveSkew(live: LiveTarget, { node, skewMs: skew }: Resolved, expectedMs: number): Promise<FaultProof> {
  const offset = await measureSkew(live, node, skew).catch(messageOf);
  if (typeof offset === 'string') return { holds: false, by: `${node} does not tell its time: ${offset}`, facts: { node, skewMs: null } };
  return {
    holds: agrees(offset, expectedMs, skew),
    by: `a session’s clock on ${node} is ${sayMs(offset.ms)} from its host’s, read within ${formatMs(2 * offset.errorMs)}${isNarrow(offset, skew) ? '' : ', too slowly to tell'}`,
    facts: { node, skewMs: offset.ms, errorMs: offset.errorMs },
  };
}

/** Restarts the node with its true clock. Leaves alone a server that was started without our label. */
export async function restoreClock(live: LiveTarget, node: string, label: string): Promise<void> {
  if ((await startedBy(live, node)) === label) await stopForHealing(live, node);
  await bringUp(live, node);
}

// The true time, what a program is told, and the true time again.
const TELL = 'date +%s.%N; env "$@" date +%s.%N; date +%s.%N';
const SLOW = 'the host takes too long to start a program for this skew: try when it has less to do, or choose a larger one.';

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
    let said = '';
    const offset = await narrowest(async () => {
      const result = await host.exec(['sh', '-c', TELL, 'gameday', ...words], { asNode: true, timeoutMs: 10_000 });
      said = result.stderr.trim();
      const [before = NaN, told = NaN, after = NaN] = result.stdout
        .trim()
        .split('\n')
        .map((line) => Number(line) * 1_000);
      return between(before, told, after);
    }, wanted);
    const ok = agrees(offset, wanted, wanted);
    const found = `${sayMs(offset.ms)} off, read within ${formatMs(2 * offset.errorMs)}`;
    const hint = ok ? null : isNarrow(offset, wanted) || said !== '' ? INSTALL : SLOW;
    return [{ ...check, ok, found: ok ? found : said || found, hint }];
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
  confirm: (resolved, { live }) => proveSkew(live, resolved, resolved.skewMs),
  async undo({ node, label }, { live, memory }) {
    // A node that was down before we restarted it is somebody else's to start.
    if (memory.read() !== null) await restoreClock(live, node, label);
  },
  async confirmGone(resolved, { live, memory }) {
    const { node, label } = resolved;
    // Never injected: a node that somebody else has stopped has no clock that could be wrong.
    if (memory.read() === null && !(await isUp(live, node)) && (await startedBy(live, node)) !== label)
      return { holds: true, by: `${node} was never restarted by this fault, and is down`, facts: { node } };
    return proveSkew(live, resolved, 0);
  },
};
