/** The ledger's format: what is written is what is read, packed or not; a torn tail is tolerated, damage anywhere else is refused. */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { ACKED, INDETERMINATE, surveyLedger, visitAttempts } from './attempts';
import type { Entry } from './ledger-format';
import { BLOCK_HEADER_BYTES, decodeEntries, encodedBytes, encodeEntry, writeBlockHeader } from './ledger-format';
import { besidePacking, packLedger } from './ledger-pack';
import { ledgerIn, ledgerOf, type LedgerSource } from './ledger-reader';
import { LedgerWriter } from './ledger-writer';
import { sampleAt, testHeader } from './history.test-data';
import { promotions } from './nodes';

const dirs: string[] = [];
const freshDir = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'gd-ledger-'));
  dirs.push(dir);
  return dir;
};
const children: ChildProcess[] = [];
afterAll(() => children.forEach((child) => child.kill('SIGKILL')));
afterAll(() => dirs.forEach((dir) => rmSync(dir, { recursive: true, force: true })));

const writerIn = (dir: string, pid = 1): LedgerWriter => {
  const { kind: _kind, segment: _segment, wallClock: _wall, atNs: _at, ...header } = testHeader();
  return new LedgerWriter(dir, { ...header, pid }, () => 0);
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
  server: null,
});

type Attempt = readonly [stream: number, seq: number, outcome: number, sentNs: number, doneNs: number];
async function attemptsIn(source: LedgerSource): Promise<Attempt[]> {
  const found: Attempt[] = [];
  const visitor = {
    attempt: (...[stream, seq, outcome, sentNs, doneNs]: Attempt): void => void found.push([stream, seq, outcome, sentNs, doneNs]),
  };
  await visitAttempts(source, await surveyLedger(source), visitor);
  return found;
}

/** A segment by hand: every list is a block. */
function segmentOf(blocks: readonly (readonly Entry[])[]): Buffer {
  return Buffer.concat(
    blocks.map((entries) => {
      const block = Buffer.alloc(BLOCK_HEADER_BYTES + entries.reduce((sum, entry) => sum + encodedBytes(entry), 0));
      let at = BLOCK_HEADER_BYTES;
      for (const entry of entries) at = encodeEntry(entry, block, at);
      writeBlockHeader(block, block.subarray(BLOCK_HEADER_BYTES));
      return block;
    }),
  );
}

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
        server: fc.option(fc.integer({ min: 1, max: 65_535 })),
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
    expect(await attemptsIn(ledgerIn(dir))).toEqual([
      [1, 3, ACKED, 15e6 + 1, 17e6],
      [1, 1, ACKED, 5e6 + 1, 7e6],
      [1, 2, INDETERMINATE, 10e6 + 1, NaN],
    ]);
  });

  it('reads the same attempts from the bytes as from the entries', async () => {
    // One stream that reads, two that write; answers come late, out of order, or never; some are overtaken by a round of the ring, some numbers are beyond 32 bits.
    const header = {
      ...testHeader(2),
      streams: [...testHeader(2).streams, { kind: 'read', path: 'entry', client: 'tuned', periodMs: 5 } as const],
    };
    const step = fc.record({ stream: fc.nat(2), answers: fc.nat(3), pick: fc.nat(), json: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.constantFrom(1, 4_096),
        fc.constantFrom(0, 2 ** 33),
        async (steps, stride, first) => {
          const entries: Entry[] = [header];
          const open: { stream: number; seq: number }[] = [];
          const expected = new Map<string, Attempt>();
          const next = [first, first, first];
          for (const { stream, answers, pick, json } of steps) {
            const seq = (next[stream] = (next[stream] as number) + stride);
            entries.push({ kind: 'intent', stream, seq, dueNs: seq, sentNs: seq + 1, connection: 1 });
            if (json) entries.push({ kind: 'watch', atNs: seq, due: 1, onTime: 1 });
            open.push({ stream, seq });
            if (stream < 2) expected.set(`${stream}/${seq}`, [stream, seq, INDETERMINATE, seq + 1, NaN]);
            for (let at = 0; at < answers && open.length > 0; at += 1) {
              const [taken] = open.splice(pick % open.length, 1) as [{ stream: number; seq: number }];
              entries.push({ ...(acked(1) as Extract<Entry, { kind: 'outcome' }>), ...taken, doneNs: taken.seq + 2 });
              if (taken.stream < 2)
                expected.set(`${taken.stream}/${taken.seq}`, [taken.stream, taken.seq, ACKED, taken.seq + 1, taken.seq + 2]);
            }
          }
          const found = await attemptsIn(ledgerOf(entries));
          expect(found).toHaveLength(expected.size);
          for (const attempt of found) expect(attempt).toEqual(expected.get(`${attempt[0]}/${attempt[1]}`));
        },
      ),
    );
  });

  it('refuses an outcome that nobody intended, and a number that was used twice', async () => {
    await expect(attemptsIn(ledgerOf([testHeader(), intent(1), acked(1), acked(1)]))).rejects.toMatchObject({
      code: 'object_corrupt',
      message: expect.stringContaining('an outcome without an intent: stream 1, seq 1'),
    });
    await expect(attemptsIn(ledgerOf([testHeader(), intent(2), intent(2)]))).rejects.toMatchObject({ code: 'object_corrupt' });
  });

  it('finds the same promotions in the samples that it keeps as in all of them', async () => {
    // Answers repeat, and once in a while a timeline begins.
    const sample = fc.record({
      node: fc.constantFrom('n1', 'n2'),
      role: fc.constantFrom('primary' as const, 'standby' as const, 'down' as const),
      begins: fc.nat(4),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(sample, { minLength: 5, maxLength: 40 }), async (drawn) => {
        let timeline = 1;
        const samples = drawn.map(({ node, role, begins }, at) =>
          sampleAt(node, at * 100, role, role === 'down' ? null : (timeline += Number(begins === 0))),
        );
        const survey = await surveyLedger(ledgerOf([testHeader(), ...samples]));
        expect(promotions(survey.samples)).toEqual(promotions(samples));
      }),
      { numRuns: 300 },
    );
    const steady = Array.from({ length: 1_000 }, (_, at) => sampleAt('n1', at * 100, 'primary', 1));
    expect((await surveyLedger(ledgerOf([testHeader(), ...steady]))).samples).toHaveLength(1);
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

  it('names the file and the byte of a block whose length was changed, instead of ending there', async () => {
    const dir = freshDir();
    const file = join(dir, 'ledger-000001.gdl');
    const head = segmentOf([[testHeader()], [intent(1)]]);
    for (const wrong of [60_000, 16 * 1024 * 1024, 30]) {
      const bytes = segmentOf([[testHeader()], [intent(1)], [intent(2)], [intent(3)]]);
      bytes.writeUInt32LE(wrong, head.length + 4);
      writeFileSync(file, bytes);
      await expect(readAll(dir)).rejects.toMatchObject({
        code: 'object_corrupt',
        message: expect.stringContaining(`ledger-000001.gdl: block at byte ${head.length} `),
      });
    }
  });

  it('calls no tail torn that an intact block follows, however far behind', async () => {
    const dir = freshDir();
    const file = join(dir, 'ledger-000001.gdl');
    const head = segmentOf([[testHeader()], [intent(1)]]);
    const junk = Buffer.alloc(3_000_000, 'GDL1 but no block. ');
    writeFileSync(file, Buffer.concat([head, junk]));
    expect(await readAll(dir)).toEqual([intent(1)]);
    writeFileSync(file, Buffer.concat([head, junk, segmentOf([[intent(2)]])]));
    await expect(readAll(dir)).rejects.toMatchObject({ code: 'object_corrupt' });
    // The same tail, with a later segment behind it.
    writeFileSync(file, Buffer.concat([head, Buffer.from('GDL1')]));
    expect(await readAll(dir)).toEqual([intent(1)]);
    writeFileSync(join(dir, 'ledger-000002.gdl'), segmentOf([[{ ...testHeader(), segment: 2 }]]));
    await expect(readAll(dir)).rejects.toMatchObject({ message: expect.stringContaining('but a later segment exists') });
  });

  it('reads blocks of any size, up to the largest', async () => {
    const dir = freshDir();
    const wide: Entry = { kind: 'receipt', atNs: 5, name: 'inject', phase: 'done', subject: 'x'.repeat(9_000_000), facts: {} };
    const many = Array.from({ length: 40_000 }, (_, at) => [intent(at + 1)]);
    writeFileSync(join(dir, 'ledger-000001.gdl'), segmentOf([[testHeader()], [wide], ...many, [wide, intent(50_000)]]));
    const all = await readAll(dir);
    expect(all).toHaveLength(40_003);
    expect(all[0]).toEqual(wide);
    expect(all.at(-1)).toEqual(intent(50_000));
  });

  it('never appends to a ledger that another prober began', () => {
    const dir = freshDir();
    writerIn(dir).close();
    expect(() => writerIn(dir)).toThrow(expect.objectContaining({ code: 'object_exists' }));
  });
});

describe('a packed ledger', () => {
  /** Three segments of a ledger whose last one ends inside a block. */
  function planted(dir: string): Buffer[] {
    const segments = [
      segmentOf([[testHeader()], [intent(1)], [acked(1), intent(2)]]),
      segmentOf([[{ ...testHeader(), segment: 2 }], [acked(2)]]),
      segmentOf([[{ ...testHeader(), segment: 3 }], [intent(3)], [acked(3)]]).subarray(0, -7),
    ];
    for (const [at, bytes] of segments.entries()) writeFileSync(join(dir, `ledger-00000${at + 1}.gdl`), bytes);
    return segments;
  }
  const spoiled = (bytes: Buffer): Buffer => bytes.fill(1, bytes.length - 3);
  const packedNames = ['ledger-000001.gdl.gz', 'ledger-000002.gdl.gz', 'ledger-000003.gdl.gz'];

  it('reads as it did before, and unpacks to the same bytes', async () => {
    const dir = freshDir();
    const segments = planted(dir);
    const before = await readAll(dir);
    expect(before).toEqual([intent(1), acked(1), intent(2), acked(2), intent(3)]);
    expect(await packLedger(dir)).toEqual({ packed: packedNames, left: [] });
    expect(readdirSync(dir).sort()).toEqual(packedNames);
    for (const [at, name] of packedNames.entries()) expect(gunzipSync(readFileSync(join(dir, name)))).toEqual(segments[at]);
    expect(await readAll(dir)).toEqual(before);
    expect(await packLedger(dir)).toEqual({ packed: [], left: [] });
  });

  it('is finished by the next attempt, wherever the first was interrupted', async () => {
    const dir = freshDir();
    const segments = planted(dir);
    const before = await readAll(dir);
    const whole = gzipSync(segments[0] as Buffer);
    // In the middle of writing; after the rename; and with a packed file that is not what it should be.
    writeFileSync(join(dir, 'ledger-000003.gdl.gz.new'), whole.subarray(0, 40));
    writeFileSync(join(dir, 'ledger-000001.gdl.gz'), whole);
    writeFileSync(join(dir, 'ledger-000002.gdl.gz'), whole.subarray(0, 40));
    expect(await readAll(dir)).toEqual(before);
    expect(await packLedger(dir)).toEqual({ packed: packedNames, left: [] });
    expect(readdirSync(dir).sort()).toEqual(packedNames);
    expect(await readAll(dir)).toEqual(before);
  });

  it('is packed beside whoever reads it, and not packed again after', async () => {
    const dir = freshDir();
    const segments = planted(dir);
    const plainNames = packedNames.map((name) => name.slice(0, -'.gz'.length));
    const read = readAll(dir);
    expect(await besidePacking(dir, read)).toEqual([intent(1), acked(1), intent(2), acked(2), intent(3)]);
    expect(readdirSync(dir).sort()).toEqual([...plainNames, ...packedNames].sort());
    const inode = (name: string): number => statSync(join(dir, name)).ino;
    const before = packedNames.map(inode);
    // As long, and of other bytes: no packed form of this segment.
    const another = Buffer.from(segments[1] as Buffer).fill(7, 20);
    writeFileSync(join(dir, 'ledger-000002.gdl.gz'), gzipSync(another));
    expect(await packLedger(dir)).toEqual({ packed: packedNames, left: [] });
    expect(readdirSync(dir).sort()).toEqual(packedNames);
    for (const [at, name] of packedNames.entries()) expect(gunzipSync(readFileSync(join(dir, name)))).toEqual(segments[at]);
    expect([0, 2].map((at) => inode(packedNames[at] ?? ''))).toEqual([before[0], before[2]]);
  });

  it('that cannot be packed meanwhile fails nobody’s work, and work that fails says so', async () => {
    const dir = freshDir();
    planted(dir);
    mkdirSync(join(dir, 'ledger-000001.gdl.gz.new'));
    expect(await besidePacking(dir, Promise.resolve('judged'))).toBe('judged');
    await expect(besidePacking(dir, Promise.reject(new Error('not judged')))).rejects.toThrow('not judged');
    await expect(packLedger(dir)).rejects.toThrow('ledger-000001.gdl.gz.new');
    expect(existsSync(join(dir, 'ledger-000001.gdl'))).toBe(true);
  });

  it('is refused when it was cut or changed', async () => {
    const dir = freshDir();
    planted(dir);
    await packLedger(dir);
    const file = join(dir, 'ledger-000003.gdl.gz');
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.subarray(0, -12));
    await expect(readAll(dir)).rejects.toMatchObject({ code: 'object_corrupt', message: expect.stringContaining('ledger-000003.gdl.gz') });
    writeFileSync(file, gzipSync(spoiled(segmentOf([[{ ...testHeader(), segment: 3 }], [intent(3)]]))));
    expect((await readAll(dir)).at(-1)).toEqual(acked(2));
    writeFileSync(join(dir, 'ledger-000002.gdl.gz'), gzipSync(spoiled(segmentOf([[testHeader()], [acked(2)]]))));
    await expect(readAll(dir)).rejects.toMatchObject({
      message: expect.stringMatching(/000002\.gdl\.gz: block at byte \d+ .*unpacked segment/),
    });
    rmSync(join(dir, 'ledger-000002.gdl.gz'));
    await expect(readAll(dir)).rejects.toMatchObject({ message: expect.stringContaining('segment 2 is missing') });
  });

  it('leaves the segment alone that a living prober appends to, and takes it once it is dead', async () => {
    const dir = freshDir();
    const prober = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', 'prober.js'], { stdio: 'ignore' });
    children.push(prober);
    const gone = new Promise((resolve) => prober.once('exit', resolve));
    const writer = writerIn(dir, prober.pid);
    writer.add(intent(1));
    writer.close();
    copyFileSync(join(dir, 'ledger-000001.gdl'), join(dir, 'ledger-000002.gdl'));
    expect(await packLedger(dir)).toEqual({ packed: ['ledger-000001.gdl.gz'], left: ['ledger-000002.gdl'] });
    expect(existsSync(join(dir, 'ledger-000002.gdl'))).toBe(true);
    prober.kill('SIGKILL');
    await gone;
    expect(await packLedger(dir)).toEqual({ packed: ['ledger-000002.gdl.gz'], left: [] });
  });
});
