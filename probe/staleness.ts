/**
 * How old the data of a standby was, by the positions that the sampler read: a standby that had received up to P lacks what the primary wrote after it
 * had passed P. Pure; its resolution is the sampler's pace, and it says nothing of a standby that did not answer. Instants in ms since the prober's start.
 */
import { parseLsn } from '../core/lsn';
import type { Interval, ReplicaLag, ReplicaStaleness } from '../model/measurement';
import type { SampleEntry } from './ledger-format';

/** Without an answer of a primary for this long nobody is known to write, and nothing to be stale against: three looks of the sampler. */
const PRIMARY_SILENT_MS = 300;

const ms = (ns: number): number => ns / 1e6;

/** A primary's look: it was at this position at some instant between. */
interface Look extends Interval {
  readonly timeline: number;
  readonly lsn: bigint;
}

/** Bins of the course, as wide as those of the latency. */
const BIN_MS = 1_000;

/** The worst of every standby that ever answered with a position while a primary did, in order of names. */
export function replicaStaleness(samples: readonly SampleEntry[]): readonly ReplicaStaleness[] {
  const worst = new Map<string, ReplicaStaleness>();
  for (const age of agesOf(samples)) worst.set(age.node, worse(worst.get(age.node), age));
  return [...worst.values()].sort((a, b) => (a.node < b.node ? -1 : 1));
}

/** The same over time: the worst of each second, by standby in order of names. A second in which nothing could be told has no bin. */
export function replicaLag(samples: readonly SampleEntry[]): readonly ReplicaLag[] {
  const nodes = new Map<string, Map<number, ReplicaStaleness>>();
  for (const age of agesOf(samples)) {
    const bins = nodes.get(age.node) ?? new Map<number, ReplicaStaleness>();
    nodes.set(age.node, bins);
    const atMs = Math.floor(age.atMs / BIN_MS) * BIN_MS;
    bins.set(atMs, worse(bins.get(atMs), age));
  }
  return [...nodes]
    .map(([node, bins]) => ({
      node,
      bins: [...bins].sort(([a], [b]) => a - b).map(([atMs, { lowMs, highMs }]) => ({ atMs, lowMs, highMs })),
    }))
    .sort((a, b) => (a.node < b.node ? -1 : 1));
}

/** Every look at a standby that a primary's answer stood shortly before. */
function agesOf(samples: readonly SampleEntry[]): readonly ReplicaStaleness[] {
  const looks: Look[] = [];
  const ages: ReplicaStaleness[] = [];
  for (const { node, role, timeline, lsn, askedNs, answeredNs } of inOrderOfAnswers(samples)) {
    if (timeline === null || lsn === null) continue;
    const look: Look = { lowMs: ms(askedNs), highMs: ms(answeredNs), timeline, lsn: parseLsn(lsn) };
    if (role === 'primary') addLook(looks, look);
    if (role !== 'standby') continue;
    const age = ageOf(look, looks);
    if (age !== null) ages.push({ node, ...age, atMs: look.lowMs });
  }
  return ages;
}

/** The highest of both ends, dated by the one that may be longer. */
function worse(before: ReplicaStaleness | undefined, now: ReplicaStaleness): ReplicaStaleness {
  if (before === undefined) return now;
  const lowMs = Math.max(before.lowMs, now.lowMs);
  if (before.highMs === null || now.highMs === null) return { ...(now.lowMs > before.lowMs ? now : before), lowMs, highMs: null };
  return { ...(now.highMs > before.highMs ? now : before), lowMs, highMs: Math.max(before.highMs, now.highMs) };
}

function inOrderOfAnswers(samples: readonly SampleEntry[]): readonly SampleEntry[] {
  return [...samples].sort((a, b) => a.answeredNs - b.answeredNs);
}

/** An old primary beside a new one (a lower timeline) writes what nobody keeps: it is no measure. */
function addLook(looks: Look[], look: Look): void {
  const newest = looks.at(-1);
  if (newest === undefined || !isPast(newest, look)) looks.push(look);
}

/** Whether position `a` lies behind `b`; a higher timeline lies behind every lower one. */
function isPast(a: Look, b: Look): boolean {
  return a.timeline === b.timeline ? a.lsn > b.lsn : a.timeline > b.timeline;
}

/** Null where no primary had answered shortly before. */
function ageOf(standby: Look, looks: readonly Look[]): Pick<ReplicaStaleness, 'lowMs' | 'highMs'> | null {
  const newest = looks.at(-1);
  if (newest === undefined || standby.lowMs - newest.highMs > PRIMARY_SILENT_MS) return null;
  let low = 0;
  let high = looks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isPast(looks[middle] as Look, standby)) high = middle;
    else low = middle + 1;
  }
  // `low` is the first look at which the primary had passed it.
  const held = looks[low - 1];
  const passed = looks[low];
  if (held === undefined) return { lowMs: Math.max(0, standby.lowMs - (looks[0] as Look).highMs), highMs: null };
  if (passed === undefined) return { lowMs: 0, highMs: Math.max(0, standby.highMs - held.lowMs) };
  // Where no primary answered in between, as in a failover, nobody is known to have written before shortly before the next one did.
  const wasSilent = passed.lowMs - held.highMs > PRIMARY_SILENT_MS;
  const sinceMs = wasSilent ? passed.lowMs - PRIMARY_SILENT_MS : held.lowMs;
  return { lowMs: Math.max(0, standby.lowMs - passed.highMs), highMs: Math.max(0, standby.highMs - sinceMs) };
}
