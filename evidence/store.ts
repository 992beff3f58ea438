/**
 * Where evidence is kept: this machine's directory, always, and the shared store where one is configured. Every other room gets both from here and
 * never opens a store of its own. The shared store allocates numbers; the directory holds what people read, and what is not delivered yet.
 */
import { GamedayError } from '../core/errors';
import { homePaths } from '../core/home';
import type { Custody } from '../model/record';
import type { TargetKind } from '../model/target';
import { openDirectoryStore } from '../objects/directory-store';
import { openS3Store } from '../objects/s3-store';
import type { ObjectStore } from '../objects/store';
import { openKmsSigner } from './kms-signer';
import { readEvidenceSettings, type EvidenceSettings } from './settings';
import { openSigner, type Signer } from './signing';

export interface EvidencePlace {
  /** `drills/` of this home. */
  readonly local: ObjectStore;
  readonly localDir: string;
  /** Numbers are allocated here and bundles delivered here; the local one where nothing else is configured. */
  readonly shared: ObjectStore;
  readonly isShared: boolean;
  readonly timestamps: NonNullable<EvidenceSettings['timestamps']> | null;
  /** Of a drill on a target of this kind. */
  custody(signer: Signer): Custody;
  /** Throws `setting_invalid` if it is not the key that the settings pin. */
  signer(): Promise<Signer>;
}

const open = new Map<string, ObjectStore>();

/** One store per directory or settings and process, so that chains read once stay cached. */
function once(name: string, make: () => ObjectStore): ObjectStore {
  const known = open.get(name);
  if (known !== undefined) return known;
  const store = make();
  open.set(name, store);
  return store;
}

/** Opens nothing on the network yet. Throws `setting_invalid`, `yaml_invalid`, `file_unreadable`. */
export function openEvidence(home: string, kind: TargetKind): EvidencePlace {
  const settings = readEvidenceSettings(home);
  const { drills, keys } = homePaths(home);
  const local = once(drills, () => openDirectoryStore(drills));
  const shared = openShared(settings, kind);
  const retention = retentionOf(settings, kind);
  return {
    local,
    localDir: drills,
    shared: shared ?? local,
    isShared: shared !== null,
    timestamps: settings.timestamps ?? null,
    custody: (signer) => ({
      store: shared === null ? 'directory' : 's3',
      shared: shared !== null,
      retention,
      key: signer.kind,
      pinned: settings.key.fingerprint !== undefined,
      weakness: weaknessOf(kind, shared !== null, settings.key.fingerprint !== undefined),
    }),
    signer: () => openPinned(settings, keys),
  };
}

/** The bundles that lie beside each other in one directory, wherever it is. */
export function openBundleStore(dir: string): ObjectStore {
  return once(dir, () => openDirectoryStore(dir));
}

/** The store of a series that is looked at, named as a person names it: a target of this home (`shared` where there is one). */
export function openSharedStore(home: string): ObjectStore {
  return openEvidence(home, 'lab').shared;
}

function openShared(settings: EvidenceSettings, kind: TargetKind): ObjectStore | null {
  const { store } = settings;
  if (store === undefined) return null;
  const retention = retentionOf(settings, kind);
  const { endpoint, region, bucket, prefix, accessKey, secretKey, timeoutMs } = store;
  return once(JSON.stringify([store, retention]), () =>
    openS3Store({
      endpoint,
      region,
      bucket,
      accessKey,
      secretKey,
      timeoutMs,
      ...(prefix === undefined ? {} : { prefix }),
      ...(retention === null ? {} : { retention }),
    }),
  );
}

function retentionOf({ store }: EvidenceSettings, kind: TargetKind): Custody['retention'] {
  const days = store?.lock?.days[kind];
  return store?.lock === undefined || days === undefined ? null : { mode: store.lock.mode, days };
}

/** Said on page 1. In a lab nobody relies on it. */
function weaknessOf(kind: TargetKind, shared: boolean, pinned: boolean): string | null {
  if (kind === 'lab') return null;
  if (!shared) return 'registered locally: earlier drills may have been deleted';
  return pinned ? null : 'the signing key is not pinned: another key would not be noticed here';
}

async function openPinned({ key }: EvidenceSettings, keysDir: string): Promise<Signer> {
  const signer = key.signer === 'file' ? openSigner(keysDir) : await openKmsSigner({ ...key, keyId: key.signer.slice('awskms:'.length) });
  if (key.fingerprint !== undefined && key.fingerprint !== signer.fingerprint)
    throw new GamedayError(
      'setting_invalid',
      `the signing key has the fingerprint ${signer.fingerprint}, and evidence.yaml pins ${key.fingerprint}`,
      'bring back the right key, or hand the new fingerprint to those who verify and pin it.',
    );
  return signer;
}
