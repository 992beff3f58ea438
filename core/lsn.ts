/** WAL positions and segment names (PostgreSQL: src/include/access/xlog_internal.h, default 16 MB segments). Pure; positions are bigint. */
import { assert } from './assert';

export const WAL_SEGMENT_BYTES = 16n * 1024n * 1024n;
const SEGMENTS_PER_XLOG_ID = 0x100000000n / WAL_SEGMENT_BYTES;

export function parseLsn(text: string): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  assert(match?.[1] !== undefined && match[2] !== undefined, `${text} is a WAL position`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

/** 24 hex digits: timeline, xlog id, segment. `lsn` may be any position within the segment. */
export function walSegmentName(timeline: number, lsn: bigint): string {
  const number = lsn / WAL_SEGMENT_BYTES;
  const part = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');
  return part(BigInt(timeline)) + part(number / SEGMENTS_PER_XLOG_ID) + part(number % SEGMENTS_PER_XLOG_ID);
}

/** Null for anything that is not a full segment's name (history, backup label, partial). */
export function parseWalSegmentName(name: string): { readonly timeline: number; readonly start: bigint } | null {
  const match = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/.exec(name);
  if (match === null) return null;
  const [, timeline, id, segment] = match;
  return {
    timeline: Number(`0x${timeline}`),
    start: (BigInt(`0x${id}`) * SEGMENTS_PER_XLOG_ID + BigInt(`0x${segment}`)) * WAL_SEGMENT_BYTES,
  };
}
