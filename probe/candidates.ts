/**
 * How long no standby could have taken over without losing what was acknowledged, by what the sampler saw and the ledger holds. A standby is a safe candidate
 * that answers, is in recovery on the primary's timeline, and lies past the row of every write that was acknowledged up to the look before. Pure; instants in
 * ms since the prober's start. What was not looked at is neither safe nor unsafe: it counts in the high end alone.
 */
import { parseLsn } from '../core/lsn';
import type { CandidateLack, Interval, NoCandidateSpan, NoSafeCandidate } from '../model/measurement';
import type { OutcomeEntry, SampleEntry } from './ledger-format';

/** Three looks of the sampler: a primary that has not answered for longer acknowledges nothing, a standby of which nothing was heard for longer is unknown. */
const MISSING_MS = 300;
/** Acknowledgements within this time are kept as their highest position and the instant at which the last of them came. */
const BUCKET_MS = 10;
const MAX_SPANS = 20;

const ms = (ns: number): number => ns / 1e6;

interface Bucket {
  lastMs: number;
  lsn: number;
}

/** Positions of acknowledged writes by timeline, kept small: the highest of each bucket that lies above all before. */
export class AckTrail {
  private readonly byTimeline = new Map<number, Bucket[]>();

  /** In the order in which outcomes were observed. A server that tells no position says nothing here. */
  add({ outcome, doneNs, timeline, lsn }: Pick<OutcomeEntry, 'outcome' | 'doneNs' | 'timeline' | 'lsn'>): void {
    if (outcome !== 'acked' || timeline === null || lsn === null) return;
    const buckets = this.byTimeline.get(timeline) ?? [];
    this.byTimeline.set(timeline, buckets);
    const newest = buckets.at(-1);
    if (newest !== undefined && lsn <= newest.lsn) return;
    const doneMs = ms(doneNs);
    if (newest !== undefined && Math.floor(newest.lastMs / BUCKET_MS) === Math.floor(doneMs / BUCKET_MS)) {
      newest.lastMs = Math.max(newest.lastMs, doneMs);
      newest.lsn = lsn;
    } else buckets.push({ lastMs: doneMs, lsn });
  }

  /** The highest position of a row that was acknowledged on this timeline up to then; null: of none. */
  highest(timeline: number, untilMs: number): bigint | null {
    const buckets = this.byTimeline.get(timeline) ?? [];
    let low = 0;
    let high = buckets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((buckets[middle] as Bucket).lastMs <= untilMs) low = middle + 1;
      else high = middle;
    }
    const found = buckets[low - 1];
    return found === undefined ? null : BigInt(found.lsn);
  }
}

type State = 'safe' | 'unknown' | CandidateLack;

/** One node, looked at: what it was at some instant between. */
interface Look extends Interval {
  readonly state: State;
}

interface PrimaryLook extends Interval {
  readonly timeline: number;
  readonly lsn: bigint;
}

/** `nodes`: all that the sampler was told to ask; one that never answered anything is unknown. Null where no primary ever answered. */
export function noSafeCandidate(samples: readonly SampleEntry[], acks: AckTrail, nodes: readonly string[]): NoSafeCandidate | null {
  const primaries = primaryLooks(samples);
  const [firstPrimary] = primaries;
  if (firstPrimary === undefined) return null;
  const looks = new Map<string, Look[]>(nodes.map((node) => [node, []]));
  for (const sample of [...samples].sort((a, b) => a.answeredNs - b.answeredNs)) {
    const own = looks.get(sample.node) ?? [];
    looks.set(sample.node, own);
    own.push({ lowMs: ms(sample.askedNs), highMs: ms(sample.answeredNs), state: stateOf(sample, primaries, acks) });
  }
  const toMs = samples.reduce((last, { answeredNs }) => Math.max(last, ms(answeredNs)), 0);
  const fromMs = beginning(looks, firstPrimary);
  const all = [...looks.values()];
  const within = { fromMs, toMs };
  const safe = all.flatMap((own) => stretches(own, toMs, (state) => state === 'safe'));
  const possibly = gapsBetween(safe, within);
  const surely = all
    .map((own) => stretches(own, toMs, (state) => state !== 'safe' && state !== 'unknown'))
    .reduce((both, next) => overlaps(both, next), [within]);
  const spans = possibly.map((span) => describe(span, surely, looks));
  return {
    fromMs,
    toMs,
    total: { lowMs: sumOf(surely), highMs: sumOf(possibly) },
    lasting: all.every((own) => own.at(-1)?.state !== 'safe'),
    count: spans.length,
    spans: longest(spans),
  };
}

/** Those that do not fall back behind a timeline seen before: an old primary beside a new one is no measure. */
function primaryLooks(samples: readonly SampleEntry[]): readonly PrimaryLook[] {
  const looks: PrimaryLook[] = [];
  for (const { role, timeline, lsn, askedNs, answeredNs } of [...samples].sort((a, b) => a.answeredNs - b.answeredNs)) {
    if (role !== 'primary' || timeline === null || lsn === null || timeline < (looks.at(-1)?.timeline ?? 0)) continue;
    looks.push({ lowMs: ms(askedNs), highMs: ms(answeredNs), timeline, lsn: parseLsn(lsn) });
  }
  return looks;
}

function stateOf({ role, timeline, lsn, askedNs }: SampleEntry, primaries: readonly PrimaryLook[], acks: AckTrail): State {
  if (role !== 'standby') return role;
  const askedMs = ms(askedNs);
  const before = newestBefore(primaries, askedMs);
  if (before === null || timeline === null || lsn === null) return 'unknown';
  if (timeline !== before.timeline) return timeline < before.timeline ? 'timeline' : 'unknown';
  // While the primary answers, what is under way now is ordinary; once it is silent, all that was ever acknowledged must be there.
  const untilMs = askedMs - before.highMs > MISSING_MS ? askedMs : before.lowMs;
  const acked = acks.highest(timeline, untilMs);
  const position = parseLsn(lsn);
  if (acked !== null) return position > acked ? 'safe' : 'behind';
  // Nobody wrote through the prober: the primary's own position is the only measure, and it runs ahead of what was promised.
  return position >= before.lsn ? 'safe' : 'unknown';
}

function newestBefore(primaries: readonly PrimaryLook[], atMs: number): PrimaryLook | null {
  let low = 0;
  let high = primaries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((primaries[middle] as PrimaryLook).highMs <= atMs) low = middle + 1;
    else high = middle;
  }
  return primaries[low - 1] ?? null;
}

/** When watching began: once every node was looked at with a primary to hold it against, and not much later for one that says nothing. */
function beginning(looks: ReadonlyMap<string, readonly Look[]>, { highMs: sinceMs }: PrimaryLook): number {
  const first = [...looks.values()].flatMap((own) => own.find(({ lowMs }) => lowMs >= sinceMs)?.highMs ?? []);
  return Math.min(Math.max(sinceMs, ...first), sinceMs + MISSING_MS);
}

interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Where a node surely was so: from its first look of a kind to the last before another kind, or before a gap. Whom nobody could ask could not be asked at the
 * asking, and perhaps again before that was known; whatever else a look says was so at some instant of it. The last look of all holds until the sampler ended.
 */
function stretches(looks: readonly Look[], endMs: number, isSo: (state: State) => boolean): readonly Stretch[] {
  const found: { fromMs: number; toMs: number }[] = [];
  let open: { fromMs: number; toMs: number } | null = null;
  for (const [at, look] of looks.entries()) {
    const before = looks[at - 1];
    if (open !== null && (!isSo(look.state) || look.lowMs - (before?.highMs ?? 0) > MISSING_MS)) open = null;
    if (!isSo(look.state)) continue;
    if (open === null) {
      open = { fromMs: look.state === 'down' ? look.lowMs : look.highMs, toMs: look.lowMs };
      found.push(open);
    }
    open.toMs = look.lowMs;
  }
  if (open !== null && endMs - (looks.at(-1)?.highMs ?? 0) <= MISSING_MS) open.toMs = endMs;
  return found.filter(({ fromMs, toMs }) => fromMs < toMs);
}

/** What of the whole is covered by none. */
function gapsBetween(covered: readonly Stretch[], whole: Stretch): readonly Stretch[] {
  const gaps: Stretch[] = [];
  let at = whole.fromMs;
  for (const { fromMs, toMs } of [...covered].sort((a, b) => a.fromMs - b.fromMs)) {
    if (fromMs >= whole.toMs) break;
    if (fromMs > at) gaps.push({ fromMs: at, toMs: fromMs });
    at = Math.max(at, toMs);
  }
  if (at < whole.toMs) gaps.push({ fromMs: at, toMs: whole.toMs });
  return gaps;
}

/** What lies in one of either; both in order, and none overlapping within its own list. */
function overlaps(a: readonly Stretch[], b: readonly Stretch[]): readonly Stretch[] {
  const found: Stretch[] = [];
  for (let [i, j] = [0, 0]; i < a.length && j < b.length;) {
    const [left, right] = [a[i] as Stretch, b[j] as Stretch];
    const both = { fromMs: Math.max(left.fromMs, right.fromMs), toMs: Math.min(left.toMs, right.toMs) };
    if (both.fromMs < both.toMs) found.push(both);
    if (left.toMs < right.toMs) i += 1;
    else j += 1;
  }
  return found;
}

function sumOf(list: readonly Stretch[]): number {
  return list.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
}

/** What each standby lacked, by its first look in the span that says so. */
function describe(span: Stretch, surely: readonly Stretch[], looks: ReadonlyMap<string, readonly Look[]>): NoCandidateSpan {
  const standbys = [...looks].flatMap(([node, own]) => {
    const found = own.find(({ state, lowMs, highMs }) => highMs >= span.fromMs && lowMs <= span.toMs && isLack(state));
    return found !== undefined && isLack(found.state) ? [{ node, lack: found.state }] : [];
  });
  return { ...span, lowMs: sumOf(overlaps([span], surely)), standbys: standbys.filter(({ lack }) => lack !== 'primary') };
}

function isLack(state: State): state is CandidateLack {
  return state !== 'safe' && state !== 'unknown';
}

function longest(spans: readonly NoCandidateSpan[]): readonly NoCandidateSpan[] {
  const length = ({ fromMs, toMs }: NoCandidateSpan): number => toMs - fromMs;
  return [...spans]
    .sort((a, b) => length(b) - length(a))
    .slice(0, MAX_SPANS)
    .sort((a, b) => a.fromMs - b.fromMs);
}
