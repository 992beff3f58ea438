/**
 * The layout of barman-cloud: `base/<id>` with backup.info and tar archives, `wals/<first 16 digits>/<segment>`, packed or not. Its archives carry
 * no checksums: what is read is the packing's own sum and the structure of the tar inside.
 */
import { messageOf } from '../../../core/errors';
import { parseLsn } from '../../../core/lsn';
import { barmanTime, barmanWalKey, barmanWalOf, parseBackupInfo } from '../barman-layout';
import { backupFinding, byTime, listed, type ArchiveReader, type BackupFacts, type ReaderContext, type WalObject } from './archive-reader';
import { tarProblem } from './tar-check';
import { codecOf } from './unpack';

/** Larger archives are read only when everything is asked for. */
const SAMPLED_TAR_BYTES = 256 * 1024 * 1024;

export function openBarmanReader(context: ReaderContext): ArchiveReader {
  return {
    layout: 'barman-cloud',
    stanza: null,
    identity: { systemIdentifier: null, serverVersion: null, encrypted: false },
    walPrefix: 'wals/',
    walOf: (head): WalObject | 'stray' => {
      const wal = barmanWalOf(head.key);
      const codec = codecOf(wal?.extension ?? '');
      return wal === null || codec === null ? 'stray' : { ...head, name: wal.name, kind: wal.kind, codec, sha1: null };
    },
    expectedKey: barmanWalKey,
    backups: () => readBackups(context),
  };
}

async function readBackups(context: ReaderContext): Promise<BackupFacts[]> {
  const ids = new Map<string, Map<string, number>>();
  for await (const { key, bytes } of listed(context, 'base/')) {
    const [, id, name] = /^base\/([^/]+)\/([^/]+)$/.exec(key) ?? [];
    if (id === undefined || name === undefined) continue;
    const files = ids.get(id) ?? new Map<string, number>();
    ids.set(id, files.set(name, bytes));
  }
  const found: BackupFacts[] = [];
  const newest = [...ids.keys()].at(-1);
  for (const [id, files] of ids) {
    // Archives are read whole or not at all: of a sample, only the newest backup's.
    const isRead = context.filesPerBackup === Infinity || (context.filesPerBackup > 0 && id === newest);
    const facts = await readBackup({ ...context, filesPerBackup: isRead ? context.filesPerBackup : 0 }, id, files);
    if (facts !== null) found.push(facts);
  }
  return found.sort(byTime);
}

/** Null for what is no backup, or none yet. */
async function readBackup(context: ReaderContext, label: string, files: ReadonlyMap<string, number>): Promise<BackupFacts | null> {
  const key = `base/${label}/backup.info`;
  const data = await context.store.get(key);
  if (data === null) {
    const remedy = 'barman-cloud-backup writes backup.info when it ends; remove what is left if none is running.';
    backupFinding(context, { severity: 'high', key, label, what: 'backup.info is missing: nothing restores what lies beside it', remedy });
    return null;
  }
  const fields = parseBackupInfo(Buffer.from(data).toString('utf8'));
  const status = fields.get('status');
  if (status !== undefined && status !== 'DONE') {
    const severity = status === 'FAILED' ? 'medium' : 'low';
    backupFinding(context, {
      severity,
      key,
      label,
      what: `its status is ${status}: it cannot be restored`,
      remedy: 'it needs no repair if a later backup is DONE.',
    });
    return null;
  }
  const facts = { label, key, type: 'full', needs: [] } as const;
  try {
    const version = Number(fields.get('version'));
    const known = {
      ...facts,
      timeline: number(fields, 'timeline'),
      startLsn: parseLsn(required(fields, 'begin_xlog')),
      stopLsn: parseLsn(required(fields, 'end_xlog')),
      startWal: fields.get('begin_wal') ?? null,
      finishedAt: barmanTime(fields.get('end_time')),
      systemIdentifier: fields.get('systemid') ?? null,
      serverVersion: version >= 100_000 ? Math.floor(version / 10_000) : null,
    };
    return { ...known, whole: await checkArchives(context, label, files, fields) };
  } catch (error) {
    backupFinding(context, { severity: 'high', key, label, what: `backup.info cannot be used: ${messageOf(error)}` });
    return {
      ...facts,
      timeline: null,
      startLsn: null,
      stopLsn: null,
      startWal: null,
      finishedAt: null,
      systemIdentifier: null,
      serverVersion: null,
      whole: false,
    };
  }
}

function required(fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name);
  if (value === undefined || !/^[0-9A-Fa-f]+\/[0-9A-Fa-f]+$/.test(value)) throw new Error(`it states no ${name}`);
  return value;
}

function number(fields: ReadonlyMap<string, string>, name: string): number {
  const value = Number(fields.get(name));
  if (!Number.isInteger(value)) throw new Error(`it states no ${name}`);
  return value;
}

async function checkArchives(
  context: ReaderContext,
  label: string,
  files: ReadonlyMap<string, number>,
  fields: ReadonlyMap<string, string>,
): Promise<boolean | null> {
  if (fields.has('snapshots_info')) {
    context.book.leaveOut('backups', 'a backup by volume snapshots: its data is not in the bucket');
    return null;
  }
  const tablespaces = [...(fields.get('tablespaces') ?? '').matchAll(/\(['"][^'"]*['"], ([0-9]+),/g)].map((match) => match[1] ?? '');
  const results = [];
  for (const base of ['data', ...tablespaces]) results.push(await checkSeries(context, label, base, files));
  return results.every(Boolean);
}

/** `data.tar.gz`, and `data_0001.tar.gz` and so on where the archive was cut. */
async function checkSeries(context: ReaderContext, label: string, base: string, files: ReadonlyMap<string, number>): Promise<boolean> {
  const pattern = new RegExp(`^${base}(?:_([0-9]{4}))?\\.tar(?:\\.([a-z0-9]+))?$`);
  const parts = [...files].flatMap(([name, bytes]) => {
    const match = pattern.exec(name);
    return match === null ? [] : [{ name, bytes, at: Number(match[1] ?? 0), codec: codecOf(match[2] ?? '') }];
  });
  let whole = true;
  const damaged = (name: string, what: string): void => {
    whole = false;
    backupFinding(context, { severity: 'high', key: `base/${label}/${name}`, label, what });
  };
  if (parts.length === 0) damaged(`${base}.tar*`, 'an archive of the backup is missing');
  const highest = parts.reduce((high, { at }) => Math.max(high, at), 0);
  for (let at = 0; at < highest; at += 1)
    if (!parts.some((part) => part.at === at))
      damaged(at === 0 ? `${base}.tar*` : `${base}_${String(at).padStart(4, '0')}.tar*`, 'a part of an archive of the backup is missing');
  for (const { name, bytes, codec } of parts) {
    if (bytes === 0) damaged(name, 'an archive of the backup is empty');
    else if (context.filesPerBackup === 0) continue;
    else if (bytes <= SAMPLED_TAR_BYTES || context.filesPerBackup === Infinity) {
      const problem = await tarProblem(await context.store.read(`base/${label}/${name}`), codec ?? 'snappy', context.signal);
      if (problem.kind === 'not-examined') context.book.leaveOut('backups', problem.why);
      else if (problem.kind === 'damaged') damaged(name, problem.why);
    } else context.book.leaveOut('backups', 'archives above 256 MB are read by --all');
  }
  return whole;
}
