/** The statements as bytes, and what is read out of their answers. That a server understands them, the live tests show. */
import fc from 'fast-check';
import { FactReader, Facts, readMessage, WriteStatement } from './statement';
import { RowView } from './wire-reader';

/** A row as it lies in a buffer between other bytes. */
function rowOf(values: readonly (string | null)[]): RowView {
  const row = new RowView();
  row.bytes = Buffer.concat([
    Buffer.from('before'),
    ...values.map((value) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(value === null ? -1 : Buffer.byteLength(value));
      return Buffer.concat([length, Buffer.from(value ?? '')]);
    }),
    Buffer.from('after'),
  ]);
  let at = 6;
  for (const value of values) {
    at += 4;
    row.starts.push(at);
    row.ends.push(value === null ? -1 : at + Buffer.byteLength(value));
    at += Buffer.byteLength(value ?? '');
  }
  return row;
}

const STARTED = '2026-01-01 00:00:00.123456+00';
const positionOf = (value: bigint): string =>
  `${(value >> 32n).toString(16).toUpperCase()}/${(value & 0xffffffffn).toString(16).toUpperCase()}`;
const textOf = (message: Buffer): string => message.toString('utf8', 5, message.length - 1);

describe('the statement that writes', () => {
  it('differs from the one before by nothing but the sequence number, and keeps its length', () => {
    const statement = new WriteStatement('probe_000001', 3, 900);
    const first = Buffer.from(statement.message(1));
    expect(first.readUInt32BE(1)).toBe(first.length - 1);
    expect(textOf(first).replaceAll(/ +1\)/g, '1)')).toBe(
      'SET LOCAL statement_timeout = 900; INSERT INTO gameday.probe_000001 (stream, seq) VALUES (3,1) RETURNING pg_current_xact_id(), ' +
        'pg_current_wal_insert_lsn(), pg_walfile_name(pg_current_wal_insert_lsn()), pg_postmaster_start_time(), inet_server_addr()',
    );
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 2, max: 2 ** 48 - 1 }), { minLength: 1 }), (seqs) => {
        const next = new WriteStatement('probe_000001', 3, 900);
        for (const seq of seqs.sort((a, b) => a - b)) {
          const message = next.message(seq);
          expect(message.length).toBe(first.length);
          expect(textOf(message)).toBe(textOf(first).replace(`${' '.repeat(14)}1)`, `${String(seq).padStart(15)})`));
        }
      }),
    );
  });

  it('refuses a number that was used before, or that the ledger cannot hold', () => {
    const statement = new WriteStatement('probe_000001', 0, null);
    expect(textOf(statement.message(7))).toMatch(/^INSERT INTO gameday/);
    expect(() => statement.message(7)).toThrow('sequence numbers only grow');
    expect(() => statement.message(2 ** 48)).toThrow('sequence numbers only grow');
  });
});

test('a read looks for the newest row of a stream, or for nothing but the server', () => {
  expect(textOf(readMessage('probe_000001', 2, null))).toBe(
    'SELECT (SELECT max(seq) FROM gameday.probe_000001 WHERE stream = 2), pg_postmaster_start_time(), inet_server_addr()',
  );
  expect(textOf(readMessage('probe_000001', null, 50))).toBe(
    'SET LOCAL statement_timeout = 50; SELECT pg_postmaster_start_time(), inet_server_addr()',
  );
});

describe('what an answer says', () => {
  it('is read exactly, whatever the numbers are', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 3n, max: 2n ** 53n - 1n }),
        fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
        fc.integer({ min: 1, max: 2 ** 32 - 1 }),
        (xid, lsn, timeline) => {
          const facts = new Facts();
          const file = `${timeline.toString(16).toUpperCase().padStart(8, '0')}0000000A000000FE`;
          new FactReader('write', () => 4).read(rowOf([String(xid), positionOf(lsn), file, STARTED, '10.0.0.1']), facts);
          expect({ ...facts }).toEqual({ xid: Number(xid), lsn: Number(lsn), timeline, server: 4 });
        },
      ),
    );
  });

  it('names the server anew only when it says something else of itself', () => {
    const asked: (string | null)[][] = [];
    const reader = new FactReader('read', (started, address) => asked.push([started, address]));
    const facts = new Facts();
    const servers = [STARTED, '10.0.0.1', STARTED, '10.0.0.1', STARTED, null, STARTED, null, `${STARTED.slice(0, -1)}1`, '10.0.0.1'];
    const found: (number | null)[] = [];
    for (let at = 0; at < servers.length; at += 2) {
      // The newest row that a read found changes all the time, and says nothing of the server.
      reader.read(rowOf([String(at), servers[at] ?? null, servers[at + 1] ?? null]), facts);
      found.push(facts.server);
    }
    expect(found).toEqual([1, 1, 2, 2, 3]);
    expect(asked).toEqual([
      [STARTED, '10.0.0.1'],
      [STARTED, null],
      [`${STARTED.slice(0, -1)}1`, '10.0.0.1'],
    ]);
  });

  it('is nothing where the server says null, or less than it was asked', () => {
    const facts = new Facts();
    const reader = new FactReader('write', () => 1);
    reader.read(rowOf([null, null, null, null, null]), facts);
    expect({ ...facts }).toEqual({ xid: null, lsn: null, timeline: null, server: null });
    reader.read(rowOf([]), facts);
    expect({ ...facts }).toEqual({ xid: null, lsn: null, timeline: null, server: null });
  });

  it.each([
    [['12x', '0/1', '000000010000000000000001', STARTED, null], 'the server said "12x" in column 1'],
    [['12', '01', '000000010000000000000001', STARTED, null], 'the server said "01" in column 2'],
    [['12', '0/g', '000000010000000000000001', STARTED, null], 'the server said "0/g" in column 2'],
    [['12', '0/1', '0000', STARTED, null], 'the server said "0000" in column 3'],
  ])('is refused when it is not what PostgreSQL prints: %j', (values, why) => {
    expect(() => new FactReader('write', () => 1).read(rowOf(values), new Facts())).toThrow(why);
  });
});
