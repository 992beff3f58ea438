/**
 * Shows how far the restores of a drill are while they go on. It reads the heartbeats of their activities in Temporal and asks no worker; nothing of it is kept,
 * and nothing of it decides anything.
 */
import type { WorkflowHandle } from '@temporalio/client';
import { arrayFromPayloads } from '@temporalio/common';
import { monotonicNs } from '../core/clock';
import type { DrillProgress } from '../model/message';
import { readTold, RestoreMeter, type RestoreTold } from './restore-meter';
import type { TemporalAccess } from './temporal';
import type { Terminal } from './terminal';

/** Heartbeats come every two seconds. */
const LOOK_EVERY_MS = 1_000;
const CALL_MS = 3_000;
/** Where a line cannot be written over: one when a phase begins, and then this often. */
const LINE_EVERY_MS = 10_000;
/** Name of the activity. */
const RESTORE = 'restore';

export class RestoreWatch {
  private readonly meters = new Map<string, RestoreMeter>();
  private readonly printed = new Map<string, { readonly phase: string; readonly atMs: number }>();
  private lookedAtMs = -Infinity;

  constructor(
    private readonly terminal: Terminal,
    private readonly temporal: TemporalAccess,
    private readonly handle: WorkflowHandle,
  ) {}

  /** At most once a second, and never while somebody is asked something. What cannot be read is left out. */
  async look({ phase, open }: DrillProgress): Promise<void> {
    const nowMs = Number(monotonicNs() / 1_000_000n);
    if (phase !== 'method' || open.length > 0) return this.end();
    if (nowMs - this.lookedAtMs < LOOK_EVERY_MS) return;
    this.lookedAtMs = nowMs;
    const lines = (await this.told()).map((told) => ({ told, line: this.meterOf(told.step).line(told, nowMs) }));
    if (this.terminal.rewrites) this.terminal.live(lines.length === 0 ? null : lines.map(({ line }) => line).join(' · '));
    else for (const { told, line } of lines) this.print(told, line, nowMs);
  }

  end(): void {
    this.terminal.live(null);
  }

  private meterOf(step: string): RestoreMeter {
    const meter = this.meters.get(step) ?? new RestoreMeter();
    this.meters.set(step, meter);
    return meter;
  }

  private print({ step, phase }: RestoreTold, line: string, nowMs: number): void {
    const last = this.printed.get(step);
    if (last !== undefined && last.phase === phase && nowMs - last.atMs < LINE_EVERY_MS) return;
    this.printed.set(step, { phase, atMs: nowMs });
    this.terminal.progress(`        …  ${line}`);
  }

  private async told(): Promise<readonly RestoreTold[]> {
    const { temporal, handle } = this;
    const { payloadConverter } = temporal.client.options.loadedDataConverter;
    const described = await temporal.call(() => handle.describe(), CALL_MS).catch(() => null);
    return (described?.raw.pendingActivities ?? []).flatMap(({ activityType, heartbeatDetails }) => {
      if (activityType?.name !== RESTORE) return [];
      const [details] = arrayFromPayloads(payloadConverter, heartbeatDetails?.payloads);
      return readTold(details) ?? [];
    });
  }
}
