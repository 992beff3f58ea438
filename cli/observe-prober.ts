/**
 * The prober of an observation: a process of its own that outlives this one only until its lease runs out. Started detached, so that Ctrl-C at the
 * terminal does not reach it; renewed and watched here; what it is told of secrets is their names and its environment.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { monotonicNs, sleep } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { packageRoot, writeFileDurably } from '../core/files';
import { openProber } from '../probe/client';
import type { ProberCalls, ProberConfig, ProberStatus } from '../probe/contract';

/** Long enough for a hiccup of this process, short enough that a killed one leaves nothing running. */
export const OBSERVE_LEASE_MS = 15_000;
const ASK_EVERY_MS = 1_000;
const LOOK_EVERY_MS = 100;
/** A prober that does not answer for this long is gone: its lease has run out by then. */
const SILENCE_MS = OBSERVE_LEASE_MS;
const LOG_TAIL_BYTES = 600;
/** Length of a unix socket's path that every system takes. */
const SOCKET_PATH_BYTES = 100;

export type WatchEnd = 'met' | 'time over' | 'interrupted' | 'gone';

/** Writes the configuration (0600) and starts the process. */
export function startProber(config: ProberConfig): ObservedProber {
  if (Buffer.byteLength(config.socket) > SOCKET_PATH_BYTES)
    throw new GamedayError('setting_invalid', `the path of the socket ${config.socket} is too long`, 'set GAMEDAY_HOME to a shorter path.');
  mkdirSync(config.dir, { recursive: true, mode: 0o700 });
  const file = join(config.dir, 'config.json');
  writeFileDurably(file, JSON.stringify(config, null, 2));
  const logFile = join(config.dir, 'prober.log');
  const log = openSync(logFile, 'a', 0o600);
  try {
    const child = spawn(process.execPath, [join(packageRoot(), 'dist', 'probe', 'prober.js'), file], {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
    });
    const prober = new ObservedProber(openProber(config.socket), logFile);
    child.once('exit', (code, signal) => prober.ended(code === null ? `by ${signal ?? 'a signal'}` : `with exit code ${code}`));
    child.once('error', (error) => prober.ended(messageOf(error)));
    child.unref();
    return prober;
  } finally {
    closeSync(log);
  }
}

export class ObservedProber {
  /** The newest answer. */
  status: ProberStatus | null = null;
  /** How the process ended, once it has. */
  end: string | null = null;
  private answeredNs = monotonicNs();
  private askedNs = 0n;

  constructor(
    readonly calls: ProberCalls,
    private readonly logFile: string,
  ) {}

  ended(how: string): void {
    this.end = how;
  }

  /** Its own last words, for an error. */
  lastWords(): string {
    try {
      return readFileSync(this.logFile, 'utf8').slice(-LOG_TAIL_BYTES).trim().replace(/\s+/g, ' ');
    } catch {
      return '';
    }
  }

  /**
   * Renews the lease and asks for figures once a second until `met` says so, time is over, `signal` is raised, or the prober is gone. `shown` gets every
   * answer. What cannot be asked once is asked again; only silence for as long as the lease lasts counts as gone.
   */
  async watch(options: {
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    readonly shown: (status: ProberStatus) => void;
    readonly met?: (status: ProberStatus) => Promise<boolean> | boolean;
  }): Promise<WatchEnd> {
    const deadline = monotonicNs() + BigInt(Math.round(options.timeoutMs * 1e6));
    for (;;) {
      if (options.signal.aborted) return 'interrupted';
      if (this.end !== null) return 'gone';
      if (monotonicNs() - this.askedNs >= BigInt(ASK_EVERY_MS) * 1_000_000n) {
        const status = await this.ask();
        if (status !== null) options.shown(status);
        if (status !== null && options.met !== undefined && (await options.met(status))) return 'met';
        if (monotonicNs() - this.answeredNs > BigInt(SILENCE_MS) * 1_000_000n) return 'gone';
      }
      const leftMs = Number(deadline - monotonicNs()) / 1e6;
      if (leftMs <= 0) return 'time over';
      await sleep(Math.min(LOOK_EVERY_MS, Math.ceil(leftMs)), options.signal).catch(() => undefined);
    }
  }

  private async ask(): Promise<ProberStatus | null> {
    this.askedNs = monotonicNs();
    try {
      await this.calls.renew();
      this.status = await this.calls.status();
      this.answeredNs = monotonicNs();
      return this.status;
    } catch {
      return null;
    }
  }
}
