/**
 * The files of one restore from the native archive: base parts through `tar`, WAL through the prefetcher. Every byte is verified before it is used.
 */
import { spawn } from 'node:child_process';
import { GamedayError, messageOf } from '../../core/errors';
import { WAL_SEGMENT_BYTES } from '../../core/lsn';
import type { CheckResult } from '../../model/record';
import type { ObjectStore } from '../../objects/store';
import type { BackupView, RestoreEstimate } from '../ports';
import { downloadParts, type BackupManifest } from './base-backup';
import type { RestoreSource, WalSupply } from './sandbox-restore';
import { runTool, type SandboxPlace } from './sandbox-server';
import { WalFeeder } from './wal-feeder';

export interface NativeWay {
  readonly store: ObjectStore;
  readonly manifest: BackupManifest;
  readonly segments: readonly string[];
  readonly fetchWal: (name: string) => Promise<Buffer | null>;
}

export function estimateNative({ manifest, segments }: Pick<NativeWay, 'manifest' | 'segments'>): RestoreEstimate {
  return {
    backup: viewOf(manifest),
    baseBytes: manifest.bytes,
    walBytes: segments.length * Number(WAL_SEGMENT_BYTES),
    segments,
    requests: manifest.parts.length + segments.length,
  };
}

export function nativeSource(way: NativeWay): RestoreSource {
  return {
    estimate: estimateNative(way),
    async fetchBase(place, signal, onBytes) {
      await unpackBase(place, way.store, way.manifest, signal, onBytes);
      return way.manifest.bytes;
    },
    verifyBase,
    openWal: (place, _signal, onDelivered) => openWal(way, place, onDelivered),
  };
}

async function openWal({ segments, fetchWal }: NativeWay, place: SandboxPlace, onDelivered: () => void): Promise<WalSupply> {
  const wanted = new Set(segments);
  let delivered = { segments: 0, bytes: 0 };
  const feeder = new WalFeeder({
    dir: place.walDir,
    owner: place.owner,
    plan: segments,
    fetch: fetchWal,
    onDelivered: (name, bytes) => {
      if (!wanted.has(name)) return;
      delivered = { segments: delivered.segments + 1, bytes: delivered.bytes + bytes };
      onDelivered();
    },
  });
  return {
    command: await feeder.start(),
    release: () => undefined,
    failure: () => feeder.failure,
    delivered: () => delivered,
    stop: () => feeder.stop(),
  };
}

export function viewOf(manifest: BackupManifest): BackupView {
  const { name, timeline, startLsn, stopLsn, startWal, finishedAt, bytes } = manifest;
  return { name, timeline, startLsn, stopLsn, startWal, finishedAt, bytes };
}

/** Pipes the parts through `tar` as the sandbox's user; the kernel's pipe and PARALLEL parts bound the memory. */
async function unpackBase(
  place: SandboxPlace,
  store: ObjectStore,
  manifest: BackupManifest,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const owner = place.owner === null ? {} : { uid: place.owner.uid, gid: place.owner.gid };
  const tar = spawn('tar', ['-x', '-f', '-', '--no-same-owner', '-p', '-C', place.dataDir], {
    stdio: ['pipe', 'ignore', 'pipe'],
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    ...owner,
  });
  let stderr = '';
  tar.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-2_048)));
  const ended = new Promise<string>((resolve) => {
    tar.on('error', (error) => resolve(messageOf(error)));
    tar.on('close', (code) => resolve(code === 0 ? '' : `tar: exit ${code ?? 'by a signal'}: ${stderr.trim()}`));
  });
  let broken = false;
  tar.stdin.on('error', () => (broken = true));
  const onAbort = (): void => void tar.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  let bytes = 0;
  try {
    for await (const plain of downloadParts(store, manifest, signal)) {
      if (broken) break;
      await new Promise<void>((resolve) => tar.stdin.write(plain, () => resolve()));
      bytes += plain.length;
      onBytes(bytes);
    }
    tar.stdin.end();
    const problem = await ended;
    signal.throwIfAborted();
    if (problem !== '') throw new GamedayError(/No space left/.test(problem) ? 'disk_full' : 'restore_failed', problem);
  } finally {
    signal.removeEventListener('abort', onAbort);
    tar.kill('SIGKILL');
    await ended;
  }
}

/** pg_verifybackup, before the first start changes a file. WAL is not in the backup: `-n`; it is verified on its way in. */
async function verifyBase(place: SandboxPlace, signal: AbortSignal): Promise<CheckResult> {
  const result = await runTool(place, 'pg_verifybackup', ['-n', '-q', place.dataDir], { timeoutMs: 3_600_000, signal });
  if (result.code !== 0)
    throw new GamedayError('object_corrupt', `pg_verifybackup: ${result.stderr.trim().split('\n').slice(0, 3).join('; ')}`);
  return {
    name: 'pg_verifybackup',
    ok: true,
    found: 'every file equals the backup manifest',
    expected: 'every file equals the backup manifest',
    hint: null,
  };
}
