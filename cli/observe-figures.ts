/**
 * The live figures of an observation: one line that is rewritten on a terminal, one every ten seconds elsewhere, and a line of its own whenever clients
 * stop or begin to get answers. They are for whoever watches; what counts is judged from the ledger.
 */
import { formatMs } from '../core/units';
import type { ProberStatus } from '../probe/contract';
import { formatElapsed } from './follow';
import type { Terminal } from './terminal';

const EVERY_MS = 10_000;

export class LiveFiguresShown {
  private lastLineMs = -Infinity;
  private down = false;
  private longestMs = 0;

  constructor(
    private readonly terminal: Terminal,
    private readonly what: 'writes' | 'reads',
  ) {}

  show(status: ProberStatus): void {
    const { outageMs, upMs } = status;
    if (outageMs !== null) this.longestMs = outageMs;
    if (this.down !== (outageMs !== null)) {
      this.down = outageMs !== null;
      const text = this.down
        ? `no ${this.what} for ${formatMs(outageMs ?? 0)}`
        : `${this.what} again after about ${formatMs(this.longestMs)}`;
      this.terminal.progress(`${formatElapsed(upMs)}  ${text}`);
    }
    this.terminal.live(figuresText(status, this.what));
    if (this.terminal.rewrites || upMs - this.lastLineMs < EVERY_MS) return;
    this.lastLineMs = upMs;
    this.terminal.progress(figuresText(status, this.what));
  }
}

/** `  0:12.4  19 of 20 writes in the last second · p50 2.1 ms, p99 4.0 ms · 240 acked, 1 rejected · n1 primary (1)` */
export function figuresText({ upMs, lastSecond, outageMs, nodes, ...counts }: ProberStatus, what: 'writes' | 'reads'): string {
  const { acked, due, p50Ms, p99Ms } = lastSecond;
  const failed = (['rejected', 'indeterminate', 'missed'] as const)
    .filter((name) => counts[name] > 0)
    .map((name) => `, ${counts[name]} ${name}`);
  return [
    `${formatElapsed(upMs)}  ${acked} of ${due} ${what} in the last second`,
    ...(p50Ms === null || p99Ms === null ? [] : [`p50 ${formatMs(p50Ms)}, p99 ${formatMs(p99Ms)}`]),
    `${counts.acked} acked${failed.join('')}`,
    ...(outageMs === null ? [] : [`OUTAGE ${formatMs(outageMs)}`]),
    ...(nodes.length === 0
      ? []
      : [nodes.map(({ node, role, timeline }) => `${node} ${role}${timeline === null ? '' : ` (${timeline})`}`).join(', ')]),
  ].join(' · ');
}
