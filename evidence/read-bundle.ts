/** Finding and reading the drills of one home, `drills/<target>/drill-000042/`. It reads what stands there and judges no signature; `verify.ts` does. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex } from '../core/files';
import { drillName, drillSequence } from '../core/ids';
import type { DrillRecord } from '../model/record';
import { RECORD_FILE, REGISTRATION_FILE, SEAL_FILE } from './layout';
import { parseRecord } from './record-schema';
import { decodeRegistration } from './register';

export interface DrillEntry {
  readonly target: string;
  readonly drill: string;
  readonly sequence: number;
  readonly dir: string;
  readonly registeredAt: string | null;
  readonly sealed: boolean;
  /** Null while the drill runs, or when it was lost before its record was written. */
  readonly record: DrillRecord | null;
  /** Why there is no record, or why it cannot be read. */
  readonly problem: string | null;
}

export interface ReadRecord {
  readonly record: DrillRecord;
  readonly dir: string;
  /** SHA-256 of `record.json` as it stands in the bundle. */
  readonly recordSha256: string;
  readonly sealSha256: string | null;
}

/** Every drill below `drillsDir`, by target, oldest number first; of one target, or its newest alone. A bundle that cannot be read is listed with its problem. */
export function listDrills(drillsDir: string, only: { readonly target?: string; readonly newest?: number } = {}): readonly DrillEntry[] {
  if (!existsSync(drillsDir)) return [];
  const targets = readdirSync(drillsDir).filter((name) => statSync(join(drillsDir, name)).isDirectory());
  return targets
    .filter((name) => only.target === undefined || name === only.target)
    .sort()
    .flatMap((target) =>
      readdirSync(join(drillsDir, target))
        .filter((name) => /^drill-\d{6}$/.test(name))
        .sort()
        .slice(-(only.newest ?? Infinity))
        .map((drill) => entryOf(target, drill, join(drillsDir, target, drill))),
    );
}

/**
 * The record of one drill: `name` is a bundle's directory, `drill-000042` or `42`. With several targets that have this number, `target` says which.
 * Throws `drill_unknown`, `bundle_invalid`.
 */
export function readRecord(drillsDir: string, name: string, target: string | null = null): ReadRecord {
  if (existsSync(join(name, RECORD_FILE))) return readBundle(resolve(name));
  const sequence = drillSequence(name);
  if (sequence === null) throw new GamedayError('drill_unknown', `${name} is neither a drill's number nor the directory of a bundle`);
  const targets = (existsSync(drillsDir) ? readdirSync(drillsDir) : []).filter((candidate) => target === null || candidate === target);
  const dirs = targets.map((candidate) => join(drillsDir, candidate, drillName(sequence))).filter((dir) => existsSync(dir));
  const [only] = dirs;
  if (only === undefined) throw new GamedayError('drill_unknown', `no drill ${drillName(sequence)} under ${drillsDir}`);
  if (dirs.length > 1) {
    const names = dirs.map((dir) => basename(dirname(dir))).join(', ');
    throw new GamedayError('drill_unknown', `${drillName(sequence)} exists for several targets: ${names}`, 'name the target as well.');
  }
  return readBundle(only);
}

function readBundle(dir: string): ReadRecord {
  const path = join(dir, RECORD_FILE);
  if (!existsSync(path))
    throw new GamedayError('drill_unknown', `${dir} holds no ${RECORD_FILE}: the drill is running, or was lost before it was judged`);
  const data = readFileSync(path);
  const seal = join(dir, SEAL_FILE);
  return {
    record: parseRecord(parseJson(data, path), path),
    dir,
    recordSha256: sha256Hex(data),
    sealSha256: existsSync(seal) ? sha256Hex(readFileSync(seal)) : null,
  };
}

function parseJson(data: Buffer, path: string): unknown {
  try {
    return JSON.parse(data.toString('utf8'));
  } catch (error) {
    throw new GamedayError('bundle_invalid', `${path} holds no JSON`, null, { cause: error });
  }
}

function entryOf(target: string, drill: string, dir: string): DrillEntry {
  const base = { target, drill, sequence: drillSequence(drill) ?? 0, dir, sealed: existsSync(join(dir, SEAL_FILE)) };
  try {
    const registration = join(dir, REGISTRATION_FILE);
    const registeredAt = existsSync(registration) ? decodeRegistration(readFileSync(registration), registration).registeredAt : null;
    if (!existsSync(join(dir, RECORD_FILE))) return { ...base, registeredAt, record: null, problem: 'no record yet: running, or lost' };
    return { ...base, registeredAt, record: readBundle(dir).record, problem: null };
  } catch (error) {
    return { ...base, registeredAt: null, record: null, problem: messageOf(error) };
  }
}
