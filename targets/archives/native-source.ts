/**
 * The files of one restore from the native archive: base parts straight into place, WAL through the prefetcher. Every byte is verified before it is used.
 */
import { join } from 'node:path';
import { present } from '../../core/assert';
import { GamedayError } from '../../core/errors';
import { parseWalSegmentName, WAL_SEGMENT_BYTES, walSegmentName } from '../../core/lsn';
import type { CheckResult } from '../../model/record';
import type { Target } from '../../model/target';
import { PATIENT_RETRY } from '../../objects/store-retry';
import type { BackupView, RecoveryTarget, RestoreEstimate } from '../ports';
import { endsWithArchive } from './archive-end';
import { openRestoreStore } from './archive-store';
import type { BackupManifest } from './base-backup';
import { restoreBase } from './base-restore';
import type { RestoreSource, WalSupply } from './sandbox-restore';
import { runTool, type SandboxPlace } from './sandbox-server';
import { historyName } from './wal-chain';
import { WalFeeder, type FeederPlan } from './wal-feeder';
import { Unpacker } from './unpacker';
import { walFetcher, type WalSource } from './wal-fetch';

export interface NativeWay {
  readonly target: Target;
  /** Node over whose link to the store everything comes; null: straight. */
  readonly through: string | null;
  readonly manifest: BackupManifest;
  readonly recovery: RecoveryTarget;
  readonly segments: readonly string[];
  /** Bytes of the WAL objects that are known to be there, by name. */
  readonly sizes: ReadonlyMap<string, number>;
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

/** Over a store of its own, patient with one that is overloaded or starts again. */
export function nativeSource(way: NativeWay): RestoreSource {
  const { target, manifest, through } = way;
  const store = openRestoreStore(target, through, PATIENT_RETRY);
  let unpacker: Unpacker | null = null;
  return {
    estimate: estimateNative(way),
    async fetchBase(place, signal, onBytes) {
      const { dataDir, owner } = place;
      const opened = present(unpacker, 'WAL that was opened before');
      await restoreBase({ store, unpacker: opened, manifest, dataDir, journal: join(place.dir, 'base.json'), owner, signal, onBytes });
      return manifest.bytes;
    },
    verifyBase,
    openWal(place, _signal, onDelivered) {
      unpacker = new Unpacker();
      return openWal(way, { store, unpacker }, place, onDelivered);
    },
  };
}

async function openWal(
  { target, recovery, segments, sizes }: NativeWay,
  { store, unpacker }: Pick<WalSource, 'store' | 'unpacker'>,
  place: SandboxPlace,
  onDelivered: () => void,
): Promise<WalSupply> {
  const wanted = new Set(segments);
  let delivered = { segments: 0, bytes: 0 };
  const feeder = new WalFeeder({
    dir: place.walDir,
    owner: place.owner,
    plan: walPlan(segments, recovery),
    fetch: walFetcher({ store, unpacker, systemIdentifier: target.systemIdentifier, sizes }),
    onDelivered: (name, bytes) => {
      if (!wanted.has(name)) return;
      delivered = { segments: delivered.segments + 1, bytes: delivered.bytes + bytes };
      onDelivered();
    },
  });
  const stop = async (): Promise<void> => {
    await feeder.stop();
    await unpacker.close();
  };
  try {
    const command = await feeder.start();
    return { command, needsNetwork: false, failure: () => feeder.failure, delivered: () => delivered, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * What recovery will ask for: the history of its timeline, and the segments. Besides, the segment behind the last, because PostgreSQL reads ahead, and whether
 * anybody has taken the number of the timeline that it begins at its end. It looks at the history more than once, and where it stops it reads the last record
 * again. A restore of all that the archive holds asks for the segment behind when it gets there: there may be more by then.
 */
export function walPlan(segments: readonly string[], recovery: Pick<RecoveryTarget, 'timeline' | 'setting' | 'value'>): FeederPlan {
  const { timeline } = recovery;
  const last = parseWalSegmentName(segments.at(-1) ?? '');
  const history = historyName(timeline);
  const behind =
    last === null || last.timeline !== timeline || endsWithArchive(recovery)
      ? []
      : [walSegmentName(timeline, last.start + WAL_SEGMENT_BYTES)];
  return {
    needed: timeline === 1 ? segments : [history, ...segments],
    besides: [...behind, historyName(timeline + 1), ...(timeline === 1 ? [history] : [])],
    again: new Set([...segments.slice(-1), history]),
  };
}

export function viewOf(manifest: BackupManifest): BackupView {
  const { name, timeline, startLsn, stopLsn, startWal, finishedAt, bytes } = manifest;
  return { name, timeline, startLsn, stopLsn, startWal, finishedAt, bytes };
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
