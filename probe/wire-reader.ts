/**
 * Reads what a PostgreSQL server says to a client of the simple query protocol (3.0; "Message Formats" in PostgreSQL's manual) out of a byte stream that
 * comes in any pieces. Pure: it never touches a socket. What it does not know, or what contradicts its own lengths, breaks the connection and is never skipped.
 */

/** Nothing that answers the prober's statements comes near; a peer that speaks something else is found out at its first bytes. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;
const HEADER_BYTES = 5;

const ROW_DESCRIPTION = 0x54;
const DATA_ROW = 0x44;
const COMMAND_COMPLETE = 0x43;
const EMPTY_QUERY = 0x49;
const READY = 0x5a;
const ERROR = 0x45;
const NOTICE = 0x4e;
const PARAMETER_STATUS = 0x53;
/** Comes unasked, and through a pooler perhaps for somebody else. */
const NOTIFICATION = 0x41;

/** A row by position, in the bytes that it came in. It holds only while it is being told: object and bytes are used again. */
export class RowView {
  bytes: Buffer = Buffer.alloc(0);
  /** Where each value starts, and where it ends; -1: SQL's null. */
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  /** As the server prints it; null: SQL's, or no such column. */
  text(column: number): string | null {
    const [start, end] = [this.starts[column], this.ends[column]];
    return start === undefined || end === undefined || end < 0 ? null : this.bytes.toString('utf8', start, end);
  }

  texts(): readonly (string | null)[] {
    return this.starts.map((_, column) => this.text(column));
  }
}

/** An ErrorResponse or NoticeResponse; fields that the server left out are null. */
export interface ServerMessage {
  /** Untranslated. */
  readonly severity: string | null;
  readonly sqlstate: string | null;
  readonly routine: string | null;
  readonly message: string;
}

export interface WireListener {
  row(row: RowView): void;
  /** One statement of the query, perhaps an empty one, has ended well. */
  completed(): void;
  /** The server awaits the next query. */
  ready(): void;
  error(said: ServerMessage): void;
  notice(said: ServerMessage): void;
  /** What came is no answer to a simple query. Called once; nothing is read after it. */
  broken(why: string): void;
}

export class WireReader {
  private rest: Buffer | null = null;
  private ended = false;
  private readonly row = new RowView();

  /** `greeting`: gets a copy of every message up to the first ReadyForQuery, whole and one at a time, for whoever connects and logs in; null: already done. */
  constructor(
    private readonly listener: WireListener,
    private greeting: ((message: Buffer) => void) | null = null,
  ) {}

  /** Nothing is read or told any more. */
  end(): void {
    this.ended = true;
    this.rest = null;
  }

  /** The first `size` bytes of `chunk`, as they came. Nothing of it is held on to: the caller may use it again. */
  feed(chunk: Buffer, size = chunk.length): void {
    if (this.rest !== null) {
      const joined = Buffer.concat([this.rest, chunk.subarray(0, size)]);
      this.rest = null;
      return this.feed(joined);
    }
    let at = 0;
    while (!this.ended && at + HEADER_BYTES <= size) {
      const length = chunk.readUInt32BE(at + 1);
      if (length < 4 || length > MAX_MESSAGE_BYTES) return this.fail(`a message says it is ${length} bytes long`);
      const end = at + 1 + length;
      if (end > size) break;
      this.message(chunk, at, end);
      at = end;
    }
    if (!this.ended && at < size) this.rest = Buffer.from(chunk.subarray(at, size));
  }

  private message(bytes: Buffer, at: number, end: number): void {
    const type = bytes[at];
    if (this.greeting !== null) {
      const { greeting } = this;
      if (type === READY) this.greeting = null;
      return greeting(Buffer.from(bytes.subarray(at, end)));
    }
    const from = at + HEADER_BYTES;
    switch (type) {
      case ROW_DESCRIPTION:
      case PARAMETER_STATUS:
      case NOTIFICATION:
        return;
      case DATA_ROW:
        return readRow(bytes, from, end, this.row) ? this.listener.row(this.row) : this.fail('a row contradicts its own lengths');
      case COMMAND_COMPLETE:
      case EMPTY_QUERY:
        return this.listener.completed();
      case READY:
        return end - from === 1 ? this.listener.ready() : this.fail('ReadyForQuery is not one byte long');
      case ERROR:
      case NOTICE: {
        const said = readServerMessage(bytes, from, end);
        if (said === null) return this.fail('an error or notice does not end where it says');
        return type === ERROR ? this.listener.error(said) : this.listener.notice(said);
      }
      default:
        return this.fail(`a message of type 0x${(type ?? 0).toString(16).padStart(2, '0')} does not answer a simple query`);
    }
  }

  private fail(why: string): void {
    this.end();
    this.listener.broken(`the server does not speak PostgreSQL's protocol: ${why}`);
  }
}

/** DataRow: i16 columns, then for each i32 length (-1: null) and as many bytes. False when it is malformed. */
function readRow(bytes: Buffer, from: number, end: number, into: RowView): boolean {
  if (from + 2 > end) return false;
  const columns = bytes.readInt16BE(from);
  into.bytes = bytes;
  into.starts.length = 0;
  into.ends.length = 0;
  let at = from + 2;
  for (let column = 0; column < columns; column += 1) {
    if (at + 4 > end) return false;
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < -1 || at + length > end) return false;
    into.starts.push(at);
    into.ends.push(length === -1 ? -1 : at + length);
    if (length > 0) at += length;
  }
  return at === end && columns >= 0;
}

/** ErrorResponse, NoticeResponse: fields of a type byte and a string that ends in zero; a zero ends the message. Null when it is malformed. */
function readServerMessage(bytes: Buffer, from: number, end: number): ServerMessage | null {
  const fields = new Map<string, string>();
  let at = from;
  while (at < end && bytes[at] !== 0) {
    const zero = bytes.indexOf(0, at + 1);
    if (zero === -1 || zero >= end) return null;
    fields.set(String.fromCharCode(bytes[at] as number), bytes.toString('utf8', at + 1, zero));
    at = zero + 1;
  }
  if (at !== end - 1) return null;
  return {
    // V is S untranslated; servers before 9.6 send S alone.
    severity: fields.get('V') ?? fields.get('S') ?? null,
    sqlstate: fields.get('C') ?? null,
    routine: fields.get('R') ?? null,
    message: fields.get('M') ?? '',
  };
}

/** The message that asks a simple query: Query, "Q". */
export function queryMessage(text: string): Buffer {
  const message = Buffer.from(`Q\0\0\0\0${text}\0`, 'utf8');
  message.writeUInt32BE(message.length - 1, 1);
  return message;
}
