/**
 * The quarantine outside labs: what an old primary alone held is encrypted to the certificate that the target names, and only whoever has its key can read it.
 * Each step is durable before the next: a crash leaves what lies in the clear, which the next try encrypts, or what is encrypted, and never neither.
 * Runs on the node's host, which holds the public certificate alone.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { fsyncDirectory, readJsonFile, writeFileDurably } from '../../core/files';
import type { EncryptedFork, ForkRecord, Maybe } from '../../model/record';
import type { Target } from '../../model/target';
import type { Host, LiveTarget, SalvageResult } from '../ports';
import { fsyncFile, sealDirectory } from './quarantine';

const ENCRYPT_TIMEOUT_MS = 120_000;

/** `<fork>.json` beside the fork's directory: what was saved, and outside labs what was found in it and how it was encrypted. */
export interface Manifest extends SalvageResult {
  readonly examined?: ForkRecord;
  readonly encrypted?: EncryptedFork;
}

export const manifestOf = (directory: string): string => `${directory}.json`;
const encryptedDir = (directory: string): string => `${directory}.cms`;

/** Why nothing is encrypted where nothing can be; null where it can. A lab's rows are nobody's. */
export function whyInTheClear({ kind, quarantine }: Pick<Target, 'kind' | 'quarantine'>): string | null {
  if (kind === 'lab') return 'a lab’s rows are made up';
  return quarantine === undefined ? 'the target file names no `quarantine.certificate`' : null;
}

/** What the sceptic runs too (docs/MEASUREMENT.md): the file is streamed, one at a time, so that memory does not grow with it. */
export function encryptCommand(from: string, to: string, certificate: string): readonly string[] {
  return ['openssl', 'cms', '-encrypt', '-aes-256-cbc', '-binary', '-stream', '-outform', 'DER', '-in', from, '-out', to, certificate];
}

async function encryptFile(host: Host, from: string, to: string, certificate: string): Promise<void> {
  const done = await host.exec([...encryptCommand(from, to, certificate)], { asNode: false, timeoutMs: ENCRYPT_TIMEOUT_MS });
  if (done.code !== 0)
    throw new GamedayError(
      'fork_salvage_failed',
      `${basename(from)} could not be encrypted to ${certificate}: ${done.stderr.trim().slice(-300) || `openssl ended with ${done.code}`}`,
      'the files are whole and in the clear; mend `quarantine.certificate` of the target file, and the next drill encrypts them.',
    );
}

export function certificateSha256(certificate: string): string {
  try {
    return new X509Certificate(readFileSync(certificate)).fingerprint256.replaceAll(':', '').toLowerCase();
  } catch (error) {
    throw new GamedayError('file_unreadable', `${certificate} holds no certificate in PEM: ${messageOf(error)}`);
  }
}

/**
 * Encrypts a saved fork and removes what lay in the clear, after the encrypted files are durable and their digest stands in the manifest. Idempotent: what is
 * encrypted is not encrypted again. Throws `fork_salvage_failed`, `file_unreadable`, and then what was saved is still there.
 */
export async function encryptFork(host: Host, directory: string, certificate: string): Promise<EncryptedFork> {
  const manifest = readJsonFile<Manifest>(manifestOf(directory));
  if (manifest === null)
    throw new GamedayError('fork_salvage_failed', `${manifestOf(directory)} is missing: the fork was not saved to its end`);
  await encryptRows(host, directory, certificate);
  if (manifest.encrypted !== undefined && (await isWhole(directory, manifest.encrypted))) {
    await removePlain(directory, manifest);
    return manifest.encrypted;
  }
  if (!existsSync(directory))
    throw new GamedayError(
      'fork_salvage_failed',
      `${encryptedDir(directory)} is not what was encrypted, and what lay in the clear is gone`,
    );
  const recipient = certificateSha256(certificate);
  const temporary = `${encryptedDir(directory)}.new`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { mode: 0o700 });
  for (const name of readdirSync(directory).sort())
    await encryptFile(host, join(directory, name), join(temporary, `${name}.cms`), certificate);
  const seal = await sealDirectory(temporary);
  rmSync(encryptedDir(directory), { recursive: true, force: true });
  renameSync(temporary, encryptedDir(directory));
  fsyncDirectory(dirname(directory));
  const encrypted: EncryptedFork = { ...seal, certificateSha256: recipient };
  writeManifest(directory, { ...manifest, encrypted });
  await removePlain(directory, manifest);
  return encrypted;
}

/** Its age is the fork's, by which it is removed one day: saying more of a fork makes it no younger. */
function writeManifest(directory: string, manifest: Manifest): void {
  const path = manifestOf(directory);
  const { atime, mtime } = statSync(path);
  writeFileDurably(path, `${JSON.stringify(manifest, null, 2)}\n`);
  utimesSync(path, atime, mtime);
}

async function isWhole(directory: string, { sha256 }: EncryptedFork): Promise<boolean> {
  return existsSync(encryptedDir(directory)) && (await sealDirectory(encryptedDir(directory))).sha256 === sha256;
}

/** Only what the manifest speaks of: a tail that was saved again meanwhile is another one. The rename makes the removal one step. */
async function removePlain(directory: string, { sha256 }: Pick<Manifest, 'sha256'>): Promise<void> {
  const removed = `${directory}.removed`;
  rmSync(removed, { recursive: true, force: true });
  if (!existsSync(directory)) return;
  if ((await sealDirectory(directory)).sha256 !== sha256)
    throw new GamedayError('fork_salvage_failed', `${directory} is not what was encrypted; it is left as it is`);
  renameSync(directory, removed);
  fsyncDirectory(dirname(directory));
  rmSync(removed, { recursive: true, force: true });
}

/** The rows by number lie beside the directory, one file a probe table; a file is removed once its encrypted twin is durable. */
async function encryptRows(host: Host, directory: string, certificate: string): Promise<void> {
  const beside = dirname(directory);
  const rows = readdirSync(beside).filter((name) => name.startsWith(`${basename(directory)}.`) && name.endsWith('.ndjson.gz'));
  for (const name of rows) {
    const [from, to] = [join(beside, name), join(beside, `${name}.cms`)];
    await encryptFile(host, from, `${to}.new`, certificate);
    fsyncFile(`${to}.new`);
    renameSync(`${to}.new`, to);
    fsyncDirectory(beside);
    rmSync(from);
    fsyncDirectory(beside);
  }
}

/**
 * Every fork in the quarantine that still lies in the clear, encrypted now: what a crash or a halted drill left. Returns in words what stays in the clear, and
 * why; nothing in a lab.
 */
export async function encryptLeftovers(live: Pick<LiveTarget, 'target' | 'host'>, quarantine: string): Promise<readonly string[]> {
  const { target } = live;
  const why = whyInTheClear(target);
  if (target.kind === 'lab' || !existsSync(quarantine)) return [];
  const forks = readdirSync(quarantine).filter(
    (name) => name.endsWith('.json') && existsSync(join(quarantine, name.slice(0, -'.json'.length))),
  );
  const left: string[] = [];
  for (const name of forks) {
    const directory = join(quarantine, name.slice(0, -'.json'.length));
    const node = readJsonFile<Manifest>(join(quarantine, name))?.node ?? '';
    const say = (reason: string): void => void left.push(`${directory}: what ${node} alone held lies there in the clear: ${reason}`);
    if (target.quarantine === undefined || why !== null) say(why ?? 'no certificate');
    else await encryptFork(live.host(node), directory, target.quarantine.certificate).catch((error: unknown) => say(messageOf(error)));
  }
  return left;
}

/** What the record says of it. `examined` is kept beside, because nobody can look into the fork again. */
export async function sealFork(
  live: Pick<LiveTarget, 'target' | 'host'>,
  { directory, node }: SalvageResult,
  examined: ForkRecord,
): Promise<ForkRecord> {
  const { target } = live;
  if (target.kind === 'lab') return examined;
  const why = whyInTheClear(target);
  const encrypt = async (): Promise<Maybe<EncryptedFork>> => {
    if (target.quarantine === undefined || why !== null) return { notRecorded: why ?? 'no certificate' };
    const manifest = readJsonFile<Manifest>(manifestOf(directory));
    if (manifest !== null && manifest.encrypted === undefined) writeManifest(directory, { ...manifest, examined });
    return encryptFork(live.host(node), directory, target.quarantine.certificate).catch((error: unknown) => ({
      notRecorded: messageOf(error),
    }));
  };
  return { ...examined, quarantine: { ...examined.quarantine, encrypted: await encrypt() } };
}
