/**
 * Leases on disk, one file each, replaced durably: after a crash at any line a lease is what it was before or after, never a part.
 * A file that cannot be read stops the guardian from starting to inject; it is reported, never skipped in silence.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { sha256Hex, writeFileDurably } from '../../core/files';
import type { LeaseKey } from '../../model/fault';
import type { Lease } from './lease-machine';

/** Tombstones older than this are removed at start: no activity's retries last longer. */
const KEEP_TOMBSTONES_MS = 90 * 24 * 3_600_000;

export function leaseId(key: LeaseKey): string {
  return sha256Hex(JSON.stringify([key.workflowId, key.runId, key.step])).slice(0, 32);
}

export interface LeaseStore {
  /** Every lease, newest armed first, and the files that could not be read. */
  load(): { readonly leases: readonly Lease[]; readonly unreadable: readonly string[] };
  /** Durable when it returns. Throws what the file system throws. */
  save(lease: Lease): void;
}

function readLease(path: string): Lease {
  const lease = JSON.parse(readFileSync(path, 'utf8')) as Lease;
  if (lease.formatVersion !== 1 || typeof lease.key?.step !== 'string' || typeof lease.state !== 'string')
    throw new GamedayError('file_unreadable', `${path} is no lease of format 1`);
  return lease;
}

/** What is on disk, newest armed first, for whoever must know it while no guardian runs. Changes nothing. */
export function readLeases(dir: string): ReturnType<LeaseStore['load']> {
  const leases: Lease[] = [];
  const unreadable: string[] = [];
  for (const name of existsSync(dir) ? readdirSync(dir).filter((each) => each.endsWith('.json')) : []) {
    try {
      leases.push(readLease(join(dir, name)));
    } catch (error) {
      unreadable.push(`${join(dir, name)}: ${messageOf(error)}`);
    }
  }
  leases.sort((a, b) => b.order - a.order);
  return { leases, unreadable };
}

export function openLeaseStore(dir: string): LeaseStore {
  return {
    load() {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      // Left by a crash before the rename: the lease's own file is the one that counts.
      for (const name of readdirSync(dir)) if (name.endsWith('.tmp')) rmSync(join(dir, name), { force: true });
      const { leases, unreadable } = readLeases(dir);
      const old = (lease: Lease): boolean => lease.state === 'gone' && Date.now() - Date.parse(lease.armedAt) > KEEP_TOMBSTONES_MS;
      for (const lease of leases.filter(old)) rmSync(join(dir, `${leaseId(lease.key)}.json`), { force: true });
      return { leases: leases.filter((lease) => !old(lease)), unreadable };
    },
    save(lease) {
      writeFileDurably(join(dir, `${leaseId(lease.key)}.json`), `${JSON.stringify(lease, null, 1)}\n`);
    },
  };
}

export interface StandingHalt {
  readonly by: string;
  readonly reason: string;
  readonly at: string;
}

/** The safety lever: while its file exists nothing is armed or injected. A file that cannot be read counts as a halt. */
export function readHalt(path: string): StandingHalt | null {
  if (!existsSync(path)) return null;
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as StandingHalt;
  } catch (error) {
    return { by: 'unknown', reason: `${path} cannot be read: ${messageOf(error)}`, at: 'unknown' };
  }
}

export function writeHalt(path: string, halt: StandingHalt | null): void {
  if (halt === null) rmSync(path, { force: true });
  else writeFileDurably(path, `${JSON.stringify(halt)}\n`);
}
