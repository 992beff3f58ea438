/**
 * `npm run bench:audit [-- --segments N --files N]`: the archive auditor on a hundred thousand objects in an S3 gateway of its own, beside the same on a
 * thousand: time, and memory of a fresh process each. Then full segments, all of them read: bytes per second. Ends with one JSON line.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import type { ArchiveAudit } from '../../model/archive-audit';
import { ensureBucket, type S3Settings } from '../../objects/s3-store';
import { infoFile, makeSegment, SYSTEM } from '../../targets/archives/audit/made-archives.test-data';
import { auditSource } from '../../targets/archives/audit/audit-source';
import { segmentName, segmentStart } from '../../targets/archives/audit/segment-names';
import { formatLsn } from '../../core/lsn';
import { startGateway } from '../live/own-servers';

const HOST = '127.0.74.52';
const BUCKET = 'bench';
const SMALL_SEGMENT = 1024 * 1024;
const SEGMENT = 16 * 1024 * 1024;
const FULL_SEGMENTS = 24;
const LABEL = '20260101-000000F';
const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Figures {
  readonly audit: ArchiveAudit;
  readonly maxRssMb: number;
}

/** What a child does: one audit, and nothing else. */
async function auditOnly(settings: S3Settings, sample: number | 'all'): Promise<void> {
  const audit = await auditSource(
    { settings, layout: 'pgbackrest', stanza: null, systemIdentifier: null, maxAgeMs: null },
    {
      sample,
      seed: 1,
      windowMs: null,
      maxAgeMs: null,
      tryDelete: false,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    },
  );
  process.stdout.write(`${JSON.stringify({ audit, maxRssMb: process.resourceUsage().maxRSS / 1024 } satisfies Figures)}\n`);
}

function inChild(settings: S3Settings, sample: number | 'all'): Figures {
  const { status, stdout } = spawnSync(process.execPath, [process.argv[1] ?? '', '--audit', JSON.stringify({ settings, sample })], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 ** 2,
  });
  if (status !== 0) throw new Error(`the audit ended with ${status}`);
  const figures = JSON.parse(stdout) as Figures;
  const wrong = figures.audit.findings.filter(({ check }) => !['versioning', 'object lock'].includes(check));
  if (wrong.length > 0) throw new Error(`a healthy archive was called damaged: ${JSON.stringify(wrong.slice(0, 3))}`);
  say(
    `${figures.audit.objects} objects, ${figures.audit.examined} segments read: ${figures.audit.tookMs} ms, ${Math.round(figures.maxRssMb)} MB`,
  );
  return figures;
}

interface Shape {
  readonly segments: number;
  readonly files: number;
  readonly segmentBytes: number;
  readonly pages: number;
}

/** A repository of pgBackRest, written where the gateway keeps its objects: one full backup and the WAL since. */
function writeRepository(root: string, { segments, files, segmentBytes, pages }: Shape): void {
  const put = (key: string, data: Buffer): void => {
    const path = join(root, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, data);
  };
  const used = (pages + 1) * 8_192;
  // A gzip file may hold several members: the zeros behind the records are packed once.
  const zeros = used < segmentBytes ? gzipSync(Buffer.alloc(segmentBytes - used)) : Buffer.alloc(0);
  for (let no = 1; no <= segments; no += 1) {
    const plain = makeSegment({ timeline: 1, no, segmentBytes, pages });
    const name = segmentName(1, no, segmentBytes);
    const sha1 = createHash('sha1').update(plain).digest('hex');
    const packed = Buffer.concat([gzipSync(plain.subarray(0, used), { level: 1 }), zeros]);
    put(`archive/main/15-1/${name.slice(0, 16)}/${name}-${sha1}.gz`, packed);
    if (no % 10_000 === 0) say(`${no} segments written`);
  }
  const content = Buffer.alloc(200, 'x');
  const packed = gzipSync(content);
  const entry = { checksum: createHash('sha1').update(content).digest('hex'), 'repo-size': packed.length, size: content.length };
  const names = Array.from({ length: files }, (_, at) => `pg_data/base/${at % 50}/${at}`);
  for (const name of names) put(`backup/main/${LABEL}/${name}.gz`, packed);
  const header = [
    'backrest',
    [
      ['backrest-format', 5],
      ['backrest-version', '2.45'],
    ],
  ] as const;
  const manifest = infoFile([
    header,
    [
      'backup',
      [
        ['backup-label', LABEL],
        ['backup-type', 'full'],
      ],
    ],
    ['backup:option', [['option-compress-type', 'gz']]],
    ['target:file', names.map((name) => [name, entry] as const)],
  ]);
  const db = [
    'db',
    [
      ['db-id', 1],
      ['db-system-id', BigInt(SYSTEM)],
      ['db-version', '15'],
    ],
  ] as const;
  const lsn = (offset: bigint): string => formatLsn(segmentStart(1, segmentBytes) + offset);
  const current = {
    'backup-archive-start': segmentName(1, 1, segmentBytes),
    'backup-lsn-start': lsn(0x28n),
    'backup-lsn-stop': lsn(0x100n),
    'backup-timestamp-stop': Math.floor(Date.now() / 1000),
    'backup-type': 'full',
    'db-id': 1,
  };
  for (const suffix of ['', '.copy']) {
    put(`archive/main/archive.info${suffix}`, infoFile([header, db]));
    put(`backup/main/backup.info${suffix}`, infoFile([header, ['backup:current', [[LABEL, current]]], db]));
    put(`backup/main/${LABEL}/backup.manifest${suffix}`, manifest);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { segments: { type: 'string', default: '80000' }, files: { type: 'string', default: '20000' } },
  });
  const dir = mkdtempSync(join(tmpdir(), 'gd-bench-audit-'));
  const gateway = await startGateway({ dir: join(dir, 's3'), host: HOST });
  try {
    const at = (prefix: string): S3Settings => ({ ...gateway.settings, bucket: BUCKET, prefix, timeoutMs: 60_000 });
    await ensureBucket({ ...at(''), versioning: false });
    const root = join(dir, 's3', 'data', BUCKET);
    writeRepository(join(root, 'small'), { segments: 800, files: 200, segmentBytes: SMALL_SEGMENT, pages: 1 });
    writeRepository(join(root, 'large'), {
      segments: Number(values.segments),
      files: Number(values.files),
      segmentBytes: SMALL_SEGMENT,
      pages: 1,
    });
    writeRepository(join(root, 'full'), { segments: FULL_SEGMENTS, files: 10, segmentBytes: SEGMENT, pages: SEGMENT / 8_192 - 1 });
    const small = inChild(at('small'), 200);
    const large = inChild(at('large'), 200);
    const full = inChild(at('full'), 'all');
    const line = {
      objects: large.audit.objects,
      auditS: large.audit.tookMs / 1_000,
      objectsPerS: Math.round((large.audit.objects * 1_000) / large.audit.tookMs),
      maxRssMb: Math.round(large.maxRssMb),
      smallObjects: small.audit.objects,
      smallMaxRssMb: Math.round(small.maxRssMb),
      contentMbPerS: Math.round((FULL_SEGMENTS * 16 * 1_000) / full.audit.tookMs),
      contentMaxRssMb: Math.round(full.maxRssMb),
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  } finally {
    await gateway.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const given = process.argv.indexOf('--audit');
if (given === -1) void main();
else {
  const { settings, sample } = JSON.parse(process.argv[given + 1] ?? '{}') as { settings: S3Settings; sample: number | 'all' };
  void auditOnly(settings, sample);
}
