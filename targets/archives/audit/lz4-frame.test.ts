import { readLz4, xxHash32 } from './lz4-frame';
import { packLz4 } from './made-archives.test-data';

/** `lz4 -9 --content-size` of 40 times "gameday ", the bytes 0 to 63, and 3000 zeros. */
const BY_THE_TOOL =
  'BCJNGGRAp2QAAACPZ2FtZWRheSAIAP8m/zIAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/AAEA//////////////+qUAAAAAAAAAAAAKBT9xI=';
const CONTENT = Buffer.concat([
  Buffer.from('gameday '.repeat(40)),
  Buffer.from(Array.from({ length: 64 }, (_, at) => at)),
  Buffer.alloc(3_000),
]);

test('reads what the lz4 tool wrote, and what follows it', () => {
  const frame = Buffer.from(BY_THE_TOOL, 'base64');
  expect(readLz4(frame, 10_000).equals(CONTENT)).toBe(true);
  expect(readLz4(Buffer.concat([frame, packLz4(CONTENT)]), 10_000)).toHaveLength(2 * CONTENT.length);
});

test.each([
  ['', 0x02cc5d05],
  ['a', 0x550d7456],
  ['abc', 0x32d153ff],
  ['Nobody inspects the spammish repetition', 0xe2293b2f],
] as const)('xxHash32 of "%s" is what its author says', (text, sum) => {
  expect(xxHash32(Buffer.from(text))).toBe(sum);
});

test('no bit of a frame can be flipped unnoticed, and no end of it be missing', () => {
  const frame = packLz4(Buffer.concat([CONTENT, Buffer.alloc(500)]));
  for (let at = 0; at < frame.length; at += 1) {
    const damaged = Buffer.from(frame);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
    expect(() => {
      if (!readLz4(damaged, 1 << 20).equals(readLz4(frame, 1 << 20))) throw new Error('other content');
      // Bits that mean nothing may differ; then the content is the same.
      throw new Error('same');
    }).toThrow(/^(?!other content)/);
    expect(() => readLz4(frame.subarray(0, at), 1 << 20)).toThrow();
  }
});

test('more than the limit is refused before it is held', () => {
  expect(() => readLz4(packLz4(Buffer.alloc(100_000)), 1_000)).toThrow('more bytes than expected');
});
