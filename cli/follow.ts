/**
 * Follows one drill until it ends: a line per event with the time since the start, questions at the prompt, and Ctrl-C with two meanings.
 * Losing the connection, or this process, never ends the drill; only the halt update does.
 */
import type { WorkflowHandle } from '@temporalio/client';
import { monotonicNs, sleep } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { DrillProgress, DrillResult } from '../model/message';
import { progressQuery } from '../workflows/messages';
import { haltDrill } from './halt-drill';
import { openPrompt } from './prompt';
import { RestoreWatch } from './restore-watch';
import type { TemporalAccess } from './temporal';
import { inOurWords } from './temporal';
import { personId, type Terminal } from './terminal';

const POLL_MS = 250;
const QUERY_MS = 3_000;
/** Time within which a second Ctrl-C means halt. */
const SECOND_INTERRUPT_MS = 5_000;
/** Without an answer for this long, people are told so once. */
const SILENCE_MS = 5_000;
const HALT_MS = 30_000;

export type Followed = { readonly kind: 'ended'; readonly result: DrillResult } | { readonly kind: 'detached' };

export interface FollowOptions {
  readonly terminal: Terminal;
  readonly temporal: TemporalAccess;
  readonly handle: WorkflowHandle;
  readonly runId: string;
  /** Who answers and halts from here. */
  readonly person: string | undefined;
  /** Shows the phase and step that a drill is in, even before its first event. */
  readonly home: string;
}

/** Resolves when the drill has ended or the person let go of it. Throws what the workflow failed with, in gameday's words. */
export async function followDrill(options: FollowOptions): Promise<Followed> {
  const { terminal, temporal, handle } = options;
  const stop = new AbortController();
  const interrupts = listenForInterrupts(options, stop);
  const printer = new ProgressPrinter(terminal);
  const prompt = terminal.interactive
    ? openPrompt({ terminal, temporal, handle, person: personId(options.person), onInterrupt: interrupts.interrupt })
    : null;
  try {
    const ended = awaitResult(temporal, handle).then((result) => ({ kind: 'ended', result }) as const);
    ended.catch(() => undefined);
    const polling = poll(options, printer, stop.signal, (progress) => prompt?.offer(progress.open));
    const outcome = await Promise.race([ended, interrupts.detached]);
    stop.abort();
    await polling;
    if (outcome.kind === 'ended') await lastLines(options, printer);
    return outcome;
  } finally {
    stop.abort();
    interrupts.close();
    prompt?.close();
  }
}

/** Waits for the result across lost connections; the drill does not depend on us, so neither do we on one connection. */
async function awaitResult(temporal: TemporalAccess, handle: WorkflowHandle): Promise<DrillResult> {
  for (;;) {
    try {
      return (await handle.result()) as DrillResult;
    } catch (error) {
      const known = inOurWords(error, temporal.address);
      if (!(known instanceof GamedayError) || known.code !== 'temporal_unreachable' || !known.retryable) throw known;
      await sleep(1_000);
    }
  }
}

async function poll(
  options: FollowOptions,
  printer: ProgressPrinter,
  signal: AbortSignal,
  onProgress: (progress: DrillProgress) => void,
): Promise<void> {
  const { terminal, temporal, handle } = options;
  const restores = new RestoreWatch(terminal, temporal, handle);
  let lastAnswerNs = monotonicNs();
  let told = false;
  while (!signal.aborted) {
    try {
      const progress = await temporal.call(() => handle.query(progressQuery), QUERY_MS);
      if (signal.aborted) return;
      printer.show(progress);
      onProgress(progress);
      await restores.look(progress);
      lastAnswerNs = monotonicNs();
      if (told) terminal.progress('… the worker answers again');
      told = false;
    } catch (error) {
      if (!told && !signal.aborted && Number(monotonicNs() - lastAnswerNs) / 1e6 > SILENCE_MS) {
        told = true;
        terminal.progress(
          `… no answer for ${SILENCE_MS / 1_000} s (${messageOf(error)}); the drill goes on by itself. \`gameday status\` shows what is broken on purpose`,
        );
      }
    }
    await sleep(POLL_MS, signal).catch(() => undefined);
  }
  restores.end();
}

async function lastLines({ temporal, handle }: FollowOptions, printer: ProgressPrinter): Promise<void> {
  await temporal
    .call(() => handle.query(progressQuery), QUERY_MS)
    .then(
      (progress) => printer.show(progress),
      () => undefined,
    );
}

class ProgressPrinter {
  private shown = 0;
  private zeroMs: number | null = null;
  private phase: DrillProgress['phase'] | null = null;

  constructor(private readonly terminal: Terminal) {}

  show(progress: DrillProgress): void {
    for (const { at, phase, text } of progress.log.slice(this.shown)) {
      this.enter(phase, Date.parse(at));
      this.terminal.progress(`${this.elapsed(Date.parse(at))}  ${text}`);
    }
    this.shown = Math.max(this.shown, progress.log.length);
    this.enter(progress.phase, Date.now());
  }

  private enter(phase: DrillProgress['phase'], atMs: number): void {
    if (phase === this.phase) return;
    this.phase = phase;
    this.terminal.progress(`${this.elapsed(atMs)}  ── ${phase}`);
  }

  /** `  1:07.4`: minutes, seconds and tenths since the first thing seen. */
  private elapsed(ms: number): string {
    this.zeroMs ??= ms;
    return formatElapsed(ms - this.zeroMs);
  }
}

/** `  1:07.4` from 67 400 ms, never negative. */
export function formatElapsed(ms: number): string {
  const tenths = Math.max(0, Math.round(ms / 100));
  const minutes = Math.floor(tenths / 600);
  return `${String(minutes).padStart(3)}:${((tenths % 600) / 10).toFixed(1).padStart(4, '0')}`;
}

interface Interrupts {
  readonly detached: Promise<{ readonly kind: 'detached' }>;
  /** What Ctrl-C does; the prompt calls it too, because it owns the terminal while it asks. */
  readonly interrupt: () => void;
  close(): void;
}

function listenForInterrupts(options: FollowOptions, stop: AbortController): Interrupts {
  const { terminal } = options;
  let count = 0;
  let timer: NodeJS.Timeout | null = null;
  let detach: (value: { readonly kind: 'detached' }) => void = () => undefined;
  const detached = new Promise<{ readonly kind: 'detached' }>((resolve) => (detach = resolve));
  const letGo = (): void => {
    stop.abort();
    terminal.progress('detached: the drill goes on. `gameday status` shows it, `gameday halt` stops and heals it');
    detach({ kind: 'detached' });
  };
  const interrupt = (): void => {
    count += 1;
    if (count === 1) {
      terminal.progress('the drill goes on; Ctrl-C again within 5 s halts and heals');
      timer = setTimeout(letGo, SECOND_INTERRUPT_MS);
    } else if (count === 2) {
      if (timer !== null) clearTimeout(timer);
      void halt(options);
    } else {
      letGo();
    }
  };
  process.on('SIGINT', interrupt);
  return {
    detached,
    interrupt,
    close: () => {
      process.off('SIGINT', interrupt);
      if (timer !== null) clearTimeout(timer);
    },
  };
}

async function halt({ person, ...drill }: FollowOptions): Promise<void> {
  const { terminal } = drill;
  terminal.progress('halting: everything is healed first; Ctrl-C once more leaves it to itself');
  try {
    await haltDrill({ ...drill, halt: { by: personId(person), reason: 'interrupted at the terminal' }, timeoutMs: HALT_MS });
  } catch (error) {
    terminal.progress(
      `the halt was not taken: ${messageOf(error)}. Faults end by themselves when their leases expire; \`gameday halt --all --reason …\` heals without Temporal`,
    );
  }
}
