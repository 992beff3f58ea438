/** Quantities as people write them (`30s`, `16MB`, `0 tx`) and back. Pure. */

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1024,
  KB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
};

function quantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]+)\s*$/.exec(text);
  if (match === null) return null;
  const factor = units[match[2] ?? ''];
  return factor === undefined ? null : Number(match[1]) * factor;
}

/** Milliseconds of `250ms`, `30s`, `5m`, `1.5h`; `0` needs no unit; null if it is no duration. Units as in PostgreSQL, where `min` and `m` mean minutes. */
export function parseDurationMs(text: string): number | null {
  return text.trim() === '0' ? 0 : quantity(text, DURATION_MS);
}

/** Bytes of `64kB`, `16MB`, `1GB` (powers of 1024, as in PostgreSQL); null if it is no size. */
export function parseSizeBytes(text: string): number | null {
  return text.trim() === '0' ? 0 : quantity(text, SIZE_BYTES);
}

/** Transactions of `0 tx`, `12 tx`; null if it is no count. */
export function parseTransactions(text: string): number | null {
  const match = /^\s*([0-9]{1,15})\s*tx\s*$/.exec(text);
  return match === null ? null : Number(match[1]);
}

/** `850 ms`, `4.21 s`, `3 min 20 s`: three significant figures, enough to compare and short enough to read. */
export function formatMs(ms: number): string {
  const abs = Math.abs(ms);
  if (abs < 10) return `${ms.toFixed(1)} ms`;
  if (abs < 1_000) return `${Math.round(ms)} ms`;
  if (abs < 10_000) return `${(ms / 1_000).toFixed(2)} s`;
  if (abs < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (abs < 7_200_000) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

/** `0 B`, `16.0 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let at = 0;
  while (Math.abs(value) >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return at === 0 ? `${value} B` : `${value.toFixed(1)} ${units[at]}`;
}
