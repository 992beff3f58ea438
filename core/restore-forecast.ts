/**
 * How long restores will take: from the measured phases of earlier ones and the growth of what is restored. Medians, because one slow drill is no trend.
 * Pure; it never guesses: what earlier restores do not show is null, and `why` says so.
 */
import type { RestoreRecord } from '../model/record';

/** One restore that was measured; milliseconds and bytes. */
export interface RestoreSample {
  /** RFC 3339 UTC. */
  readonly at: string;
  readonly locateMs: number;
  readonly baseMs: number;
  readonly baseBytes: number;
  readonly replayMs: number;
  readonly walBytes: number;
  readonly promoteMs: number;
}

/** What a drill's record tells of one of its restores; null where a phase was not measured. */
export function sampleOf({ phases }: Pick<RestoreRecord, 'phases'>, at: string): RestoreSample | null {
  const find = (name: RestorePhase): RestoreRecord['phases'][number] | undefined => phases.find((phase) => phase.name === name);
  const [locate, base, replay, promote] = RESTORE_PHASES.map(find);
  if (locate === undefined || base === undefined || replay === undefined || promote === undefined) return null;
  return {
    at,
    locateMs: locate.ms,
    baseMs: base.ms,
    baseBytes: base.bytes ?? 0,
    replayMs: replay.ms,
    walBytes: replay.bytes ?? 0,
    promoteMs: promote.ms,
  };
}

export const RESTORE_PHASES = ['locate', 'base', 'replay', 'promote'] as const;
export type RestorePhase = (typeof RESTORE_PHASES)[number];

/** `bytesPerS` null: so little was moved that no rate follows. */
export interface RestoreRates {
  readonly n: number;
  readonly locateMs: number;
  readonly baseBytesPerS: number | null;
  readonly walBytesPerS: number | null;
  readonly promoteMs: number;
}

export type ExpectedRestore = { readonly [Phase in RestorePhase]: number } & { readonly total: number };

export interface RestoreForecast {
  readonly rates: RestoreRates;
  readonly today: ExpectedRestore;
  readonly doubled: ExpectedRestore;
  readonly dominating: { readonly phase: RestorePhase; readonly share: number; readonly advice: string };
  /** Of what a base backup holds. */
  readonly growthBytesPerDay: number | null;
  /** Day from which a restore takes longer than the target, `2027-03-01`; null: not within ten years, or not known, as `why` says. */
  readonly missedOn: string | null;
  readonly why: string;
}

const DAY_MS = 86_400_000;
const HORIZON_DAYS = 3_650;
/** Growth over less than this is noise. */
const MIN_SPAN_DAYS = 1;
/** One replaying process does some 95 MB/s on two cores without waiting for WAL (measured); far below it, it waits. */
const REPLAY_BOUND_BYTES_PER_S = 60e6;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? 0) + upper) / 2;
}

const rate = (pairs: readonly (readonly [bytes: number, ms: number])[]): number | null => {
  const rates = pairs.flatMap(([bytes, ms]) => (bytes > 0 && ms > 0 ? [(bytes / ms) * 1_000] : []));
  return rates.length === 0 ? null : median(rates);
};

/** Null without a sample. */
export function restoreRates(samples: readonly RestoreSample[]): RestoreRates | null {
  if (samples.length === 0) return null;
  return {
    n: samples.length,
    locateMs: median(samples.map(({ locateMs }) => locateMs)),
    baseBytesPerS: rate(samples.map(({ baseBytes, baseMs }) => [baseBytes, baseMs] as const)),
    walBytesPerS: rate(samples.map(({ walBytes, replayMs }) => [walBytes, replayMs] as const)),
    promoteMs: median(samples.map(({ promoteMs }) => promoteMs)),
  };
}

/** Null where a rate is missing that these bytes need. */
export function expectRestore(rates: RestoreRates, baseBytes: number, walBytes: number): ExpectedRestore | null {
  const ms = (bytes: number, bytesPerS: number | null): number | null =>
    bytes === 0 ? 0 : bytesPerS === null ? null : (bytes / bytesPerS) * 1_000;
  const base = ms(baseBytes, rates.baseBytesPerS);
  const replay = ms(walBytes, rates.walBytesPerS);
  if (base === null || replay === null) return null;
  const { locateMs: locate, promoteMs: promote } = rates;
  return { locate, base, replay, promote, total: locate + base + replay + promote };
}

/** Bytes a day by least squares over the sizes; null when they span less than a day. */
export function growthPerDay(sizes: readonly { readonly at: string; readonly bytes: number }[]): number | null {
  const points = sizes.map(({ at, bytes }) => [Date.parse(at) / DAY_MS, bytes] as const).filter(([day]) => !Number.isNaN(day));
  const days = points.map(([day]) => day);
  if (points.length < 2 || Math.max(...days) - Math.min(...days) < MIN_SPAN_DAYS) return null;
  const meanDay = days.reduce((sum, day) => sum + day, 0) / points.length;
  const meanBytes = points.reduce((sum, [, bytes]) => sum + bytes, 0) / points.length;
  const over = points.reduce((sum, [day]) => sum + (day - meanDay) ** 2, 0);
  return points.reduce((sum, [day, bytes]) => sum + (day - meanDay) * (bytes - meanBytes), 0) / over;
}

/** Null when there is nothing to go by. `base` and `wal`: what a restore would move today; `sizes`: backups over time; `targetMs` null: no target. */
export function forecastRestore(facts: {
  readonly samples: readonly RestoreSample[];
  readonly baseBytes: number;
  readonly walBytes: number;
  readonly sizes: readonly { readonly at: string; readonly bytes: number }[];
  readonly targetMs: number | null;
  readonly now: string;
}): RestoreForecast | null {
  const rates = restoreRates(facts.samples);
  const today = rates === null ? null : expectRestore(rates, facts.baseBytes, facts.walBytes);
  const doubled = rates === null ? null : expectRestore(rates, facts.baseBytes * 2, facts.walBytes * 2);
  if (rates === null || today === null || doubled === null) return null;
  const growthBytesPerDay = growthPerDay(facts.sizes);
  const miss = findMiss(rates, today, growthBytesPerDay, facts.targetMs, facts.now);
  return { rates, today, doubled, dominating: dominatingPhase(rates, today), growthBytesPerDay, ...miss };
}

function findMiss(
  { baseBytesPerS }: RestoreRates,
  today: ExpectedRestore,
  growth: number | null,
  targetMs: number | null,
  now: string,
): Pick<RestoreForecast, 'missedOn' | 'why'> {
  if (targetMs === null) return { missedOn: null, why: 'no target for restore time is known' };
  if (today.total > targetMs) return { missedOn: now.slice(0, 10), why: 'the target is missed already' };
  if (growth === null || baseBytesPerS === null) return { missedOn: null, why: 'backups span less than a day, so growth is not known' };
  if (growth <= 0) return { missedOn: null, why: 'what is backed up does not grow' };
  const days = ((targetMs - today.total) / 1_000) * (baseBytesPerS / growth);
  if (days > HORIZON_DAYS) return { missedOn: null, why: 'not within ten years at this growth' };
  return {
    missedOn: new Date(Date.parse(now) + days * DAY_MS).toISOString().slice(0, 10),
    why: 'by the growth of base backups, with as much WAL to replay as today',
  };
}

/** The longest phase of a restore and what would shorten it. */
export function dominatingPhase(rates: RestoreRates, expected: ExpectedRestore): RestoreForecast['dominating'] {
  const phase = RESTORE_PHASES.reduce((longest, each) => (expected[each] > expected[longest] ? each : longest));
  return { phase, share: expected.total === 0 ? 0 : expected[phase] / expected.total, advice: adviceFor(phase, rates) };
}

function adviceFor(phase: RestorePhase, { walBytesPerS }: RestoreRates): string {
  switch (phase) {
    case 'locate':
      return 'listing the archive takes longest: keep fewer backups and segments under one prefix, or expire old ones.';
    case 'base':
      return 'fetching the base takes longest: more downloads at once (pgBackRest process-max, WALG_DOWNLOAD_CONCURRENCY), a faster disk, or a delta onto what is there.';
    case 'replay':
      return walBytesPerS !== null && walBytesPerS < REPLAY_BOUND_BYTES_PER_S
        ? 'replay waits for WAL: fetch is bound by latency, so prefetch (pgBackRest archive-async with a large archive-get-queue-max); besides, back up more often.'
        : 'replay itself takes longest, and one process does it: back up more often, so that there is less WAL to replay.';
    case 'promote':
      return 'the end of recovery takes longest: its checkpoint writes what replay left dirty; give it a faster disk.';
  }
}
