/**
 * A watchdog for one node of a Patroni lab, in the place of the device that a machine has: fed through a named pipe by Patroni's driver `testing`, and when nobody
 * feeds it in time it resets the node, as the hardware does a machine: server and agent die at once. Started by the supervisor as
 * `node watchdog.js --pipe PATH --owner USER --node JSON`. It never acts while it is not armed, and on nothing but its own node.
 */
import { execFileSync } from 'node:child_process';
import { chownSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { monotonicNs, sleep } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { lookUpUser } from '../../core/process';
import type { TargetNode } from '../../model/target';
import { openLocalHost } from '../../targets/hosts/local';
import type { Host } from '../../targets/ports';

/** Of a watchdog that nobody told otherwise; Patroni: watchdog/linux.py, TestingWatchdogDevice.timeout. */
const DEFAULT_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 100;

export interface WatchdogState {
  readonly timeoutMs: number;
  /** When it resets the node; null: not armed. */
  readonly dueMs: number | null;
  /** The beginning of a setting whose end has not come yet. */
  readonly pending: string;
}

export const UNARMED: WatchdogState = { timeoutMs: DEFAULT_TIMEOUT_MS, dueMs: null, pending: '' };

/**
 * What a watchdog makes of the bytes that came in at `nowMs`: `V` takes it off (the magic close of Linux' watchdog interface), `Ctimeout=N` and a line's end sets
 * N seconds, anything else feeds it. Pure.
 */
export function fed(state: WatchdogState, bytes: string, nowMs: number): WatchdogState {
  let { timeoutMs, dueMs, pending } = state;
  for (const byte of bytes) {
    if (pending !== '' || byte === 'C') {
      pending += byte;
      if (byte !== '\n') continue;
      const seconds = Number(/^Ctimeout=([0-9]+)\n$/.exec(pending)?.[1] ?? Number.NaN);
      pending = '';
      if (seconds > 0) timeoutMs = seconds * 1_000;
      // Setting it restarts it, as the kernel's drivers do.
      dueMs = nowMs + timeoutMs;
    } else dueMs = byte === 'V' ? null : nowMs + timeoutMs;
  }
  return { timeoutMs, dueMs, pending };
}

/** Everything that has arrived; empty where nothing has. */
function drain(fd: number): string {
  const buffer = Buffer.alloc(4_096);
  try {
    return buffer.toString('latin1', 0, readSync(fd, buffer));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
    throw error;
  }
}

/** Whose end of the pipe is open here too: a Patroni that opens it need not wait, and one that dies is no end of it. */
function openPipe(path: string, owner: string | null): number {
  if (existsSync(path) && !statSync(path).isFIFO())
    throw new GamedayError('lab_failed', `${path} is no named pipe`, 'remove it; the watchdog makes it anew.');
  if (!existsSync(path)) execFileSync('mkfifo', ['-m', '600', path]);
  if (owner !== null) {
    const { uid, gid } = lookUpUser(owner);
    chownSync(path, uid, gid);
  }
  return openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
}

/** A machine that is off has no watchdog that counts. */
async function isOff(host: Host): Promise<boolean> {
  return (await host.postmaster()) === null && (await host.agent()) === null;
}

/** Agent first, which would start its server again. */
async function reset(host: Host): Promise<number> {
  let killed = 0;
  for (const root of [await host.agent(), await host.postmaster()]) if (root !== null) killed += (await host.killTree(root)).length;
  return killed;
}

const nowMs = (): number => Number(monotonicNs() / 1_000_000n);
const say = (text: string): void => void process.stdout.write(`${new Date().toISOString()} ${text}\n`);

async function watch(node: TargetNode, fd: number): Promise<never> {
  const host = openLocalHost(node);
  let state = UNARMED;
  for (;;) {
    const bytes = drain(fd);
    const before = state;
    if (bytes !== '') state = fed(state, bytes, nowMs());
    if ((before.dueMs === null) !== (state.dueMs === null)) say(state.dueMs === null ? 'taken off' : `armed, ${state.timeoutMs} ms`);
    if (state.dueMs !== null && nowMs() >= state.dueMs) {
      say(`nobody fed it for ${state.timeoutMs} ms: ${node.name} is reset, ${await reset(host)} processes killed`);
      state = UNARMED;
    } else if (state.dueMs !== null && state.dueMs - nowMs() < state.timeoutMs / 2 && (await isOff(host))) {
      say(`${node.name} is off, and so is its watchdog`);
      state = UNARMED;
    }
    await sleep(LOOK_EVERY_MS);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { pipe: { type: 'string' }, owner: { type: 'string' }, node: { type: 'string' } } });
  if (values.pipe === undefined || values.node === undefined)
    throw new GamedayError('usage', 'the watchdog needs --pipe PATH and --node JSON');
  const node = JSON.parse(values.node) as TargetNode;
  const fd = openPipe(values.pipe, values.owner ?? null);
  process.once('SIGTERM', () => {
    closeSync(fd);
    process.exit(0);
  });
  await watch(node, fd);
}

if (require.main === module)
  main().catch((error: unknown) => {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = error instanceof GamedayError ? error.exit : 70;
  });
