/**
 * Every kind of damage planted in every layout: each is found under the right key, and nothing else is called damaged. One archive of each layout is made
 * once; a case damages a copy of its listing.
 */
import { gzipSync } from 'node:zlib';
import type { ArchiveAudit, ArchiveLayout, AuditCheckName } from '../../../model/archive-audit';
import { formatLsn } from '../../../core/lsn';
import {
  auditOf,
  FIRST,
  HISTORY,
  LAST,
  makeArchive,
  makeSegment,
  memoryStore,
  packLz4,
  SWITCH,
  switchLsn,
  type MadeArchive,
} from './made-archives.test-data';
import { segmentName } from './segment-names';

const LAYOUTS = ['native', 'pgbackrest', 'wal-g', 'barman-cloud'] as const;
const made = new Map<ArchiveLayout, MadeArchive>();

beforeAll(async () => {
  for (const layout of LAYOUTS) made.set(layout, await makeArchive(layout));
}, 60_000);

/** A copy: objects are replaced or removed, never changed. */
function copyOf(layout: ArchiveLayout): MadeArchive {
  const archive = made.get(layout)!;
  const store = memoryStore();
  for (const [key, object] of archive.store.objects) store.objects.set(key, object);
  const swap = archive.store.objects;
  const inCopy = async <T>(work: () => Promise<T>): Promise<T> => {
    const before = new Map(swap);
    const result = await work();
    for (const [key, object] of swap) if (before.get(key) !== object) store.objects.set(key, object);
    swap.clear();
    for (const [key, object] of before) swap.set(key, object);
    return result;
  };
  return {
    ...archive,
    store,
    put: (key, data, hoursAgo = 1) =>
      void store.objects.set(key, { data, modifiedAt: new Date(Date.now() - hoursAgo * 3_600_000).toISOString() }),
    putWal: (name, plain) => inCopy(() => archive.putWal(name, plain)),
  };
}

const remove = ({ store }: MadeArchive, key: string): void => {
  if (!store.objects.delete(key)) throw new Error(`nothing at ${key}`);
};
const dataAt = ({ store }: MadeArchive, key: string): Buffer => Buffer.from(store.objects.get(key)!.data);
const named = ({ segmentBytes }: MadeArchive, timeline: number, no: number): string => segmentName(timeline, no, segmentBytes);
const keyOf = (archive: MadeArchive, timeline: number, no: number): string => archive.keyOf(named(archive, timeline, no));
/** Where the auditor says that a missing file should stand: as the key, but for what is not known of a missing one. */
function expectedKey(archive: MadeArchive, name: string): string {
  const key = archive.keyOf(name);
  if (archive.layout === 'pgbackrest' && !name.endsWith('history')) return key.replace(/-(\*|[0-9a-f]{40})\.gz$/, '-*');
  if (archive.layout === 'wal-g') return key.replace(/lz4$/, '*');
  return archive.layout === 'barman-cloud' ? key.replace(/\.gz$/, '') : key;
}

interface Planted {
  readonly check: AuditCheckName;
  readonly key: string;
  /** Words of the finding, so that it is found for the right reason. */
  readonly what: RegExp;
  readonly effect?: RegExp;
}

/** Replaces a segment's object by one with other content, under the same key: as if it had been damaged before or after it was packed. */
async function replace(archive: MadeArchive, no: number, plain: Buffer): Promise<string> {
  const key = keyOf(archive, 2, no);
  archive.put(key, await archive.pack(plain));
  return key;
}

const content =
  (what: RegExp): ((key: string) => Planted[]) =>
  (key) => [{ check: 'WAL content', key, what, effect: /nothing from .* on can be restored/ }];

/** Segment 12 is after the last backup, so that nothing from it on can be restored. */
const DAMAGED = 12;
const spec = ({ segmentBytes }: MadeArchive, no = DAMAGED): { timeline: number; no: number; segmentBytes: number } => ({
  timeline: 2,
  no,
  segmentBytes,
});
/** pgBackRest's key holds the sum of what was archived: other content is told by that alone. */
const or = (archive: MadeArchive, words: RegExp): RegExp => (archive.layout === 'pgbackrest' ? /has SHA-1 .* as its key says/ : words);

const CASES: { readonly [name: string]: (archive: MadeArchive) => Promise<Planted[]> | Planted[] } = {
  'a missing segment': (archive) => {
    const name = named(archive, 2, DAMAGED);
    const key = expectedKey(archive, name);
    remove(archive, archive.keyOf(name));
    return [
      {
        check: 'WAL continuity',
        key,
        what: /^segment 0000000200000000000000[0-9A-F]+ is missing$/,
        effect: /nothing from .* on can be restored/,
      },
    ];
  },
  'a missing segment before the last backup': (archive) => {
    const key = expectedKey(archive, named(archive, 2, 8));
    remove(archive, keyOf(archive, 2, 8));
    return [
      { check: 'WAL continuity', key, what: /is missing/, effect: /nothing from .* up to .*, the end of backup .*, can be restored\.$/ },
    ];
  },
  'three missing segments in a row': (archive) => {
    const key = expectedKey(archive, named(archive, 2, 11));
    for (const no of [11, 12, 13]) remove(archive, keyOf(archive, 2, no));
    return [{ check: 'WAL continuity', key, what: /^3 segments are missing, 0{7}2.* to 0{7}2/ }];
  },
  'a missing segment just before a damaged last one': async (archive) => {
    const gone = expectedKey(archive, named(archive, 2, LAST - 1));
    remove(archive, keyOf(archive, 2, LAST - 1));
    const damaged = await replace(archive, LAST, Buffer.alloc(archive.segmentBytes, 'x'));
    return [
      { check: 'WAL continuity', key: gone, what: /^segment 0{7}2[0-9A-F]+ is missing$/ },
      { check: 'WAL content', key: damaged, what: or(archive, /no WAL page/) },
    ];
  },
  'a missing segment between two damaged ones': async (archive) => {
    const gone = expectedKey(archive, named(archive, 2, DAMAGED));
    remove(archive, keyOf(archive, 2, DAMAGED));
    const damaged = [];
    for (const no of [DAMAGED - 1, DAMAGED + 1]) damaged.push(await replace(archive, no, Buffer.alloc(archive.segmentBytes, 'x')));
    return [
      { check: 'WAL continuity', key: gone, what: /^segment 0{7}2[0-9A-F]+ is missing$/ },
      ...damaged.map((key): Planted => ({ check: 'WAL content', key, what: or(archive, /no WAL page/) })),
    ];
  },
  'a missing segment on the older timeline': (archive) => {
    const key = expectedKey(archive, named(archive, 1, 4));
    remove(archive, keyOf(archive, 1, 4));
    return [{ check: 'WAL continuity', key, what: /is missing/, effect: /up to .*, the end of backup/ }];
  },
  'the first segment of the oldest backup expired': (archive) => {
    const key = expectedKey(archive, named(archive, 1, 2));
    for (const no of [1, 2]) remove(archive, keyOf(archive, 1, no));
    return [{ check: 'WAL continuity', key, what: /is missing/, effect: /needs it itself and cannot be restored/ }];
  },
  'the segment with the switch, under the newer name': (archive) => {
    const key = expectedKey(archive, named(archive, 2, SWITCH));
    remove(archive, keyOf(archive, 2, SWITCH));
    return [{ check: 'WAL continuity', key, what: /is missing/, effect: /needs it itself and cannot be restored/ }];
  },
  'a backup whose first segment spans the switch, archived under the older timeline alone': async (archive) => {
    const key = expectedKey(archive, named(archive, 2, SWITCH));
    await archive.putWal(named(archive, 1, SWITCH), makeSegment({ timeline: 1, no: SWITCH, segmentBytes: archive.segmentBytes }));
    for (let no = SWITCH; no <= LAST; no += 1) remove(archive, keyOf(archive, 2, no));
    // Nothing of the newer timeline is left but its history, which its backups still need.
    return [
      { check: 'backups', key, what: /spans the switch of timelines|is not there/ },
      { check: 'backups', key: expectedKey(archive, named(archive, 2, 10)), what: /is not there/ },
    ];
  },
  'a segment cut short': (archive) => {
    const key = keyOf(archive, 2, DAMAGED);
    archive.put(key, dataAt(archive, key).subarray(0, -300));
    return content(/does not decompress|ends within|too early|end of file/)(key);
  },
  'a flipped byte': (archive) => {
    const key = keyOf(archive, 2, DAMAGED);
    const data = dataAt(archive, key);
    // Among the records: within a run of zeros another distance may stand for the very same bytes.
    for (const at of [100, 200, 300]) data[at] = (data[at] ?? 0) ^ 0x40;
    archive.put(key, data);
    return content(/does not decompress|checksum|SHA/)(key);
  },
  'an empty object': (archive) => {
    const key = keyOf(archive, 2, DAMAGED);
    archive.put(key, Buffer.alloc(0));
    return [{ check: 'WAL objects', key, what: /is empty/, effect: /on can be restored/ }];
  },
  'another segment under the name': async (archive) =>
    content(or(archive, /says that it is/))(await replace(archive, DAMAGED, makeSegment({ ...spec(archive), no: DAMAGED - 1 }))),
  'a segment of another system': async (archive) =>
    content(or(archive, /belongs to system 42/))(await replace(archive, DAMAGED, makeSegment({ ...spec(archive), system: '42' }))),
  'a segment of another server version': async (archive) =>
    content(or(archive, /not of PostgreSQL 15/))(await replace(archive, DAMAGED, makeSegment({ ...spec(archive), magic: 0xd113 }))),
  'a segment of a later timeline': async (archive) =>
    content(or(archive, /is of timeline 3/))(await replace(archive, DAMAGED, makeSegment({ ...spec(archive), timeline: 3 }))),
  'a record that was damaged before it was packed': async (archive) => {
    const plain = makeSegment(spec(archive));
    plain[500] = (plain[500] ?? 0) ^ 1;
    return content(or(archive, /the record at .* has another checksum/))(await replace(archive, DAMAGED, plain));
  },
  'a page of zeros in the middle': async (archive) =>
    content(or(archive, /is empty, and pages after it are not/))(
      await replace(archive, DAMAGED, makeSegment(spec(archive)).fill(0, 8_192, 16_384)),
    ),
  'less than a segment in a whole object': async (archive) =>
    content(or(archive, /has [0-9]+ bytes, not/))(
      await replace(archive, DAMAGED, makeSegment(spec(archive)).subarray(0, archive.segmentBytes / 2)),
    ),
  'something else altogether': async (archive) =>
    content(or(archive, /no WAL page/))(await replace(archive, DAMAGED, Buffer.alloc(archive.segmentBytes, 'x'))),
  'no history file': (archive) => {
    const key = expectedKey(archive, '00000002.history');
    remove(archive, archive.keyOf('00000002.history'));
    return [{ check: 'timelines', key, what: /has no history file/, effect: /before timeline 2 began/ }];
  },
  'a damaged history file': async (archive) => {
    const key = await archive.putWal('00000002.history', Buffer.from('1\tnonsense\n'));
    return [{ check: 'timelines', key, what: /is damaged/ }];
  },
  'a stray history file': async (archive) => {
    const text = `${HISTORY(archive.segmentBytes)}2\t${formatLsn(BigInt(9 * archive.segmentBytes + 4_000))}\tno recovery target specified\n`;
    const key = await archive.putWal('00000003.history', Buffer.from(text));
    return [{ check: 'timelines', key, what: /timeline 3 left timeline 2/, effect: /recovery to `latest` follows it, stops at/ }];
  },
  'a history that contradicts its parent’s': async (archive) => {
    const text = `1\t${formatLsn(switchLsn(archive.segmentBytes) + 0x10000n)}\tx\n2\t${formatLsn(BigInt(LAST * archive.segmentBytes + 8_000))}\tx\n`;
    const key = await archive.putWal('00000003.history', Buffer.from(text));
    await archive.putWal(named(archive, 3, LAST), makeSegment({ timeline: 3, no: LAST, segmentBytes: archive.segmentBytes }));
    return [{ check: 'timelines', key, what: /contradicts that of its parent 2/ }];
  },
  'a later timeline that recovery to latest never finds': async (archive) => {
    const text = `${HISTORY(archive.segmentBytes)}2\t${formatLsn(BigInt(LAST * archive.segmentBytes + 20_000))}\tx\n`;
    await archive.putWal('00000004.history', Buffer.from(text));
    await archive.putWal(named(archive, 4, LAST), makeSegment({ timeline: 4, no: LAST, segmentBytes: archive.segmentBytes }));
    return [
      {
        check: 'timelines',
        key: expectedKey(archive, '00000003.history'),
        what: /timeline 3 has no history file/,
        effect: /never finds 4/,
      },
    ];
  },
  'a missing file of a backup': (archive) => {
    const { data } = archive.backups[archive.labels.third]!;
    remove(archive, data);
    const key = archive.layout === 'barman-cloud' ? data.replace('data.tar.gz', 'data.tar*') : data;
    return [{ check: 'backups', key, what: /missing/, effect: /cannot be restored; points after it are reached from backup/ }];
  },
  'an empty file of a backup': (archive) => {
    const { data } = archive.backups[archive.labels.third]!;
    archive.put(data, Buffer.alloc(0));
    return [{ check: 'backups', key: data, what: /0 bytes|is empty/ }];
  },
  'a damaged description of a backup': (archive) => {
    const { descriptor } = archive.backups[archive.labels.third]!;
    archive.put(descriptor, Buffer.from('{"nothing'));
    return [{ check: 'backups', key: descriptor, what: /cannot be (read|used)|is damaged/ }];
  },
  'no backup at all': (archive) => {
    for (const key of [...archive.store.objects.keys()])
      if (/^(base|basebackups_005|backup)\//.test(key) && !key.includes('.info')) archive.store.objects.delete(key);
    if (archive.layout === 'barman-cloud')
      for (const key of [...archive.store.objects.keys()]) if (key.startsWith('base/')) archive.store.objects.delete(key);
    if (archive.layout !== 'pgbackrest')
      return [{ check: 'backups', key: '', what: /there is no complete backup/, effect: /nothing can be restored/ }];
    return [
      ...Object.values(archive.backups).map(({ descriptor }): Planted => ({
        check: 'backups',
        key: descriptor,
        what: /names a backup that is not there/,
      })),
      { check: 'reach', key: '', what: /no backup is usable/ },
    ];
  },
  'no WAL': (archive) => {
    for (const key of [...archive.store.objects.keys()])
      if (/^(wal|wals|wal_005)\/|^archive\/main\/15-1/.test(key)) archive.store.objects.delete(key);
    return [
      { check: 'newest WAL', key: '', what: /holds no usable segment/ },
      { check: 'reach', key: '', what: /no backup is usable/ },
      ...[named(archive, 1, 2), named(archive, 2, SWITCH), named(archive, 2, 10)].map((name): Planted => ({
        check: 'backups',
        key: expectedKey(archive, name),
        what: /is not there/,
      })),
    ];
  },
};

const highs = ({ findings }: ArchiveAudit): string[] =>
  findings.filter(({ severity }) => severity === 'high').map(({ check, key }) => `${check}: ${key ?? ''}`);

describe.each(LAYOUTS)('%s', (layout) => {
  test.each(Object.keys(CASES))(
    '%s',
    async (name) => {
      const archive = copyOf(layout);
      const planted = await CASES[name]!(archive);
      const audit = await auditOf(archive);
      for (const { check, key, what, effect } of planted) {
        const found = audit.findings.find((finding) => finding.check === check && (finding.key ?? '') === key);
        expect(found).toMatchObject({ severity: 'high', what: expect.stringMatching(what), effect: expect.stringMatching(effect ?? /./) });
        expect(audit.checks.find((each) => each.name === check)?.state).toBe('found');
      }
      expect(highs(audit).sort()).toEqual(planted.map(({ check, key }) => `${check}: ${key}`).sort());
    },
    30_000,
  );
});

test.each(LAYOUTS)('%s: a segment archived twice with other content', async (layout) => {
  const archive = copyOf(layout);
  if (layout === 'native') return expect(keyOf(archive, 2, DAMAGED)).toMatch(/gz$/); // One key for one segment.
  const other = makeSegment({ ...spec(archive), pages: 3 });
  const twin = keyOf(archive, 2, DAMAGED).replace(/(gz|lz4)$/, (extension) => (extension === 'gz' ? 'lz4' : 'gz'));
  const key = layout === 'pgbackrest' ? await archive.putWal(named(archive, 2, DAMAGED), other) : twin;
  if (layout !== 'pgbackrest') archive.put(twin, key.endsWith('gz') ? gzipSync(other) : packLz4(other));
  const audit = await auditOf(archive);
  expect(highs(audit)).toEqual([expect.stringMatching(/^WAL objects: /)]);
  expect(audit.findings[0]?.what).toMatch(
    new RegExp(`stands here 2 times, with different content: .*${key.slice(-60).replace(/[.*+]/g, '\\$&')}`),
  );
});

test.each(['wal-g', 'barman-cloud'] as const)('%s: a segment archived twice with the same content is no damage', async (layout) => {
  const archive = copyOf(layout);
  const plain = makeSegment(spec(archive));
  const key = keyOf(archive, 2, DAMAGED);
  archive.put(
    key.replace(/(gz|lz4)$/, (extension) => (extension === 'gz' ? 'lz4' : 'gz')),
    key.endsWith('gz') ? packLz4(plain) : gzipSync(plain),
  );
  const { findings } = await auditOf(archive);
  expect(findings).toEqual([expect.objectContaining({ severity: 'low', what: expect.stringContaining('with the same content') })]);
});

describe('what weighs less', () => {
  test('WAL older than every backup may be missing', async () => {
    const archive = copyOf('barman-cloud');
    remove(archive, keyOf(archive, 1, FIRST));
    expect((await auditOf(archive)).findings).toEqual([]);
  });

  test('a history file whose timeline has not archived yet', async () => {
    const archive = copyOf('barman-cloud');
    const text = `${HISTORY(archive.segmentBytes)}2\t${formatLsn(BigInt((LAST + 1) * archive.segmentBytes + 4_000))}\tno recovery target specified\n`;
    await archive.putWal('00000003.history', Buffer.from(text));
    expect((await auditOf(archive)).findings).toEqual([expect.objectContaining({ check: 'timelines', severity: 'low' })]);
  });

  test('a file that is no WAL', async () => {
    const archive = copyOf('wal-g');
    archive.put('wal_005/notes.txt', Buffer.from('x'));
    expect((await auditOf(archive)).findings).toEqual([expect.objectContaining({ severity: 'low', key: 'wal_005/notes.txt' })]);
  });

  test('what an old primary archived past the switch', async () => {
    const archive = copyOf('pgbackrest');
    for (const no of [SWITCH, SWITCH + 1])
      await archive.putWal(named(archive, 1, no), makeSegment({ timeline: 1, no, segmentBytes: archive.segmentBytes }));
    const { findings } = await auditOf(archive);
    expect(findings).toEqual([
      expect.objectContaining({ check: 'timelines', severity: 'low', what: expect.stringContaining('goes on past') }),
    ]);
  });
});

describe('chains, info files, windows', () => {
  test('WAL-G: an increment falls with the backup it builds on', async () => {
    const archive = copyOf('wal-g');
    const { second, third } = archive.labels;
    for (const key of [...archive.store.objects.keys()])
      if (key.startsWith(`basebackups_005/${second}/`) || key.startsWith(`basebackups_005/${second}_backup`)) remove(archive, key);
    const audit = await auditOf(archive);
    expect(highs(audit)).toEqual([`backups: ${archive.backups[third]!.descriptor}`]);
    expect(audit.findings[0]).toMatchObject({ what: expect.stringContaining(`it needs backup ${second}, which is not there`) });
    expect(audit.backups.map(({ usable }) => usable)).toEqual([true, false]);
  });

  test('pgBackRest: a differential falls with the very file it takes from the full backup, and with no other', async () => {
    const archive = copyOf('pgbackrest');
    const { second, third } = archive.labels;
    const borrowed = archive.backups[second]!.data.replace('/1.gz', '/2.gz');
    remove(archive, borrowed);
    const audit = await auditOf(archive);
    expect(highs(audit)).toEqual([`backups: ${borrowed}`, `backups: ${borrowed}`]);
    expect(audit.backups.map(({ label, usable }) => [label, usable])).toEqual([
      [archive.labels.first, true],
      [second, false],
      [third, false],
    ]);
    const other = copyOf('pgbackrest');
    remove(other, other.backups[second]!.data);
    expect((await auditOf(other)).backups.map(({ usable }) => usable)).toEqual([true, false, true]);
  });

  test('content of a backup’s file that its checksum contradicts', async () => {
    for (const layout of ['native', 'pgbackrest'] as const) {
      const archive = copyOf(layout);
      const { data } = archive.backups[archive.labels.third]!;
      const other = gzipSync(Buffer.alloc(40_000, 'z'));
      const before = dataAt(archive, data);
      archive.put(data, Buffer.concat([other, Buffer.alloc(Math.max(0, before.length - other.length))]).subarray(0, before.length));
      expect(highs(await auditOf(archive))).toEqual([`backups: ${data}`]);
    }
  });

  test('a tar archive that is damaged inside its packing', async () => {
    const archive = copyOf('barman-cloud');
    const { data } = archive.backups[archive.labels.third]!;
    archive.put(data, gzipSync(Buffer.alloc(4_096, 'z')));
    const audit = await auditOf(archive);
    expect(audit.findings).toEqual([
      expect.objectContaining({ severity: 'high', key: data, what: expect.stringContaining('header has another checksum') }),
    ]);
  });

  test('pgBackRest: one of two info files damaged is a warning, both are a loss', async () => {
    const archive = copyOf('pgbackrest');
    archive.put('archive/main/archive.info', Buffer.from('[backrest]\nbackrest-checksum="00"\n'));
    expect((await auditOf(archive)).findings).toEqual([
      expect.objectContaining({ check: 'archive', severity: 'medium', key: 'archive/main/archive.info' }),
    ]);
    remove(archive, 'archive/main/archive.info.copy');
    expect(highs(await auditOf(archive))).toEqual(['archive: archive/main/archive.info']);
  });

  test('an encrypted pgBackRest repository is not called damaged; gaps in it are found all the same', async () => {
    const archive = copyOf('pgbackrest');
    for (const key of archive.store.objects.keys()) archive.put(key, Buffer.concat([Buffer.from('Salted__'), dataAt(archive, key)]));
    // Names of 16 MB segments: what is inside cannot be asked for another size.
    const audit = await auditOf(archive);
    expect(audit).toMatchObject({ encrypted: true, findings: [], examined: 0 });
    expect(audit.checks.find(({ name }) => name === 'WAL content')).toMatchObject({
      state: 'not-examined',
      found: expect.stringContaining('encrypted'),
    });
    remove(archive, keyOf(archive, 2, 9));
    expect(highs(await auditOf(archive))).toEqual([`WAL continuity: ${expectedKey(made.get('pgbackrest')!, named(archive, 2, 9))}`]);
  });

  test('encrypted WAL of WAL-G is not called damaged', async () => {
    const archive = copyOf('wal-g');
    for (const key of archive.store.objects.keys()) if (key.startsWith('wal_005')) archive.put(key, Buffer.alloc(5_000, 7));
    const audit = await auditOf(archive);
    expect(audit.findings).toEqual([]);
    expect(audit.checks.find(({ name }) => name === 'WAL content')?.state).toBe('not-examined');
  });

  test('a window that is wanted and not reached, and a newest segment that is too old', async () => {
    const archive = copyOf('barman-cloud');
    const audit = await auditOf(archive, { windowMs: 30 * 86_400_000, maxAgeMs: 1_000 });
    expect(audit.findings.map(({ check, severity }) => [check, severity])).toEqual([
      ['reach', 'high'],
      ['newest WAL', 'medium'],
    ]);
  });

  test('the archive of another system than the target', async () => {
    const archive = copyOf('wal-g');
    const audit = await auditOf(archive, { systemIdentifier: '1', sample: 0 });
    expect(highs(audit)).toContain('archive: wal_005/');
  });

  test('a sample reads the same segments by the same seed, and finds nothing where nothing is', async () => {
    const archive = copyOf('wal-g');
    const [one, two] = [await auditOf(archive, { sample: 3, seed: 5 }), await auditOf(archive, { sample: 3, seed: 5 })];
    expect(one.examined).toBe(two.examined);
    expect(one.examined).toBeGreaterThan(3);
    expect(one.findings).toEqual([]);
  });
});
