/**
 * Which commits a restore had to replay, told from the order of commits in WAL and from what was asked for, without looking at the restored server. Pure.
 * The rules are those of recovery itself (PostgreSQL: recoveryStopsBefore and recoveryStopsAfter in xlogrecovery.c).
 */
import { parseLsn, WAL_SEGMENT_BYTES } from '../core/lsn';

export interface Commit {
  /** Decimal, 32 bits. */
  readonly xid: string;
  /** Start of the commit record. */
  readonly lsn: string;
  /** `2026-11-23 04:30:00.123456 UTC`. */
  readonly time: string;
}

export type Boundary =
  | { readonly kind: 'xid'; readonly xid: string; readonly inclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: string; readonly inclusive: boolean }
  | { readonly kind: 'time'; readonly time: string }
  /** Everything whose record starts before it. */
  | { readonly kind: 'end'; readonly lsn: string };

const PAGE_BYTES = 8_192n;
/** Headers of a page, and of a segment's first page (XLogPageHeaderData, XLogLongPageHeaderData). */
const HEADER_BYTES = 24n;
const LONG_HEADER_BYTES = 40n;

/** How many of the commits, which come in WAL order, must be there; null: these commits do not tell. */
export function commitsDemanded(boundary: Boundary, commits: readonly Commit[]): number | null {
  switch (boundary.kind) {
    case 'xid': {
      const wanted = String(BigInt(boundary.xid) & 0xffffffffn);
      const at = commits.findIndex(({ xid }) => xid === wanted);
      return at < 0 ? null : boundary.inclusive ? at + 1 : at;
    }
    case 'lsn': {
      const target = recordAt(parseLsn(boundary.lsn));
      return countWhile(commits, ({ lsn }) => (boundary.inclusive ? parseLsn(lsn) <= target : parseLsn(lsn) < target));
    }
    case 'end': {
      const end = parseLsn(boundary.lsn);
      return countWhile(commits, ({ lsn }) => parseLsn(lsn) < end);
    }
    case 'time': {
      const target = microsOf(boundary.time);
      const times = commits.map(({ time }) => microsOf(time));
      // Recovery stops at the first commit behind the target, whatever comes after it.
      const at = times.findIndex((time) => time !== null && target !== null && time > target);
      return target === null || at < 0 ? null : at;
    }
  }
}

/** A position at the start of a page is where the record behind the page's header starts. */
function recordAt(lsn: bigint): bigint {
  if (lsn % WAL_SEGMENT_BYTES === 0n) return lsn + LONG_HEADER_BYTES;
  return lsn % PAGE_BYTES === 0n ? lsn + HEADER_BYTES : lsn;
}

function countWhile<T>(list: readonly T[], holds: (item: T) => boolean): number {
  const at = list.findIndex((item) => !holds(item));
  return at < 0 ? list.length : at;
}

/** Microseconds since 1970 of `2026-11-23 04:30:00.123456 UTC`, `…+00` or RFC 3339; null for anything else. */
export function microsOf(time: string): bigint | null {
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s*(UTC|Z|[+-]\d\d(?::?\d\d)?)?$/.exec(time.trim());
  if (match === null) return null;
  const [, date, clock, fraction = '', zone = 'Z'] = match;
  const offset = zone === 'UTC' || zone === 'Z' ? 'Z' : zone.length === 3 ? `${zone}:00` : zone.replace(/^(...)(\d\d)$/, '$1:$2');
  const seconds = Date.parse(`${date}T${clock}${offset}`);
  return Number.isNaN(seconds) ? null : BigInt(seconds) * 1_000n + BigInt(fraction.padEnd(6, '0').slice(0, 6));
}
