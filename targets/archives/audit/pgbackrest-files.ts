/**
 * The files of pgBackRest's backups: what each manifest names against what is listed, in one pass over the listing, and a sample of them read and
 * compared with its SHA-1. It holds the file list of one backup at a time, and of the others only what is missing.
 */
import { createHash } from 'node:crypto';
import type { ObjectHead } from '../../../objects/store';
import { backupFinding, listed, type BackupFacts, type ReaderContext } from './archive-reader';
import { scanInfoFile } from './info-file';
import { Sample } from './seeded-sample';
import { codecOf, unpack } from './unpack';

export type ListedBackup = Omit<BackupFacts, 'key' | 'systemIdentifier' | 'serverVersion' | 'whole'>;

/** Larger files are compared by size alone: they would have to be held whole. */
const READ_LIMIT_BYTES = 64 * 1024 * 1024;

interface ManifestFile {
  readonly name: string;
  /** Label whose directory holds it, if not its own. */
  readonly reference: string | null;
  readonly bundle: number | null;
  readonly offset: number;
  readonly size: number;
  readonly repoSize: number;
  readonly sha1: string | null;
  readonly isBlockIncremental: boolean;
}

interface Manifest {
  readonly problem: string | null;
  readonly extension: string;
  readonly isBundled: boolean;
}

function readManifest(data: Uint8Array, onFile: (file: ManifestFile) => void): Manifest {
  let extension = '';
  let isBundled = false;
  const problem = scanInfoFile(data, (section, key, value) => {
    if (section === 'backup:option' && key === 'option-compress-type' && value !== 'none') extension = `.${String(value)}`;
    if (section === 'backup' && key === 'backup-bundle') isBundled = value === true;
    if (section !== 'target:file' || typeof value !== 'object' || value === null) return;
    const entry = value as Readonly<Record<string, unknown>>;
    const number = (name: string): number | null => (typeof entry[name] === 'number' ? entry[name] : null);
    const text = (name: string): string | null => (typeof entry[name] === 'string' ? entry[name] : null);
    const size = number('size') ?? 0;
    onFile({
      name: key,
      reference: text('reference'),
      bundle: number('bni'),
      offset: number('bno') ?? 0,
      size,
      repoSize: number('repo-size') ?? size,
      sha1: text('checksum'),
      isBlockIncremental: 'bi' in entry || 'bims' in entry,
    });
  });
  return { problem, extension, isBundled };
}

/** Object of a file, relative to its label's directory. Null: nothing is stored for it. */
function objectOf(file: ManifestFile, { extension, isBundled }: Manifest): string | null {
  if (file.bundle !== null) return `bundle/${file.bundle}`;
  if (isBundled && file.size === 0) return null;
  return `${file.name}${file.isBlockIncremental ? '.pgbi' : extension}`;
}

const LABEL = /^[0-9]{8}-[0-9]{6}F(?:_[0-9]{8}-[0-9]{6}[DI])?$/;

/** Label → are all files there, and those that were read as they should be. */
export async function checkManifests(
  context: ReaderContext,
  stanza: string,
  backups: readonly ListedBackup[],
): Promise<ReadonlyMap<string, boolean>> {
  const check = new ManifestCheck(context, `backup/${stanza}/`, backups);
  for await (const head of listed(context, `backup/${stanza}/`)) {
    const [, , label = '', ...rest] = head.key.split('/');
    if (LABEL.test(label) && rest.length > 0) await check.see(label, rest.join('/'), head);
  }
  await check.end();
  return check.whole;
}

/** Labels of an encrypted repository, by the manifests that are there. */
export async function labelsByListing(
  context: ReaderContext,
  stanza: string,
): Promise<readonly { readonly label: string; readonly finishedAt: string }[]> {
  const labels: { label: string; finishedAt: string }[] = [];
  for await (const { key, modifiedAt } of listed(context, `backup/${stanza}/`)) {
    const [, , label = '', name] = key.split('/');
    if (LABEL.test(label) && name === 'backup.manifest') labels.push({ label, finishedAt: modifiedAt });
  }
  return labels;
}

/** One label after the other, in the order of the listing, in which a label comes after all that it refers to. */
class ManifestCheck {
  readonly whole = new Map<string, boolean>();
  private label: string | null = null;
  private manifest: Manifest | null = null;
  /** Least size of each object of the label that is being listed; what is seen is taken out. */
  private readonly expected = new Map<string, { readonly bytes: number; readonly exact: boolean }>();
  /** Full keys of objects that are missing or too short. */
  private readonly bad = new Set<string>();
  private sample = new Sample<ManifestFile>(0, () => 0);

  constructor(
    private readonly context: ReaderContext,
    private readonly prefix: string,
    private readonly backups: readonly ListedBackup[],
  ) {}

  async see(label: string, name: string, head: ObjectHead): Promise<void> {
    if (label !== this.label) {
      await this.finish();
      await this.begin(label);
    }
    const wanted = this.expected.get(name);
    if (wanted === undefined) return;
    this.expected.delete(name);
    if (wanted.exact ? head.bytes === wanted.bytes : head.bytes >= wanted.bytes) return;
    this.report(label, head.key, `a file of the backup has ${head.bytes} bytes, not ${wanted.exact ? '' : 'at least '}${wanted.bytes}`);
    this.bad.add(head.key);
    this.whole.set(label, false);
  }

  async end(): Promise<void> {
    await this.finish();
    for (const { label } of this.backups)
      if (!this.whole.has(label)) {
        this.report(label, `${this.prefix}${label}/backup.manifest`, 'backup.info names a backup that is not there');
        this.whole.set(label, false);
      }
  }

  private report(label: string, key: string, what: string, severity: 'high' | 'medium' = 'high'): void {
    backupFinding(this.context, { severity, key, label, what });
  }

  private async begin(label: string): Promise<void> {
    this.label = label;
    this.manifest = null;
    this.expected.clear();
    if (!this.backups.some((backup) => backup.label === label)) {
      backupFinding(this.context, {
        severity: 'low',
        key: `${this.prefix}${label}/`,
        label,
        what: 'backup.info does not name it: a backup under way, one that broke off, or one of an older server',
        remedy: 'pgBackRest removes or resumes it with the next backup.',
      });
      return;
    }
    this.sample = new Sample(this.context.filesPerBackup, this.context.random);
    this.whole.set(label, true);
    const key = `${this.prefix}${label}/backup.manifest`;
    const data = (await this.context.store.get(key)) ?? (await this.fromCopy(label, key));
    if (data !== null) this.expectFiles(label, key, data);
    else this.whole.set(label, false);
  }

  private async fromCopy(label: string, key: string): Promise<Uint8Array | null> {
    const copy = await this.context.store.get(`${key}.copy`);
    this.report(
      label,
      key,
      copy === null ? 'the manifest and its copy are missing' : 'the manifest is missing; its copy is there',
      copy === null ? 'high' : 'medium',
    );
    return copy;
  }

  private expectFiles(label: string, key: string, data: Uint8Array): void {
    const files: ManifestFile[] = [];
    const manifest = readManifest(data, (file) => files.push(file));
    if (manifest.problem !== null) {
      this.report(label, key, `the manifest is damaged: ${manifest.problem}`);
      this.whole.set(label, false);
      return;
    }
    this.manifest = manifest;
    const borrowed = new Map<string, string>();
    for (const file of files) {
      const object = objectOf(file, manifest);
      if (object === null) continue;
      if (file.reference !== null && file.reference !== label) {
        const full = `${this.prefix}${file.reference}/${object}`;
        if (this.whole.get(file.reference) === undefined) borrowed.set(`${this.prefix}${file.reference}/backup.manifest`, file.reference);
        else if (this.bad.has(full)) borrowed.set(full, file.reference);
        continue;
      }
      const before = this.expected.get(object)?.bytes ?? 0;
      this.expected.set(object, {
        bytes: Math.max(before, file.offset + file.repoSize),
        exact: file.bundle === null && !file.isBlockIncremental,
      });
      this.sample.offer(file);
    }
    for (const [full, reference] of borrowed) {
      this.report(label, full, `it needs a file of backup ${reference} that is not there or not whole`);
      this.whole.set(label, false);
    }
  }

  private async finish(): Promise<void> {
    const { label, manifest } = this;
    if (label === null || manifest === null) return;
    for (const name of this.expected.keys()) {
      const key = `${this.prefix}${label}/${name}`;
      this.report(label, key, 'a file of the backup is missing');
      this.bad.add(key);
      this.whole.set(label, false);
    }
    for (const file of this.sample.items) await this.read(label, manifest, file);
  }

  /** The plain bytes against the manifest's SHA-1. */
  private async read(label: string, manifest: Manifest, file: ManifestFile): Promise<void> {
    const { context } = this;
    context.signal.throwIfAborted();
    const object = objectOf(file, manifest);
    const key = `${this.prefix}${label}/${object}`;
    if (object === null || file.sha1 === null || file.size === 0 || this.bad.has(key)) return;
    if (file.isBlockIncremental || file.size > READ_LIMIT_BYTES) {
      context.book.leaveOut(
        'backups',
        file.isBlockIncremental ? 'block-incremental files are not read' : 'files above 64 MB are compared by size alone',
      );
      return;
    }
    const parts: Uint8Array[] = [];
    for await (const part of await context.store.read(key, { start: file.offset, end: file.offset + file.repoSize - 1 })) parts.push(part);
    const plain = await unpack(codecOf(manifest.extension.slice(1)) ?? 'plain', Buffer.concat(parts), file.size + 1);
    if (plain.kind === 'not-examined') return context.book.leaveOut('backups', plain.why);
    const found = plain.kind === 'plain' ? createHash('sha1').update(plain.data).digest('hex') : plain.why;
    if (found === file.sha1) return;
    const words = plain.kind === 'plain' ? `has SHA-1 ${found.slice(0, 12)}…, not ${file.sha1.slice(0, 12)}…` : found;
    this.report(label, key, `${file.name} of the backup ${words}`);
    this.bad.add(key);
    this.whole.set(label, false);
  }
}
