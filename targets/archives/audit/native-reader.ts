/** The native layout: `base/<name>/manifest.json` names every part with size and SHA-256; `wal/<timeline>/<segment>.gz` carries its own sum. */
import { createHash } from 'node:crypto';
import { messageOf } from '../../../core/errors';
import { parseLsn } from '../../../core/lsn';
import { manifestKey, readManifest, type BackupManifest } from '../base-backup';
import { walFileKind, walKey, walNameOfKey } from '../wal-object';
import { backupFinding, byTime, listed, type ArchiveReader, type BackupFacts, type ReaderContext } from './archive-reader';
import { Sample } from './seeded-sample';

export function openNativeReader(context: ReaderContext): ArchiveReader {
  return {
    layout: 'native',
    stanza: null,
    identity: { systemIdentifier: null, serverVersion: null, encrypted: false },
    walPrefix: 'wal/',
    walOf: (head) => {
      const name = walNameOfKey(head.key);
      const kind = name === null ? null : walFileKind(name);
      if (name === null || kind === null) return 'stray';
      return { ...head, name, kind, codec: kind === 'history' ? 'plain' : 'gzip', sha1: null };
    },
    expectedKey: walKey,
    backups: () => readBackups(context),
  };
}

async function readBackups(context: ReaderContext): Promise<BackupFacts[]> {
  const names = new Map<string, boolean>();
  for await (const { key } of context.store.list('base/')) {
    const match = /^base\/([^/]+)\/(.+)$/.exec(key);
    if (match?.[1] !== undefined) names.set(match[1], (names.get(match[1]) ?? false) || match[2] === 'manifest.json');
  }
  const found: BackupFacts[] = [];
  for (const [name, hasManifest] of names) {
    if (hasManifest) found.push(await readBackup(context, name));
    else
      backupFinding(context, {
        severity: 'low',
        key: `base/${name}/`,
        label: name,
        what: 'parts without a manifest: a backup under way, or one that broke off',
        remedy: 'remove them if no backup is running.',
      });
  }
  return found.sort(byTime);
}

async function readBackup(context: ReaderContext, name: string): Promise<BackupFacts> {
  const key = manifestKey(name);
  const facts = { label: name, key, type: 'full', serverVersion: null, needs: [] } as const;
  let manifest: BackupManifest;
  try {
    manifest = await readManifest(context.store, name);
  } catch (error) {
    backupFinding(context, { severity: 'high', key, label: name, what: `the manifest cannot be read: ${messageOf(error)}` });
    return {
      ...facts,
      timeline: null,
      startLsn: null,
      stopLsn: null,
      startWal: null,
      finishedAt: null,
      systemIdentifier: null,
      whole: false,
    };
  }
  const { timeline, startLsn, stopLsn, startWal, finishedAt, systemIdentifier } = manifest;
  const whole = (await checkListing(context, manifest)) && (await checkParts(context, manifest));
  return { ...facts, timeline, startLsn: parseLsn(startLsn), stopLsn: parseLsn(stopLsn), startWal, finishedAt, systemIdentifier, whole };
}

async function checkListing(context: ReaderContext, { name, parts }: BackupManifest): Promise<boolean> {
  const sizes = new Map<string, number>();
  for await (const head of listed(context, `base/${name}/`)) sizes.set(head.key, head.bytes);
  let whole = true;
  for (const { key, bytes } of parts) {
    const found = sizes.get(key);
    if (found === bytes) continue;
    whole = false;
    const what = found === undefined ? 'a part of the backup is missing' : `a part of the backup has ${found} bytes, not ${bytes}`;
    backupFinding(context, { severity: 'high', key, label: name, what });
  }
  return whole;
}

async function checkParts(context: ReaderContext, { name, parts }: BackupManifest): Promise<boolean> {
  const sample = new Sample<BackupManifest['parts'][number]>(context.filesPerBackup, context.random);
  for (const part of parts) sample.offer(part);
  let whole = true;
  for (const { key, sha256 } of sample.items) {
    context.signal.throwIfAborted();
    const data = await context.store.get(key);
    const found = data === null ? 'no object' : createHash('sha256').update(data).digest('hex');
    if (found === sha256) continue;
    whole = false;
    const what = `a part of the backup has SHA-256 ${found.slice(0, 12)}…, not ${sha256.slice(0, 12)}…`;
    backupFinding(context, { severity: 'high', key, label: name, what });
  }
  return whole;
}
