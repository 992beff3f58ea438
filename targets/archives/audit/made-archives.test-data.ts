/**
 * Small archives in every layout, made in memory byte by byte as the tools' formats say: two timelines, three backups, WAL with records that check out.
 * What a test damages in them is known exactly. Real archives of the tools themselves stand in test/live.
 */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { GamedayError } from '../../../core/errors';
import { formatLsn } from '../../../core/lsn';
import type { ArchiveAudit, ArchiveLayout } from '../../../model/archive-audit';
import type { ObjectStore } from '../../../objects/store';
import { packWal, walKey } from '../wal-object';
import { auditArchive, type AuditRequest } from './audit-archive';
import { xxHash32 } from './lz4-frame';
import { segmentName, segmentStart } from './segment-names';
import { recordCrc } from './wal-pages';

export const SYSTEM = '7345612345678901234';
const PAGE = 8_192;
const HOUR_MS = 3_600_000;

export type MadeStore = ObjectStore & { readonly objects: Map<string, { data: Uint8Array; modifiedAt: string }> };

export function memoryStore(): MadeStore {
  const objects = new Map<string, { data: Uint8Array; modifiedAt: string }>();
  const missing = (): never => {
    throw new GamedayError('internal', 'the auditor writes nothing');
  };
  return {
    objects,
    description: 'memory',
    get: async (key) => objects.get(key)?.data ?? null,
    read: async (key, range) => {
      const found = objects.get(key);
      if (found === undefined) throw new GamedayError('object_missing', key);
      const data = range === undefined ? found.data : found.data.subarray(range.start, range.end + 1);
      return (async function* () {
        yield data;
      })();
    },
    head: async (key) => {
      const found = objects.get(key);
      return found === undefined ? null : { key, bytes: found.data.length, modifiedAt: found.modifiedAt };
    },
    list: async function* (prefix) {
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort();
      for (const key of keys) {
        const found = objects.get(key);
        if (found !== undefined) yield { key, bytes: found.data.length, modifiedAt: found.modifiedAt };
      }
    },
    put: missing,
    create: missing,
    putFile: missing,
    delete: missing,
  };
}

export interface SegmentSpec {
  readonly timeline: number;
  readonly no: number;
  readonly segmentBytes: number;
  readonly system?: string;
  readonly magic?: number;
  /** Pages with records; the rest is zero, as after a switch of WAL. */
  readonly pages?: number;
  /** From this page on the timeline is the name's; before, its parent's. */
  readonly switchedAtPage?: number;
}

/** A segment whose records check out: some cross pages, one is long. */
export function makeSegment(spec: SegmentSpec): Buffer {
  const { timeline, no, segmentBytes, system = SYSTEM, magic = 0xd110, pages = 4, switchedAtPage = 0 } = spec;
  const data = Buffer.alloc(segmentBytes);
  const start = segmentStart(no, segmentBytes);
  const header = (page: number, remaining: number): number => {
    const at = page * PAGE;
    data.writeUInt16LE(magic, at);
    data.writeUInt16LE((remaining > 0 ? 1 : 0) | (page === 0 ? 2 : 0), at + 2);
    data.writeUInt32LE(page < switchedAtPage ? timeline - 1 : timeline, at + 4);
    data.writeBigUInt64LE(start + BigInt(at), at + 8);
    data.writeUInt32LE(remaining, at + 16);
    if (page > 0) return at + 24;
    data.writeBigUInt64LE(BigInt(system), 24);
    data.writeUInt32LE(segmentBytes, 32);
    data.writeUInt32LE(PAGE, 36);
    return 40;
  };
  let [at, previous, count] = [header(0, 0), start, 0];
  while (at < pages * PAGE - 4_000) {
    const record = makeRecord(24 + (count % 5 === 0 ? 3_000 : 37 + count), previous, no + count);
    previous = start + BigInt(at);
    count += 1;
    for (let done = 0; done < record.length;) {
      const room = PAGE - (at % PAGE);
      const part = record.subarray(done, done + room);
      part.copy(data, at);
      done += part.length;
      at += part.length;
      if (at % PAGE === 0) at = header(at / PAGE, record.length - done);
    }
    at = Math.ceil(at / 8) * 8;
    if (at % PAGE === 0) at = header(at / PAGE, 0);
  }
  return data;
}

function makeRecord(bytes: number, previous: bigint, seed: number): Buffer {
  const record = Buffer.alloc(bytes, (seed % 250) + 1);
  record.writeUInt32LE(bytes, 0);
  record.writeUInt32LE(seed, 4);
  record.writeBigUInt64LE(previous, 8);
  record.writeUInt8(0, 16);
  record.writeUInt8(10, 17);
  record.writeUInt16LE(0, 18);
  record.writeUInt32LE(recordCrc(record), 20);
  return record;
}

/** One LZ4 frame with block and content checksums: literals up to the zeros, then one long match. */
export function packLz4(plain: Buffer): Buffer {
  let used = plain.length;
  while (used > 0 && plain[used - 1] === 0) used -= 1;
  const literals = Math.min(plain.length, used + 1);
  const match = plain.length - literals - 5;
  const length = (value: number): number[] => {
    const bytes: number[] = [];
    for (let left = value - 15; left >= 0; left -= 255) bytes.push(Math.min(left, 255));
    return bytes;
  };
  const block =
    match < 4
      ? null
      : Buffer.concat([
          Buffer.from([(Math.min(literals, 15) << 4) | Math.min(match - 4, 15), ...length(literals)]),
          plain.subarray(0, literals),
          Buffer.from([1, 0, ...length(match - 4)]),
          Buffer.from([5 << 4]),
          plain.subarray(plain.length - 5),
        ]);
  const word = (value: number): Buffer => {
    const four = Buffer.alloc(4);
    four.writeUInt32LE(value >>> 0);
    return four;
  };
  const descriptor = Buffer.from([0x74, 0x70]);
  const body = block ?? plain;
  return Buffer.concat([
    word(0x184d2204),
    descriptor,
    Buffer.from([(xxHash32(descriptor) >>> 8) & 0xff]),
    word(block === null ? body.length | 0x80000000 : body.length),
    body,
    word(xxHash32(body)),
    word(0),
    word(xxHash32(plain)),
  ]);
}

/** Info files and manifests of pgBackRest, with the checksum that they carry. */
export function infoFile(
  sections: readonly (readonly [name: string, entries: readonly (readonly [key: string, value: unknown])[]])[],
): Buffer {
  const raw = (value: unknown): string => (typeof value === 'bigint' ? value.toString() : JSON.stringify(value));
  const canonical = `{${sections
    .map(
      ([name, entries]) => `${JSON.stringify(name)}:{${entries.map(([key, value]) => `${JSON.stringify(key)}:${raw(value)}`).join(',')}}`,
    )
    .join(',')}}`;
  const sum = createHash('sha1').update(canonical).digest('hex');
  const lines = sections.flatMap(([name, entries]) => [`[${name}]`, ...entries.map(([key, value]) => `${key}=${raw(value)}`), '']);
  return Buffer.from(`${lines.join('\n')}\n[backrest]\nbackrest-checksum="${sum}"\n`);
}

/** A tar archive of plain files. */
export function makeTar(files: readonly (readonly [name: string, data: Buffer])[]): Buffer {
  const blocks = files.flatMap(([name, data]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000600\0', 100);
    header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
    header.fill(' ', 148, 156);
    header.write('0', 156);
    header.write(
      `${header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1_024)]);
}

export interface MadeArchive {
  readonly layout: ArchiveLayout;
  readonly store: MadeStore;
  readonly segmentBytes: number;
  /** Where a WAL file of that name stands in it. */
  keyOf(name: string): string;
  readonly pack: (plain: Buffer) => Promise<Buffer>;
  /** As `put`, under the name of a segment; where the key holds a checksum it is the content's. Returns the key. */
  putWal(name: string, plain: Buffer): Promise<string>;
  put(key: string, data: Uint8Array, hoursAgo?: number): void;
  /** Objects of backups by label: what describes it, and one with data. */
  readonly backups: { readonly [label: string]: { readonly descriptor: string; readonly data: string } };
  readonly labels: { readonly first: string; readonly second: string; readonly third: string };
}

/** Segment numbers: timeline 1 wrote 1 to 6, timeline 2 left it within 6 and goes on to 14. */
export const FIRST = 1;
export const SWITCH = 6;
export const LAST = 14;
export const switchLsn = (segmentBytes: number): bigint => segmentStart(SWITCH, segmentBytes) + BigInt(2 * PAGE + 0x98);
export const HISTORY = (segmentBytes: number): string => `1\t${formatLsn(switchLsn(segmentBytes))}\tno recovery target specified\n`;

/** Backups: a full one on timeline 1 (2 to 3), one on timeline 2 that begins where it begins (6 to 7), and one that refers to it where the layout can (10). */
const SPANS = [
  { timeline: 1, from: 2, to: 3, hoursAgo: 72 },
  { timeline: 2, from: SWITCH, to: 7, hoursAgo: 48 },
  { timeline: 2, from: 10, to: 10, hoursAgo: 24 },
] as const;

const iso = (hoursAgo: number): string => new Date(Date.now() - hoursAgo * HOUR_MS).toISOString();

/** Where the WAL of segment `no` stands in time: one segment every few hours, the newest a minute old. */
const ageOf = (no: number): number => ((LAST - no) * 90) / LAST + 1 / 60;

export async function makeArchive(
  layout: ArchiveLayout,
  how: { readonly segmentBytes?: number; readonly extension?: string } = {},
): Promise<MadeArchive> {
  const segmentBytes = how.segmentBytes ?? 1024 * 1024;
  const store = memoryStore();
  const put = (key: string, data: Uint8Array, hoursAgo = 1): void => void store.objects.set(key, { data, modifiedAt: iso(hoursAgo) });
  const forms = FORMS[layout](how.extension);
  const keyOf = (name: string): string => {
    const pattern = forms.keyOf(name, '*');
    const [before, after = ''] = pattern.split('*');
    return [...store.objects.keys()].find((key) => key.startsWith(before ?? '') && key.endsWith(after)) ?? pattern;
  };
  const putWal = async (name: string, plain: Buffer, hoursAgo?: number): Promise<string> => {
    const key = forms.keyOf(name, createHash('sha1').update(plain).digest('hex'));
    put(key, /history|backup$/.test(name) ? forms.small(plain) : await forms.pack(plain), hoursAgo);
    return key;
  };
  for (let no = FIRST; no < SWITCH; no += 1)
    await putWal(segmentName(1, no, segmentBytes), makeSegment({ timeline: 1, no, segmentBytes }), ageOf(no));
  for (let no = SWITCH; no <= LAST; no += 1)
    await putWal(
      segmentName(2, no, segmentBytes),
      makeSegment({ timeline: 2, no, segmentBytes, switchedAtPage: no === SWITCH ? 2 : 0 }),
      ageOf(no),
    );
  await putWal(
    `${segmentName(1, SWITCH, segmentBytes)}.partial`,
    makeSegment({ timeline: 1, no: SWITCH, segmentBytes, pages: 3 }),
    ageOf(SWITCH),
  );
  await putWal('00000002.history', Buffer.from(HISTORY(segmentBytes)), ageOf(SWITCH));
  const placed = SPANS.map((span) => ({
    ...span,
    startLsn: segmentStart(span.from, segmentBytes) + BigInt(span.from === SWITCH ? 3 * PAGE + 0x28 : 0x28),
    stopLsn: segmentStart(span.to, segmentBytes) + 0x5000n,
  }));
  const [first, second, third] = placed.map((span, index) => forms.backup({ span, index, segmentBytes, put, spans: placed }));
  if (first === undefined || second === undefined || third === undefined) throw new Error('three backups');
  forms.end?.(placed, put, [first.label, second.label, third.label], segmentBytes);
  return {
    layout,
    store,
    segmentBytes,
    keyOf,
    pack: forms.pack,
    putWal,
    put,
    backups: Object.fromEntries([first, second, third].map(({ label, descriptor, data }) => [label, { descriptor, data }])),
    labels: { first: first.label, second: second.label, third: third.label },
  };
}

interface Span {
  readonly timeline: number;
  readonly from: number;
  readonly to: number;
  readonly hoursAgo: number;
  readonly startLsn: bigint;
  readonly stopLsn: bigint;
}

interface BackupInput {
  readonly span: Span;
  readonly index: number;
  readonly segmentBytes: number;
  readonly spans: readonly Span[];
  readonly put: (key: string, data: Uint8Array, hoursAgo?: number) => void;
}

interface Forms {
  keyOf(name: string, sha1: string): string;
  readonly pack: (plain: Buffer) => Promise<Buffer>;
  small(plain: Buffer): Buffer;
  backup(input: BackupInput): { readonly label: string; readonly descriptor: string; readonly data: string };
  end?(spans: readonly Span[], put: BackupInput['put'], labels: readonly string[], segmentBytes: number): void;
}

const CONTENT = (index: number): Buffer => Buffer.alloc(40_000, index + 65);
const sha = (algorithm: string, data: Uint8Array): string => createHash(algorithm).update(data).digest('hex');

const FORMS: { readonly [layout in ArchiveLayout]: (extension?: string) => Forms } = {
  native: () => ({
    keyOf: (name) => walKey(name),
    pack: (plain) => packWal(plain),
    small: (plain) => plain,
    backup: ({ span, index, put, segmentBytes }) => {
      const label = `2026010${index + 1}T000000Z-n1-7`;
      const parts = [0, 1].map((part) => {
        const packed = gzipSync(CONTENT(index * 2 + part));
        const key = `base/${label}/part-00000${part}.gz`;
        put(key, packed, span.hoursAgo);
        return { key, sha256: sha('sha256', packed), bytes: packed.length, plainBytes: 40_000 };
      });
      const descriptor = `base/${label}/manifest.json`;
      const manifest = {
        format: 1,
        name: label,
        node: 'n1',
        systemIdentifier: SYSTEM,
        timeline: span.timeline,
        startLsn: formatLsn(span.startLsn),
        stopLsn: formatLsn(span.stopLsn),
        startWal: segmentName(span.timeline, span.from, segmentBytes),
        startedAt: iso(span.hoursAgo),
        finishedAt: iso(span.hoursAgo),
        bytes: 80_000,
        parts,
      };
      put(descriptor, Buffer.from(JSON.stringify(manifest)), span.hoursAgo);
      return { label, descriptor, data: `base/${label}/part-000001.gz` };
    },
  }),
  'barman-cloud': (extension = 'gz') => ({
    keyOf: (name) => {
      const directory = /history$/.test(name) ? '' : `${name.slice(0, 16)}/`;
      return `wals/${directory}${name}.${extension}`;
    },
    pack: async (plain) => (extension === 'lz4' ? packLz4(plain) : gzipSync(plain)),
    small: (plain) => (extension === 'lz4' ? packLz4(plain) : gzipSync(plain)),
    backup: ({ span, index, put, segmentBytes }) => {
      const label = `2026010${index + 1}T000000`;
      put(
        `base/${label}/data.tar.gz`,
        gzipSync(
          makeTar([
            ['backup_label', Buffer.from('START WAL')],
            ['global/pg_control', CONTENT(index)],
          ]),
        ),
        span.hoursAgo,
      );
      const written = iso(span.hoursAgo).replace('T', ' ').replace('Z', '000+00:00');
      const info = [
        'backup_label=None',
        `begin_time=${written}`,
        `begin_wal=${segmentName(span.timeline, span.from, segmentBytes)}`,
        `begin_xlog=${formatLsn(span.startLsn)}`,
        `end_time=${written}`,
        `end_xlog=${formatLsn(span.stopLsn)}`,
        'status=DONE',
        `systemid=${SYSTEM}`,
        'tablespaces=None',
        `timeline=${span.timeline}`,
        'version=150020',
        'xlog_segment_size=1048576',
      ];
      put(`base/${label}/backup.info`, Buffer.from(`${info.join('\n')}\n`), span.hoursAgo);
      return { label, descriptor: `base/${label}/backup.info`, data: `base/${label}/data.tar.gz` };
    },
  }),
  'wal-g': (extension = 'lz4') => ({
    keyOf: (name) => `wal_005/${name}.${extension}`,
    pack: async (plain) => (extension === 'lz4' ? packLz4(plain) : gzipSync(plain)),
    small: (plain) => (extension === 'lz4' ? packLz4(plain) : gzipSync(plain)),
    backup: ({ span, index, put, segmentBytes, spans }) => {
      const name = (at: Span): string => segmentName(at.timeline, at.from, segmentBytes);
      const base = spans[1];
      const isDelta = index === 2 && base !== undefined;
      const label = `base_${name(span)}${isDelta ? `_D_${name(base)}` : ''}`;
      const root = `basebackups_005/${label}`;
      const tars = ['part_001.tar.lz4', 'part_002.tar.lz4', 'pg_control.tar.lz4'];
      for (const tar of tars) put(`${root}/tar_partitions/${tar}`, packLz4(makeTar([['base/1/1', CONTENT(index)]])), span.hoursAgo);
      put(
        `${root}/files_metadata.json`,
        Buffer.from(JSON.stringify({ TarFileSets: Object.fromEntries(tars.map((tar) => [tar, ['/base/1/1']])) })),
        span.hoursAgo,
      );
      const delta = isDelta
        ? `"DeltaLSN":${base.startLsn},"DeltaFrom":"base_${name(base)}","DeltaFullName":"base_${name(base)}","DeltaCount":1,`
        : '';
      const sentinel = `{"LSN":${span.startLsn},"Timeline":${span.timeline},${delta}"PgVersion":150020,"FinishLSN":${span.stopLsn},"SystemIdentifier":${SYSTEM},"UncompressedSize":1,"CompressedSize":1,"Spec":null,"Version":2,"FinishTime":"${iso(span.hoursAgo)}"}`;
      put(`${root}_backup_stop_sentinel.json`, Buffer.from(sentinel), span.hoursAgo);
      return { label, descriptor: `${root}_backup_stop_sentinel.json`, data: `${root}/tar_partitions/part_002.tar.lz4` };
    },
  }),
  pgbackrest: (extension = 'gz') => ({
    keyOf: (name, sha1) => {
      if (/history$/.test(name)) return `archive/main/15-1/${name}`;
      return `archive/main/15-1/${name.slice(0, 16)}/${name}-${sha1}.${extension}`;
    },
    pack: async (plain) => (extension === 'lz4' ? packLz4(plain) : gzipSync(plain)),
    small: (plain) => plain,
    backup: ({ span, index, put }) => {
      const label = pgbackrestLabel(index);
      const root = `backup/main/${label}`;
      const pack = (plain: Buffer): Buffer => (extension === 'lz4' ? packLz4(plain) : gzipSync(plain));
      const entry = (data: Buffer): Record<string, unknown> => ({
        checksum: sha('sha1', data),
        'repo-size': pack(data).length,
        size: data.length,
        timestamp: 1,
      });
      const own = CONTENT(index);
      const files: (readonly [string, unknown])[] = [
        ['pg_data/base/1/1', entry(own)],
        // The third refers to a file of the second.
        ['pg_data/base/1/2', index === 2 ? { ...entry(CONTENT(11)), reference: pgbackrestLabel(1) } : entry(CONTENT(index + 10))],
      ];
      put(`${root}/pg_data/base/1/1.${extension}`, pack(own), span.hoursAgo);
      if (index !== 2) put(`${root}/pg_data/base/1/2.${extension}`, pack(CONTENT(index + 10)), span.hoursAgo);
      const manifest = infoFile([
        [
          'backrest',
          [
            ['backrest-format', 5],
            ['backrest-version', '2.45'],
          ],
        ],
        [
          'backup',
          [
            ['backup-label', label],
            ['backup-type', index === 2 ? 'diff' : 'full'],
          ],
        ],
        ['backup:option', [['option-compress-type', extension]]],
        ['target:file', files],
      ]);
      for (const name of ['backup.manifest', 'backup.manifest.copy']) put(`${root}/${name}`, manifest, span.hoursAgo);
      return { label, descriptor: `${root}/backup.manifest`, data: `${root}/pg_data/base/1/1.${extension}` };
    },
    end: (spans, put, labels, segmentBytes) => {
      const header = [
        'backrest',
        [
          ['backrest-format', 5],
          ['backrest-version', '2.45'],
        ],
      ] as const;
      const db = [
        'db',
        [
          ['db-id', 1],
          ['db-system-id', BigInt(SYSTEM)],
          ['db-version', '15'],
        ],
      ] as const;
      const archive = infoFile([header, db]);
      const current = spans.map((span, index) => [labels[index] ?? '', currentEntry(span, index, segmentBytes)] as const);
      const backup = infoFile([header, ['backup:current', current], db]);
      for (const suffix of ['', '.copy']) {
        put(`archive/main/archive.info${suffix}`, archive);
        put(`backup/main/backup.info${suffix}`, backup);
      }
    },
  }),
};

const pgbackrestLabel = (index: number): string =>
  ['20260101-000000F', '20260102-000000F', '20260102-000000F_20260103-000000D'][index] ?? '';

function currentEntry(span: Span, index: number, segmentBytes: number): Record<string, unknown> {
  return {
    'backup-archive-start': segmentName(span.timeline, span.from, segmentBytes),
    'backup-lsn-start': formatLsn(span.startLsn),
    'backup-lsn-stop': formatLsn(span.stopLsn),
    'backup-timestamp-stop': Math.floor(Date.now() / 1000) - span.hoursAgo * 3_600,
    'backup-type': index === 2 ? 'diff' : 'full',
    ...(index === 2 ? { 'backup-prior': pgbackrestLabel(1) } : {}),
    'db-id': 1,
  };
}

/** Reads everything of it, unless told otherwise. */
export function auditOf({ store, layout }: Pick<MadeArchive, 'store' | 'layout'>, more: Partial<AuditRequest> = {}): Promise<ArchiveAudit> {
  return auditArchive({
    store,
    layout,
    stanza: null,
    systemIdentifier: null,
    sample: 'all',
    filesPerBackup: Infinity,
    seed: 1,
    windowMs: null,
    maxAgeMs: null,
    bucket: null,
    tryDelete: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...more,
  });
}
