/** However the network cuts a server's answer, the same is read; what is no answer breaks the connection and is told once. */
import fc from 'fast-check';
import { MAX_MESSAGE_BYTES, queryMessage, WireReader, type ServerMessage, type WireListener } from './wire-reader';

type Told = readonly [event: string, value?: unknown];

function listen(): { readonly told: Told[]; readonly listener: WireListener } {
  const told: Told[] = [];
  const listener: WireListener = {
    row: (row) => void told.push(['row', row.texts()]),
    completed: () => void told.push(['completed']),
    ready: () => void told.push(['ready']),
    error: (said) => void told.push(['error', said]),
    notice: (said) => void told.push(['notice', said]),
    broken: (why) => void told.push(['broken', why]),
  };
  return { told, listener };
}

function message(type: string, body: Buffer): Buffer {
  const header = Buffer.from(`${type}\0\0\0\0`, 'latin1');
  header.writeUInt32BE(4 + body.length, 1);
  return Buffer.concat([header, body]);
}
const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'utf8');

function rowMessage(values: readonly (string | null)[]): Buffer {
  const parts = values.map((value) => {
    const bytes = Buffer.from(value ?? '', 'utf8');
    const length = Buffer.alloc(4);
    length.writeInt32BE(value === null ? -1 : bytes.length);
    return Buffer.concat([length, bytes]);
  });
  const count = Buffer.alloc(2);
  count.writeInt16BE(values.length);
  return message('D', Buffer.concat([count, ...parts]));
}

const FIELDS = { V: 'severity', C: 'sqlstate', R: 'routine', M: 'message' } as const;
const saidMessage = (type: 'E' | 'N', said: ServerMessage, order: readonly (keyof typeof FIELDS)[]): Buffer => {
  const fields = order.flatMap((field) => {
    const value = said[FIELDS[field]];
    return value === null ? [] : [Buffer.from(field), text(value)];
  });
  // The translated severity and the line in the source are there too, and are passed over.
  return message(type, Buffer.concat([Buffer.from('S'), text('WARNUNG'), ...fields, Buffer.from('L'), text('317'), Buffer.alloc(1)]));
};

const word = fc.string({ unit: 'grapheme', maxLength: 40 }).map((value) => value.replaceAll('\0', ''));
const said = fc.record<ServerMessage>({
  severity: fc.constantFrom('ERROR', 'FATAL', 'WARNING'),
  sqlstate: fc.constantFrom('57P01', '01000', '40001'),
  routine: fc.option(word),
  message: word,
});
const orders = fc.shuffledSubarray(['V', 'C', 'R', 'M'] as const, { minLength: 4 });
const quiet = (type: string) => word.map((value): readonly [Buffer, readonly Told[]] => [message(type, text(value)), []]);
const anything = fc.oneof(
  fc.array(fc.option(word), { maxLength: 6 }).map((row): readonly [Buffer, readonly Told[]] => [rowMessage(row), [['row', row]]]),
  fc.constantFrom('C', 'I').map((type): readonly [Buffer, readonly Told[]] => [message(type, text('INSERT 0 1')), [['completed']]]),
  fc.constantFrom('I', 'T', 'E').map((status): readonly [Buffer, readonly Told[]] => [message('Z', Buffer.from(status)), [['ready']]]),
  fc.tuple(said, orders).map(([what, order]): readonly [Buffer, readonly Told[]] => [saidMessage('E', what, order), [['error', what]]]),
  fc.tuple(said, orders).map(([what, order]): readonly [Buffer, readonly Told[]] => [saidMessage('N', what, order), [['notice', what]]]),
  quiet('T'),
  quiet('S'),
  quiet('A'),
);

/** Hands the bytes over in pieces, all of them in one buffer, as a socket does that reads into its own. */
function feed(reader: WireReader, bytes: Buffer, cuts: readonly number[]): void {
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const buffer = Buffer.alloc(bytes.length + 7);
  let at = 0;
  for (const end of [...ends, bytes.length]) {
    bytes.copy(buffer, 0, at, end);
    reader.feed(buffer, end - at);
    buffer.fill(0xee);
    at = end;
  }
}

const cutting = fc.array(fc.nat(), { maxLength: 30 });

describe('reading what a server says', () => {
  test('gives the same messages however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 12 }), cutting, (messages, cuts) => {
        const { told, listener } = listen();
        feed(new WireReader(listener), Buffer.concat(messages.map(([bytes]) => bytes)), cuts);
        expect(told).toEqual(messages.flatMap(([, expected]) => expected));
      }),
    );
  });

  test('hands on the greeting message by message, and reads what follows it', () => {
    const ready = message('Z', Buffer.from('I'));
    const notReady = anything.filter(([bytes]) => bytes[0] !== 0x5a);
    fc.assert(
      fc.property(fc.array(notReady, { maxLength: 6 }), fc.array(anything, { maxLength: 6 }), cutting, (before, after, cuts) => {
        const { told, listener } = listen();
        const greeting: string[] = [];
        const reader = new WireReader(listener, (bytes) => greeting.push(bytes.toString('hex')));
        feed(reader, Buffer.concat([...before.map(([bytes]) => bytes), ready, ...after.map(([bytes]) => bytes)]), cuts);
        expect(greeting).toEqual([...before.map(([bytes]) => bytes.toString('hex')), ready.toString('hex')]);
        expect(told).toEqual(after.flatMap(([, expected]) => expected));
      }),
    );
  });

  test('never throws, and says once that something is no answer, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 3 }), fc.uint8Array({ maxLength: 60 }), cutting, (messages, noise, cuts) => {
        const { told, listener } = listen();
        feed(new WireReader(listener), Buffer.concat([...messages.map(([bytes]) => bytes), noise]), cuts);
        expect(told.filter(([event]) => event === 'broken').length).toBeLessThanOrEqual(1);
        expect(told.findIndex(([event]) => event === 'broken')).toBe(told.some(([event]) => event === 'broken') ? told.length - 1 : -1);
      }),
    );
  });

  const short = (bytes: Buffer, length: number): Buffer => {
    const cut = Buffer.from(bytes.subarray(0, length));
    cut.writeUInt32BE(length - 1, 1);
    return cut;
  };
  const row = rowMessage(['12', null, 'x']);
  const error = saidMessage('E', { severity: 'ERROR', sqlstate: '40001', routine: null, message: 'no' }, ['V', 'C', 'M']);
  test.each([
    ['a message shorter than its own length', Buffer.from('43000000030000', 'hex'), 'says it is 3 bytes long'],
    ['one longer than any', Buffer.from('HTTP/1.1 400 Bad Request\r\n'), 'bytes long'],
    ['a type that no simple query is answered with', message('G', Buffer.alloc(3)), 'of type 0x47'],
    ['a row that ends inside a value', short(row, row.length - 1), 'a row contradicts'],
    ['a row with more than it counts', message('D', Buffer.concat([row.subarray(5), Buffer.alloc(1)])), 'a row contradicts'],
    ['a row without a count', message('D', Buffer.alloc(1)), 'a row contradicts'],
    ['a value of length -2', message('D', Buffer.from('0001fffffffe', 'hex')), 'a row contradicts'],
    ['an error without its end', short(error, error.length - 1), 'an error or notice'],
    ['an error that goes on after its end', message('E', Buffer.concat([error.subarray(5), Buffer.alloc(1)])), 'an error or notice'],
    ['a ReadyForQuery without a status', message('Z', Buffer.alloc(0)), 'ReadyForQuery'],
  ])('%s breaks the connection', (_what, bytes, why) => {
    const { told, listener } = listen();
    const reader = new WireReader(listener);
    reader.feed(bytes);
    reader.feed(message('Z', Buffer.from('I')));
    expect(told).toEqual([['broken', expect.stringContaining(why)]]);
  });

  test('a message of the greatest length is awaited, not refused', () => {
    const { told, listener } = listen();
    const whole = rowMessage(['x'.repeat(MAX_MESSAGE_BYTES - 10)]);
    const reader = new WireReader(listener);
    reader.feed(whole.subarray(0, 100));
    expect(told).toEqual([]);
    reader.feed(whole.subarray(100));
    expect(told).toEqual([['row', ['x'.repeat(MAX_MESSAGE_BYTES - 10)]]]);
  });

  test('nothing is told after the reader was ended, not even what came in the same piece', () => {
    const { told, listener } = listen();
    const reader: WireReader = new WireReader({ ...listener, ready: () => reader.end() });
    reader.feed(Buffer.concat([message('Z', Buffer.from('I')), rowMessage(['1'])]));
    reader.feed(rowMessage(['2']));
    expect(told).toEqual([]);
  });

  test('a query is sent with its length and its end', () => {
    expect(queryMessage('SELECT 1').toString('latin1')).toBe('Q\0\0\0\x0dSELECT 1\0');
  });
});
