import { makeSegment, SYSTEM } from './made-archives.test-data';
import { identityOf, segmentProblem } from './wal-pages';

const MB = 1024 * 1024;
const PAGE = 8_192;
const spec = { timeline: 2, no: 5, segmentBytes: MB };
const expected = { timeline: 2, start: BigInt(5 * MB), segmentBytes: MB, systemIdentifier: SYSTEM, serverVersion: 15 };

test('the first page tells system, segment size and server version', () => {
  expect(identityOf(makeSegment(spec))).toEqual({ systemIdentifier: SYSTEM, segmentBytes: MB, magic: 0xd110, serverVersion: 15 });
  expect(identityOf(Buffer.alloc(MB))).toBeNull();
});

test.each([1, 4, 127])('a segment with %i pages of records and zeros behind them is whole', (pages) => {
  expect(segmentProblem(makeSegment({ ...spec, pages }), expected)).toBeNull();
});

test('a server version that is not known yet is told by its family', () => {
  expect(segmentProblem(makeSegment({ ...spec, magic: 0xd1ff }), { ...expected, serverVersion: 99 })).toBeNull();
});

test('a damaged byte of any record is noticed, wherever it is', () => {
  const whole = makeSegment({ ...spec, pages: 6 });
  for (let at = 48; at < 5 * PAGE; at += 97) {
    const data = Buffer.from(whole);
    data[at] = (data[at] ?? 0) ^ 0x10;
    const inPadding = at % PAGE < 24 && at % PAGE >= 20;
    if (!inPadding && whole[at] !== 0) expect([at, segmentProblem(data, expected)]).not.toEqual([at, null]);
  }
});

test('a record that a crash left unfinished, and the next timeline overwrote, is no damage', () => {
  const data = makeSegment({ ...spec, pages: 3 });
  // The page says that the record before it was given up, and begins with a record of its own.
  const other = makeSegment({ ...spec, pages: 3 });
  const remaining = data.readUInt32LE(PAGE + 16);
  expect(remaining).toBeGreaterThan(0);
  data.writeUInt16LE(0x0008, PAGE + 2);
  data.writeUInt32LE(0, PAGE + 16);
  data.fill(0, PAGE + 24);
  expect(segmentProblem(data, expected)).toBeNull();
  other.writeUInt16LE(0, PAGE + 2);
  expect(segmentProblem(other, expected)).toMatch(/is not continued on the page after it/);
});
