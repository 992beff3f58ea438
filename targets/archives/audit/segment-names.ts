/**
 * Names of WAL segments where the segment size is not 16 MB (initdb --wal-segsize): the last eight digits count segments within 4 GB.
 * Pure; numbers are LSN ÷ segment size.
 */

const XLOG_ID_BYTES = 0x100000000;
const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');

/** Null for what is no segment's name at this segment size. */
export function segmentOf(name: string, segmentBytes: number): { readonly timeline: number; readonly no: number } | null {
  const match = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/.exec(name);
  if (match === null) return null;
  const [timeline = 0, id = 0, part = 0] = match.slice(1).map((digits) => Number.parseInt(digits, 16));
  const perId = XLOG_ID_BYTES / segmentBytes;
  return part >= perId || timeline === 0 ? null : { timeline, no: id * perId + part };
}

export function segmentName(timeline: number, no: number, segmentBytes: number): string {
  const perId = XLOG_ID_BYTES / segmentBytes;
  return hex(timeline) + hex(Math.floor(no / perId)) + hex(no % perId);
}

export const segmentStart = (no: number, segmentBytes: number): bigint => BigInt(no) * BigInt(segmentBytes);
export const segmentNo = (lsn: bigint, segmentBytes: number): number => Number(lsn / BigInt(segmentBytes));
