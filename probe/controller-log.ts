/**
 * What the agents' own logs say of a failover, on the prober's clock: which lines fall into the outage, and between which instants they put its detection and
 * decision. A line is written after what it tells of, so it bounds that from above; what the same agent wrote before its decision bounds that from below. Pure.
 */
import { formatMs } from '../core/units';
import type { ControllerLog, Interval, LogInstant } from '../model/measurement';
import type { ClockReading, Clocks, Maybe } from '../model/record';
import type { AgentLog, AgentLogs } from './contract';

/** Members hear of a change one by one, and answer from what they have heard: what lies closer than this is no contradiction. */
const DISAGREE_MS = 1_000;

/** Each boundary as it was watched or told; null: not at all. */
export interface Boundaries {
  readonly detect: Interval | null;
  readonly decide: Interval | null;
}

/** `silent`: the controller answered nobody in the outage, so that what it did not say proves nothing. */
export interface Watched extends Boundaries {
  readonly silent: boolean;
}

/** What is known of the outage without the logs. */
export interface OutageFrame {
  readonly t0: Interval;
  /** The end of the last bound of recovery, or of the ledger. */
  readonly untilMs: number;
  /** Wall clock at the prober's start. */
  readonly epoch: Interval;
  /** Whom the controller held for the primary when the outage began; null: not known, then the logs say. */
  readonly leader: string | null;
}

type AgentLine = Extract<AgentLog, { readonly lines: unknown }>['lines'][number];
/** A line on the prober's clock. */
interface Placed extends AgentLine {
  readonly node: string;
  readonly when: Interval;
}
/** `leads`: of a decision, whom it is for. */
interface Told extends LogInstant {
  readonly leads: string | null;
}

export interface LogReading extends Boundaries, Pick<ControllerLog, 'instants' | 'notRecorded'> {}

export function readControllerLog({ nodes, clocks }: AgentLogs, frame: OutageFrame): LogReading {
  const notRecorded: { node: string; reason: string }[] = [];
  const placed = nodes
    .flatMap((log): readonly Placed[] => {
      const { node } = log;
      const offset = offsetOf(node, clocks);
      if ('notRecorded' in log) notRecorded.push({ node, reason: log.notRecorded });
      else if ('notRecorded' in offset) notRecorded.push({ node, reason: offset.notRecorded });
      else return log.lines.map((line) => ({ ...line, node, when: place(line, offset, frame.epoch) }));
      return [];
    })
    .sort((a, b) => a.when.lowMs - b.when.lowMs);
  const leader =
    frame.leader ?? placed.findLast(({ when, leader: named }) => when.highMs < frame.t0.lowMs && named !== null)?.leader ?? null;
  const told = placed
    .filter(({ when }) => when.highMs >= frame.t0.lowMs && when.lowMs <= frame.untilMs)
    .flatMap((line) => tellingOf(line, leader))
    .filter((each, at, all) => all.findIndex(({ node, means }) => node === each.node && means === each.means) === at);
  const instants = told.map(({ leads: _, ...instant }) => instant);
  return { instants, notRecorded, ...boundariesOf(told, leader, frame.t0) };
}

/** Who names another leader than the one before tells of a decision; the same one again, of nothing. */
function tellingOf({ node, means, leader, words, when }: Placed, before: string | null): readonly Told[] {
  if (means !== 'names') return [{ node, means, words, at: when, leads: means === 'decided' ? node : null }];
  return before === null || leader === before ? [] : [{ node, means: 'decided', words, at: when, leads: leader }];
}

/** The old leader's own lines tell how it fared: it may give up before anybody else can notice. */
function boundariesOf(told: readonly Told[], leader: string | null, t0: Interval): Boundaries {
  const noticed = told.find(({ means, node }) => means === 'noticed' && node !== leader);
  const decided = told.find(({ means }) => means === 'decided');
  const asked = told.find(({ means, node }) => means === 'noticed' && node === decided?.leads && node !== leader);
  // Whoever takes the key asks for the others' positions first.
  const sinceMs = asked === undefined || decided === undefined || asked.at.lowMs > decided.at.highMs ? t0.lowMs : asked.at.lowMs;
  return {
    detect: noticed === undefined ? null : { lowMs: t0.lowMs, highMs: noticed.at.highMs },
    decide: decided === undefined ? null : { lowMs: sinceMs, highMs: decided.at.highMs },
  };
}

/** Rounded outwards to microseconds, as offsets are. */
function place({ at, resolutionMs }: AgentLine, offset: Interval, epoch: Interval): Interval {
  const stamp = Date.parse(at);
  return {
    lowMs: Math.floor((stamp - offset.highMs - epoch.highMs) * 1_000) / 1_000,
    highMs: Math.ceil((stamp + resolutionMs - offset.lowMs - epoch.lowMs) * 1_000) / 1_000,
  };
}

/** The node's clock less the reference's, over both looks at it: between them it may have run from one to the other. */
function offsetOf(node: string, clocks: Maybe<Clocks>): Maybe<Interval> {
  if ('notRecorded' in clocks) return clocks;
  const looks = [clocks.before, clocks.after].flatMap((reading) => ('notRecorded' in reading ? [] : offsetIn(reading, node)));
  // One look says nothing of where it ran to.
  if (looks.length < 2) return { notRecorded: 'how far its node’s clock is off was not measured before and after' };
  return { lowMs: Math.min(...looks.map(({ lowMs }) => lowMs)), highMs: Math.max(...looks.map(({ highMs }) => highMs)) };
}

function offsetIn({ nodes }: ClockReading, node: string): readonly Interval[] {
  const offset = nodes.find((each) => each.node === node)?.offset;
  return offset === undefined || 'notRecorded' in offset ? [] : [offset];
}

/** What both allow: what was watched itself where the logs add nothing to it, or exclude it. They stand alone where nothing could be watched. */
export function narrowedBy(told: Boundaries, { silent, ...seen }: Watched, name: keyof Boundaries): Interval | null {
  const [said, watched] = [told[name], seen[name]];
  if (said === null || watched === null) return silent ? said : watched;
  const both = { lowMs: Math.max(watched.lowMs, said.lowMs), highMs: Math.min(watched.highMs, said.highMs) };
  const isCloser = both.lowMs > watched.lowMs || both.highMs < watched.highMs;
  return isCloser && both.lowMs <= both.highMs ? both : watched;
}

/** Beside what was watched: which segments end closer, and what cannot be true together. */
export function weighControllerLog({ instants, notRecorded, ...told }: LogReading, watched: Watched): ControllerLog {
  const ends = [
    { name: 'detection', of: 'detect' },
    { name: 'decision', of: 'decide' },
  ] as const;
  return {
    instants,
    notRecorded,
    narrowed: ends.flatMap(({ name, of }) => (narrowedBy(told, watched, of) === watched[of] ? [] : [name])),
    contradictions: ends.flatMap(({ name, of }) => {
      const apart = apartWords(told[of], watched[of]);
      return apart === null ? [] : [`by the agents’ own logs the controller’s ${name} came ${apart} its answers say`];
    }),
  };
}

function apartWords(told: Interval | null, watched: Interval | null): string | null {
  if (told === null || watched === null) return null;
  if (watched.lowMs - told.highMs > DISAGREE_MS) return `at least ${formatMs(watched.lowMs - told.highMs)} earlier than`;
  return told.lowMs - watched.highMs > DISAGREE_MS ? `at least ${formatMs(told.lowMs - watched.highMs)} later than` : null;
}
