/** The ledger's format: what is written is what is read, a torn tail is tolerated, damage anywhere else is refused. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Entry } from './ledger-format';
import { decodeEntries, encodedBytes, encodeEntry } from './ledger-format';
import { attemptsOf, ledgerIn } from './ledger-reader';
import { LedgerWriter } from './ledger-writer';
import { testHeader } from './history.test-data';

const dirs: string[] = [];
const freshDir = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'gd-ledger-'));
  dirs.push(dir);
  return dir;
};
afterAll(() => dirs.forEach((dir) => rmSync(dir, { recursive: true, force: true })));

const writerIn = (dir: string): LedgerWriter => {
  const { kind: _kind, segment: _segment, wallClock: _wall, atNs: _at, ...header } = testHeader();
  return new LedgerWriter(dir, header, () => 0);
};
async function readAll(dir: string): Promise<Entry[]> {
  const all: Entry[] = [];
  for await (const batch of ledgerIn(dir).batches()) all.push(...batch);
  return all.filter((entry) => entry.kind !== 'segment');
}
const intent = (seq: number): Entry => ({ kind: 'intent', stream: 1, seq, dueNs: seq * 5e6, sentNs: seq * 5e6 + 1, connection: 7 });
const acked = (seq: number): Entry => ({
  kind: 'outcome',
  stream: 1,
  seq,
  outcome: 'acked',
  doneNs: seq * 5e6 + 2e6,
  sqlstate: null,
  xid: 2 ** 33 + seq,
  lsn: 0x1_6000_0000 + seq,
  timeline: 3,
});

describe('ledger', () => {
  it('reads back every operation exactly as it was written', () => {
    const ns = fc.integer({ min: 0, max: 2 ** 52 });
    const entry: fc.Arbitrary<Entry> = fc.oneof(
      fc.record({
        kind: fc.constant('intent' as const),
        stream: fc.nat(65_535),
        seq: fc.nat({ max: 2 ** 47 }),
        dueNs: ns,
        sentNs: ns,
        connection: fc.nat(2 ** 31),
      }),
      fc.record({
        kind: fc.constant('outcome' as const),
        stream: fc.nat(65_535),
        seq: fc.nat({ max: 2 ** 47 }),
        outcome: fc.constantFrom('acked' as const, 'rejected' as const, 'indeterminate' as const),
        doneNs: ns,
        sqlstate: fc.constantFrom(null, '57P01', '40001'),
        xid: fc.option(ns),
        lsn: fc.option(ns),
        timeline: fc.option(fc.integer({ min: 1, max: 1_000 })),
      }),
      fc.record({
        kind: fc.constant('missed' as const),
        stream: fc.nat(65_535),
        dueNs: ns,
        atNs: ns,
        cause: fc.constantFrom('no-connection' as const, 'stuck' as const, 'starved' as const),
      }),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), (entries) => {
        const buffer = Buffer.alloc(entries.reduce((sum, each) => sum + encodedBytes(each), 0));
        let at = 0;
        for (const each of entries) at = encodeEntry(each, buffer, at);
        expect(at).toBe(buffer.length);
        expect(decodeEntries(buffer)).toEqual(entries);
      }),
    );
  });

  it('keeps receipts and samples, and yields attempts in the order of their numbers', async () => {
    const dir = freshDir();
    const writer = writerIn(dir);
    const receipt: Entry = { kind: 'receipt', atNs: 5, name: 'inject', phase: 'about-to', subject: 'kill', facts: { xid: '7' } };
    for (const entry of [receipt, intent(1), intent(2), intent(3), acked(3), acked(1)]) writer.add(entry);
    writer.close();
    expect((await readAll(dir))[0]).toEqual(receipt);
    const attempts = [];
    for await (const batch of attemptsOf(ledgerIn(dir), 1)) attempts.push(...batch);
    expect(attempts.map(({ seq, outcome, doneNs }) => [seq, outcome, doneNs])).toEqual([
      [1, 'acked', 7e6],
      [2, 'indeterminate', null],
      [3, 'acked', 17e6],
    ]);
  });

  it('tolerates a tail that was cut anywhere, and loses nothing before it', async () => {
    const dir = freshDir();
    const writer = writerIn(dir);
    writer.add(intent(1));
    writer.add(acked(1));
    writer.flush();
    const whole = writer.bytes;
    writer.add(intent(2));
    writer.flush();
    const file = join(dir, 'ledger-000001.gdl');
    for (let size = writer.bytes - 1; size >= whole; size -= 1) {
      truncateSync(file, size);
      expect(await readAll(dir)).toEqual([intent(1), acked(1)]);
    }
    appendFileSync(file, Buffer.alloc(40));
    expect(await readAll(dir)).toEqual([intent(1), acked(1)]);
  });

  it('refuses a block that was changed in the middle', async () => {
    const dir = freshDir();
    const writer = writerIn(dir);
    for (let seq = 1; seq <= 3; seq += 1) {
      writer.add(intent(seq));
      writer.flush();
    }
    writer.close();
    const file = join(dir, 'ledger-000001.gdl');
    const bytes = readFileSync(file);
    bytes[bytes.length - 60] = (bytes[bytes.length - 60] as number) ^ 1;
    writeFileSync(file, bytes);
    await expect(readAll(dir)).rejects.toMatchObject({ code: 'object_corrupt' });
  });

  it('never appends to a ledger that another prober began', () => {
    const dir = freshDir();
    writerIn(dir).close();
    expect(() => writerIn(dir)).toThrow(expect.objectContaining({ code: 'object_exists' }));
  });
});
