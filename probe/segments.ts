/**
 * Where the minutes went: the span from t0 to t_rec cut at the instants that were observed. A boundary that was not observed merges its two
 * segments; a segment is never zero for lack of data, and the segments always reach from t0 to t_rec. Pure.
 */
import type { Interval, Segment } from '../model/measurement';
import type { ReceiptName } from './contract';
import { narrowedBy, type Boundaries, type Watched } from './controller-log';
import type { ControllerEntry, ReceiptEntry } from './ledger-format';
import type { Promotion } from './nodes';

const BOUNDARIES: readonly { readonly ends: string; readonly receipt: ReceiptName | null }[] = [
  { ends: 'detection', receipt: 'detect' },
  { ends: 'decision', receipt: 'decide' },
  { ends: 'promotion', receipt: 'promote' },
  { ends: 'routing', receipt: 'route' },
  { ends: 'client recovery', receipt: null },
];

/** What was observed of a failover, by whom it was seen. */
interface Seen {
  readonly receipts: readonly ReceiptEntry[];
  readonly promotions: readonly Promotion[];
  readonly controller: readonly ControllerEntry[];
  readonly logged: Boundaries;
}

const NOTHING_LOGGED: Boundaries = { detect: null, decide: null };

/** `logged`: between which instants the controller's own logs put what its answers are watched for. */
export function segmentsOf(
  t0: Interval,
  tRec: Interval,
  receipts: readonly ReceiptEntry[],
  promotions: readonly Promotion[],
  controller: readonly ControllerEntry[] = [],
  logged: Boundaries = NOTHING_LOGGED,
): readonly Segment[] {
  const segments: Segment[] = [];
  let from = t0;
  let names: string[] = [];
  for (const { ends, receipt } of BOUNDARIES) {
    names.push(ends);
    const to = receipt === null ? tRec : boundaryOf(receipt, t0, tRec, { receipts, promotions, controller, logged });
    // Out of order means that the observation is of something else; the two segments are told as one.
    if (to === null || to.highMs < from.lowMs || (receipt !== null && to.lowMs > tRec.highMs)) continue;
    segments.push({
      name: names.join('+'),
      from,
      to,
      ms: { lowMs: Math.max(0, to.lowMs - from.highMs), highMs: Math.max(0, to.highMs - from.lowMs) },
    });
    from = to;
    names = [];
  }
  return segments;
}

function boundaryOf(name: ReceiptName, t0: Interval, tRec: Interval, { receipts, promotions, controller, logged }: Seen): Interval | null {
  const byReceipt = receiptInterval(name, t0, tRec, receipts);
  if (byReceipt === null && (name === 'detect' || name === 'decide'))
    return narrowedBy(logged, watchedBoundaries(t0, tRec, controller), name);
  if (name !== 'promote') return byReceipt;
  const seen = promotions.find((p) => p.at.highMs >= t0.lowMs && p.at.lowMs <= tRec.highMs)?.at ?? null;
  if (seen === null || byReceipt === null) return seen ?? byReceipt;
  // Two observations of one instant: what both allow; if they exclude each other, the sampler's own.
  const both = { lowMs: Math.max(seen.lowMs, byReceipt.lowMs), highMs: Math.min(seen.highMs, byReceipt.highMs) };
  return both.lowMs <= both.highMs ? both : seen;
}

/** What a controller's answers alone say of an outage. */
export function watchedBoundaries(t0: Interval, tRec: Interval, controller: readonly ControllerEntry[]): Watched {
  return {
    detect: byController('detect', t0, tRec, controller),
    decide: byController('decide', t0, tRec, controller),
    silent: !controller.some(
      ({ error, askedNs, answeredNs }) => error === null && answeredNs / 1e6 > t0.highMs && askedNs / 1e6 <= tRec.highMs,
    ),
  };
}

/** Whom the controller held for the primary when the outage began; null: it did not say. */
export function leaderBefore(t0: Interval, controller: readonly ControllerEntry[]): string | null {
  return controller.findLast(({ error, answeredNs }) => error === null && answeredNs / 1e6 <= t0.highMs)?.primary ?? null;
}

/**
 * A controller that acts by itself is watched: `detect` is when it no longer held the old primary for one, `decide` when it named another. The instant
 * lies between the last answer that did not say so and the first that did.
 */
function byController(name: 'detect' | 'decide', t0: Interval, tRec: Interval, controller: readonly ControllerEntry[]): Interval | null {
  const said = controller.filter(({ error }) => error === null);
  const old = leaderBefore(t0, said);
  if (old === null) return null;
  const at = said.findIndex(
    (entry) =>
      entry.answeredNs / 1e6 > t0.highMs && (name === 'detect' ? entry.primary !== old : entry.primary !== null && entry.primary !== old),
  );
  const [first, before] = [said[at], said[at - 1]];
  if (first === undefined || before === undefined || first.askedNs / 1e6 > tRec.highMs) return null;
  return { lowMs: before.askedNs / 1e6, highMs: first.answeredNs / 1e6 };
}

/**
 * Between "about to" and "done": the first "about to", because what was tried again may have come about at the first try. What was watched for came about
 * after the last look that did not see it had begun, and before "done". With `done` alone, or seen at the first look, it lies somewhere since t0; without `done`
 * nothing is proven.
 */
function receiptInterval(name: ReceiptName, t0: Interval, tRec: Interval, receipts: readonly ReceiptEntry[]): Interval | null {
  const within = receipts.filter((r) => r.name === name && r.atNs / 1e6 >= t0.lowMs && r.atNs / 1e6 <= tRec.highMs);
  const done = within.find((r) => r.phase === 'done');
  if (done === undefined) return null;
  const looks = within.filter((r) => r.phase === 'looking' && r.atNs <= done.atNs);
  const since = looks.length > 0 ? looks.at(-2) : within.find((r) => r.phase === 'about-to' && r.atNs <= done.atNs);
  return { lowMs: since === undefined ? t0.lowMs : since.atNs / 1e6, highMs: done.atNs / 1e6 };
}
