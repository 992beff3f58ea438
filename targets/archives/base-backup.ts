/**
 * Base backups of the native archive: pg_basebackup's tar stream, cut into compressed parts that go up in parallel with bounded memory.
 * A backup exists only once its manifest object does, which is written last and once; every part's SHA-256 stands in it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { join } from 'node:path';
import { nowUtc } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { sha256Hex } from '../../core/files';
import { parseLsn, walSegmentName } from '../../core/lsn';
import { resolveSecret } from '../../core/secrets';
import type { Target, TargetNode } from '../../model/target';
import type { ObjectStore } from '../../objects/store';
import { TarMember } from './tar-tail';

const compress = promisify(gzip);

const PART_BYTES = 8 * 1024 * 1024;
/** Of gzip: a backup is taken once and at leisure, and a restore, which is waited for, unpacks this a sixth faster than level 1. */
const LEVEL = 4;
/** Parts in flight; bounds memory to about twice this many parts. */
const PARALLEL = 4;
const MANIFEST_LIMIT_BYTES = 64 * 1024 * 1024;
const PARTS_LIMIT = 1_000_000;
const FORMAT = 1;

export interface BackupPart {
  readonly key: string;
  /** Of the object as stored. */
  readonly sha256: string;
  readonly bytes: number;
  readonly plainBytes: number;
}

/** `base/<name>/manifest.json`: all that a restore needs to know. */
export interface BackupManifest {
  readonly format: number;
  readonly name: string;
  readonly node: string;
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly startWal: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Of the uncompressed tar stream. */
  readonly bytes: number;
  readonly parts: readonly BackupPart[];
}

export function manifestKey(backup: string): string {
  return `base/${backup}/manifest.json`;
}

/** All backups that are complete, oldest first. */
export async function listBackups(store: ObjectStore): Promise<BackupManifest[]> {
  const found: BackupManifest[] = [];
  for await (const head of store.list('base/')) {
    const name = /^base\/([^/]+)\/manifest\.json$/.exec(head.key)?.[1];
    if (name !== undefined) found.push(await readManifest(store, name));
  }
  return found.sort((a, b) => (a.finishedAt < b.finishedAt ? -1 : 1));
}

/** Throws `backup_missing` if there is none of this name, `object_corrupt` if its manifest is unusable. */
export async function readManifest(store: ObjectStore, name: string): Promise<BackupManifest> {
  const data = await store.get(manifestKey(name));
  if (data === null) throw new GamedayError('backup_missing', `there is no backup ${name} in ${store.description}`);
  try {
    const manifest = JSON.parse(Buffer.from(data).toString('utf8')) as BackupManifest;
    if (manifest.format !== FORMAT || manifest.name !== name || !Array.isArray(manifest.parts))
      throw new Error('not a manifest of this format');
    parseLsn(manifest.startLsn);
    parseLsn(manifest.stopLsn);
    return manifest;
  } catch (error) {
    throw new GamedayError('object_corrupt', `${manifestKey(name)}: ${messageOf(error)}`, null, { cause: error });
  }
}

interface Streamed {
  readonly parts: readonly BackupPart[];
  readonly bytes: number;
  /** pg_basebackup's own manifest, from the end of the stream. */
  readonly postgresManifest: Buffer | null;
}

async function uploadParts(stream: AsyncIterable<Buffer>, prefix: string, store: ObjectStore, signal: AbortSignal): Promise<Streamed> {
  const member = new TarMember('backup_manifest', MANIFEST_LIMIT_BYTES);
  const parts: BackupPart[] = [];
  const flying = new Set<Promise<void>>();
  let failure: unknown = null;
  let bytes = 0;
  let buffered: Buffer[] = [];
  let bufferedBytes = 0;
  const launch = async (): Promise<void> => {
    const plain = Buffer.concat(buffered);
    [buffered, bufferedBytes] = [[], 0];
    const at = parts.length;
    if (at >= PARTS_LIMIT) throw new GamedayError('step_failed', `the backup has more than ${PARTS_LIMIT} parts`);
    const key = `${prefix}part-${String(at).padStart(6, '0')}.gz`;
    parts.push({ key, sha256: '', bytes: 0, plainBytes: plain.length });
    const work = (async () => {
      const packed = await compress(plain, { level: LEVEL });
      await store.put(key, packed);
      parts[at] = { key, sha256: sha256Hex(packed), bytes: packed.length, plainBytes: plain.length };
    })()
      .catch((error: unknown) => void (failure ??= error))
      .finally(() => flying.delete(work));
    flying.add(work);
    if (flying.size >= PARALLEL) await Promise.race(flying);
  };
  try {
    for await (const chunk of stream) {
      signal.throwIfAborted();
      if (failure !== null) break;
      member.feed(chunk);
      bytes += chunk.length;
      buffered.push(chunk);
      bufferedBytes += chunk.length;
      if (bufferedBytes >= PART_BYTES) await launch();
    }
    if (bufferedBytes > 0 && failure === null) await launch();
  } finally {
    await Promise.all(flying);
  }
  if (failure !== null) throw failure instanceof Error ? failure : new Error(messageOf(failure));
  return { parts, bytes, postgresManifest: member.content() };
}

function startBaseBackup(
  target: Target,
  node: TargetNode,
  label: string,
): { readonly child: ChildProcess; readonly ended: Promise<string> } {
  const role = target.roles.replicate;
  const argv = [
    '-h',
    node.host,
    '-p',
    String(node.port),
    '-U',
    role.user,
    '-D',
    '-',
    '-Ft',
    '-X',
    'none',
    '-c',
    'fast',
    '-l',
    label,
    '--no-password',
  ];
  const password = role.password === null ? {} : { PGPASSWORD: resolveSecret(role.password) };
  const env = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', PGCONNECT_TIMEOUT: '5', PGAPPNAME: 'gameday_backup', ...password };
  const child = spawn(join(node.binDir, 'pg_basebackup'), argv, { stdio: ['ignore', 'pipe', 'pipe'], env, cwd: '/' });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-8_192)));
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(messageOf(error)));
    child.on('close', (code) =>
      resolve(code === 0 ? '' : `exit ${code ?? 'by a signal'}: ${stderr.trim().split('\n').slice(-3).join('; ')}`),
    );
  });
  return { child, ended };
}

/** First and last position of the backup's WAL, from PostgreSQL's manifest (`WAL-Ranges`). */
function walRange(manifest: Buffer | null): { readonly timeline: number; readonly startLsn: string; readonly stopLsn: string } {
  const ranges =
    manifest === null
      ? undefined
      : (JSON.parse(manifest.toString('utf8')) as { 'WAL-Ranges'?: { Timeline: number; 'Start-LSN': string; 'End-LSN': string }[] })[
          'WAL-Ranges'
        ];
  const [first, last] = [ranges?.[0], ranges?.at(-1)];
  if (first === undefined || last === undefined) throw new GamedayError('step_failed', 'pg_basebackup wrote no manifest with a WAL range');
  return { timeline: first.Timeline, startLsn: first['Start-LSN'], stopLsn: last['End-LSN'] };
}

/** Takes a backup of a running node over a direct connection. It returns after PostgreSQL saw the backup's WAL archived. On failure the parts are removed. */
export async function takeBaseBackup(target: Target, node: TargetNode, store: ObjectStore, signal: AbortSignal): Promise<BackupManifest> {
  signal.throwIfAborted();
  const startedAt = nowUtc();
  const name = `${startedAt.replace(/[-:]|\.[0-9]+/g, '')}-${node.name}-${process.pid}`;
  const prefix = `base/${name}/`;
  const { child, ended } = startBaseBackup(target, node, `gameday ${name}`);
  const onAbort = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const streamed = await uploadParts(child.stdout as AsyncIterable<Buffer>, prefix, store, signal);
    const problem = await ended;
    signal.throwIfAborted();
    if (problem !== '')
      throw new GamedayError(
        'step_failed',
        `pg_basebackup of ${node.name}: ${problem}`,
        'the node must be up, the replicate role allowed in, and WAL archiving must work.',
      );
    const range = walRange(streamed.postgresManifest);
    const manifest: BackupManifest = {
      format: FORMAT,
      name,
      node: node.name,
      systemIdentifier: target.systemIdentifier,
      ...range,
      startWal: walSegmentName(range.timeline, parseLsn(range.startLsn)),
      startedAt,
      finishedAt: nowUtc(),
      bytes: streamed.bytes,
      parts: streamed.parts,
    };
    if (!(await store.create(manifestKey(name), Buffer.from(JSON.stringify(manifest)))))
      throw new GamedayError('object_exists', `${manifestKey(name)} is there already`);
    return manifest;
  } catch (error) {
    child.kill('SIGKILL');
    await ended;
    // Parts without a manifest are no backup; what cannot be removed now does no harm.
    await removeAll(store, prefix).catch(() => undefined);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function removeAll(store: ObjectStore, prefix: string): Promise<void> {
  for await (const head of store.list(prefix)) await store.delete(head.key);
}
