/**
 * The probe's statements as the bytes that go out, and what their answers say. All of it is made for being done thousands of times a second: only the
 * sequence number changes from one write to the next, values come by position and as the server prints them (each cast and name costs the server time), and
 * are read where they lie. Pure.
 */
import { assert, AssertionFailed } from '../core/assert';
import { queryMessage, type RowView } from './wire-reader';

/** With every acknowledgement the server says who it is: through a pooler, each one may come from another. These two columns come last. */
const IDENTITY = 'pg_postmaster_start_time(), inet_server_addr()';
/** A sequence number stands right-aligned in a field that holds the ledger's greatest, 2^48 - 1. */
const SEQ_WIDTH = 15;
const ZERO = 0x30;
const SLASH = 0x2f;

// SET LOCAL ends with the statements' own transaction, so that a pooler's next client does not inherit it.
const withTimeout = (ms: number | null): string => (ms === null ? '' : `SET LOCAL statement_timeout = ${ms}; `);

/** Writes one row. Each connection has its own. `timeoutMs` null: none. */
export class WriteStatement {
  private readonly bytes: Buffer;
  private readonly seqEnd: number;
  private lastSeq = 0;

  constructor(table: string, stream: number, timeoutMs: number | null) {
    const before = `${withTimeout(timeoutMs)}INSERT INTO gameday.${table} (stream, seq) VALUES (${stream},${' '.repeat(SEQ_WIDTH)}`;
    const position = 'pg_current_wal_insert_lsn()';
    const after = `) RETURNING pg_current_xact_id(), ${position}, pg_walfile_name(${position}), ${IDENTITY}`;
    this.bytes = queryMessage(before + after);
    this.seqEnd = queryMessage(before).length - 1;
  }

  /** The message that writes `seq`, which must be greater than the one before: the same memory every time, so that one must have been answered. */
  message(seq: number): Buffer {
    assert(seq > this.lastSeq && seq < 2 ** 48, 'sequence numbers only grow');
    this.lastSeq = seq;
    let rest = seq;
    for (let at = this.seqEnd - 1; rest > 0; at -= 1) {
      const tens = Math.floor(rest / 10);
      this.bytes[at] = ZERO + rest - 10 * tens;
      rest = tens;
    }
    return this.bytes;
  }
}

/** Looks for the newest row of a stream; `stream` null: nobody writes, and there is no table. */
export function readMessage(table: string, stream: number | null, timeoutMs: number | null): Buffer {
  const newest = stream === null ? '' : `(SELECT max(seq) FROM gameday.${table} WHERE stream = ${stream}), `;
  return queryMessage(`${withTimeout(timeoutMs)}SELECT ${newest}${IDENTITY}`);
}

/** What an answer said; null: nothing. One object for all of a connection's operations. */
export class Facts {
  xid: number | null = null;
  lsn: number | null = null;
  timeline: number | null = null;
  /** The number that `serverId` gave. */
  server: number | null = null;

  clear(): void {
    this.xid = null;
    this.lsn = null;
    this.timeline = null;
    this.server = null;
  }
}

export class FactReader {
  /** The bytes in which the last server said who it is: seldom is the next another. */
  private identity = Buffer.alloc(0);
  private server: number | null = null;

  constructor(
    private readonly kind: 'write' | 'read',
    private readonly serverId: (postmasterStart: string, address: string | null) => number,
  ) {}

  read(row: RowView, into: Facts): void {
    if (this.kind === 'write') {
      into.xid = decimalAt(row, 0);
      into.lsn = positionAt(row, 1);
      into.timeline = timelineAt(row, 2);
    }
    into.server = this.serverAt(row, row.starts.length - 2);
  }

  private serverAt(row: RowView, column: number): number | null {
    const from = row.starts[column];
    const started = from === undefined ? null : row.starts[column + 1];
    if (from === undefined || started == null) return null;
    const to = Math.max(started, row.ends[column + 1] ?? 0);
    if (!isSame(this.identity, row.bytes, from, to)) {
      const start = row.text(column);
      this.server = start === null ? null : this.serverId(start, row.text(column + 1));
      this.identity = Buffer.from(row.bytes.subarray(from, to));
    }
    return this.server;
  }
}

function isSame(known: Buffer, bytes: Buffer, from: number, to: number): boolean {
  if (known.length !== to - from) return false;
  for (let at = 0; at < known.length; at += 1) if (known[at] !== bytes[from + at]) return false;
  return true;
}

/** A decimal number; null: SQL's null, or no such column. */
function decimalAt(row: RowView, column: number): number | null {
  const [start, end] = [row.starts[column], row.ends[column]];
  if (start === undefined || end === undefined || end < 0) return null;
  let value = 0;
  for (let at = start; at < end; at += 1) {
    const digit = (row.bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 9) return unreadable(row, column);
    value = value * 10 + digit;
  }
  return value;
}

/** A position in the WAL, e.g. 16/B374D848; exact below 2^53. */
function positionAt(row: RowView, column: number): number | null {
  const [start, end] = [row.starts[column], row.ends[column]];
  if (start === undefined || end === undefined || end < 0) return null;
  let [high, low, slashes] = [0, 0, 0];
  for (let at = start; at < end; at += 1) {
    const byte = row.bytes[at] as number;
    if (byte === SLASH) {
      high = low;
      low = 0;
      slashes += 1;
    } else {
      const digit = hexDigit(byte);
      if (digit < 0) return unreadable(row, column);
      low = low * 16 + digit;
    }
  }
  return slashes === 1 ? high * 2 ** 32 + low : unreadable(row, column);
}

/** Of a WAL file's 24 hex digits the first 8. */
function timelineAt(row: RowView, column: number): number | null {
  const [start, end] = [row.starts[column], row.ends[column]];
  if (start === undefined || end === undefined || end < 0) return null;
  let timeline = 0;
  for (let at = start; at < start + 8; at += 1) {
    const digit = at < end ? hexDigit(row.bytes[at] as number) : -1;
    if (digit < 0) return unreadable(row, column);
    timeline = timeline * 16 + digit;
  }
  return timeline;
}

/** -1: it is none. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function unreadable(row: RowView, column: number): never {
  throw new AssertionFailed(`the server said "${row.text(column) ?? ''}" in column ${column + 1} of an acknowledgement`);
}
