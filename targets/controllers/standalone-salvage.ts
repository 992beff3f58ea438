/**
 * Has a node written WAL that the current primary's history does not contain, and if so, save it before anything can overwrite it.
 * Reads only files, so that it works on a node that is down; it copies and never changes the node's own directory.
 */
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { fsyncDirectory, readJsonFile, writeFileDurably } from '../../core/files';
import { formatLsn, parseLsn, parseWalSegmentName, WAL_SEGMENT_BYTES } from '../../core/lsn';
import type { Target, TargetNode } from '../../model/target';
import { ancestry, type TimelineSpan } from '../archives/wal-chain';
import type { Host, LiveTarget, SalvageResult } from '../ports';
import { removeExpired, sealDirectory } from './quarantine';
import { manifestOf, type Manifest } from './quarantine-encryption';
import { requireNode } from './standalone-config';
import { currentEntry, readNodeEpoch, type EpochFile } from './standalone-epoch';
import { readControlData, type ControlData } from './standalone-server';

export interface Divergence {
  readonly forkLsn: bigint;
  readonly endLsn: bigint;
  readonly timeline: number;
}

/**
 * Where two histories part: the end of their last common timeline (pg_rewind's rule: same timeline id, same begin; the earlier end).
 * Null if the node's history is the whole beginning of the current one and both stand on the same timeline.
 */
export function forkPoint(node: readonly TimelineSpan[], current: readonly TimelineSpan[]): bigint | null {
  let common = -1;
  for (const [at, span] of node.entries()) {
    const other = current[at];
    if (other === undefined || other.timeline !== span.timeline || other.begin !== span.begin) break;
    common = at;
  }
  if (common < 0) return 0n;
  const ends = [node[common]?.end, current[common]?.end].filter((end): end is bigint => end !== null && end !== undefined);
  return ends.length === 0 ? null : ends.reduce((a, b) => (a < b ? a : b));
}

/**
 * End of valid WAL from pg_waldump's complaint at its end; null if it says that no record follows `from`. Throws `fork_salvage_failed` on anything
 * else: what cannot be read may hold commits that exist nowhere else.
 */
export function parseWalEnd(stderr: string, from: bigint): bigint | null {
  if (/could not find a valid record after/.test(stderr)) return null;
  const last = /error in WAL record at ([0-9A-F]+\/[0-9A-F]+):(.*)/.exec(stderr);
  if (last?.[1] === undefined)
    throw new GamedayError(
      'fork_salvage_failed',
      `the end of WAL cannot be told, so neither whether commits beyond ${formatLsn(from)} exist: ${stderr.trim().slice(-300) || 'pg_waldump said nothing'}`,
    );
  const record = parseLsn(last[1]);
  if (record < from) return null;
  const next = / at ([0-9A-F]+\/[0-9A-F]+)/.exec(last[2] ?? '')?.[1];
  const end = next === undefined ? record : parseLsn(next);
  return end > record ? end : record;
}

async function listWal(host: Host, node: TargetNode): Promise<readonly string[]> {
  const result = await host.exec(['ls', '-1', join(node.dataDir, 'pg_wal')], { asNode: true, timeoutMs: 10_000 });
  if (result.code !== 0) throw new GamedayError('fork_salvage_failed', `pg_wal of ${node.name} cannot be listed: ${result.stderr.trim()}`);
  return result.stdout.split('\n').filter((name) => name !== '');
}

/** The node's timeline: the highest it wrote or received WAL on. History files do not count: a standby fetches those of others. */
function timelineOf(names: readonly string[], control: ControlData): number {
  const segments = names.map((name) => parseWalSegmentName(name)?.timeline ?? 0);
  return Math.max(control.checkpointTimeline, control.minRecoveryTimeline, ...segments);
}

async function readSpans(host: Host, node: TargetNode, timeline: number): Promise<readonly TimelineSpan[] | null> {
  if (timeline === 1) return [{ timeline: 1, begin: 0n, end: null }];
  const name = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  const text = await host.readFile(join(node.dataDir, 'pg_wal', name));
  return text === null ? null : ancestry(timeline, text);
}

/** The current primary's history from its own files, else as far as the epoch file tells it. */
export async function currentHistory(live: LiveTarget, epoch: EpochFile): Promise<readonly TimelineSpan[]> {
  const node = requireNode(live.target, epoch.primary);
  const host = live.host(epoch.primary);
  if (await host.exists(join(node.dataDir, 'PG_VERSION'))) {
    const timeline = timelineOf(await listWal(host, node), await readControlData(host, node));
    const spans = await readSpans(host, node, timeline);
    if (spans !== null) return spans;
  }
  const known = epoch.history.filter((entry) => entry.timeline !== null);
  return known.map((entry, at) => {
    const end = known[at + 1]?.forkLsn ?? null;
    return {
      timeline: entry.timeline ?? 1,
      begin: entry.forkLsn === null ? 0n : parseLsn(entry.forkLsn),
      end: end === null ? null : parseLsn(end),
    };
  });
}

/**
 * WAL that ends with a whole segment has no file after it: a primary makes the next one when it first writes there. That this file is missing says that
 * nothing was written, provided that the segment before it is there; a directory without that one too says nothing at all.
 */
export function endsBefore(from: bigint, timeline: number, names: readonly string[]): boolean {
  if (from % WAL_SEGMENT_BYTES !== 0n) return false;
  const starts = names.map(parseWalSegmentName).filter((segment) => segment?.timeline === timeline);
  return starts.some((segment) => segment?.start === from - WAL_SEGMENT_BYTES) && !starts.some((segment) => (segment?.start ?? 0n) >= from);
}

/** As `parseWalEnd`; WAL that was switched to the end of its segment, and to a next one that nobody had begun, ends there. */
export function walEndOf(stderr: string, from: bigint, timeline: number, names: readonly string[]): bigint | null {
  const missing = parseWalSegmentName(/could not find file "([0-9A-F]{24})"/.exec(stderr)?.[1] ?? '');
  if (missing !== null && missing.start > from && endsBefore(missing.start, timeline, names)) return missing.start;
  return parseWalEnd(stderr, from);
}

async function walEnd(host: Host, node: TargetNode, timeline: number, from: bigint, names: readonly string[]): Promise<bigint | null> {
  if (endsBefore(from, timeline, names)) return null;
  const argv = [join(node.binDir, 'pg_waldump'), '-q', '-p', join(node.dataDir, 'pg_wal'), '-t', String(timeline), '-s', formatLsn(from)];
  const result = await host.exec(argv, { asNode: true, timeoutMs: 60_000 });
  return walEndOf(result.stderr, from, timeline, names);
}

/** What the node holds beyond the point where the current primary's history left its own; null if nothing. */
export async function findDivergence(live: LiveTarget, name: string, epoch: EpochFile): Promise<Divergence | null> {
  if (name === epoch.primary) return null;
  const node = requireNode(live.target, name);
  const host = live.host(name);
  const [names, control] = [await listWal(host, node), await readControlData(host, node)];
  const timeline = timelineOf(names, control);
  const current = await currentHistory(live, epoch);
  const own = await readSpans(host, node, timeline);
  const lastWrote = await readNodeEpoch(host, node);
  let forkLsn = own === null ? (current.at(-1)?.begin ?? 0n) : forkPoint(own, current);
  if (forkLsn === null) {
    // Same timeline number and begin, yet it was promoted under another epoch: two promotions met in one number.
    const twin = epoch.history.some(
      (entry) =>
        entry.epoch === lastWrote &&
        entry.timeline === timeline &&
        entry.primary === name &&
        entry.epoch < epoch.epoch &&
        currentEntry(epoch).timeline === timeline,
    );
    if (!twin) return null;
    forkLsn = current.at(-1)?.begin ?? 0n;
  }
  const recovered = control.minRecoveryTimeline === timeline ? parseLsn(control.minRecoveryLsn) : 0n;
  const end = (await walEnd(host, node, timeline, forkLsn, names)) ?? forkLsn;
  const endLsn = end > recovered ? end : recovered;
  return endLsn > forkLsn ? { forkLsn, endLsn, timeline } : null;
}

async function copyTail(host: Host, node: TargetNode, divergence: Divergence, directory: string): Promise<void> {
  const first = divergence.forkLsn - (divergence.forkLsn % WAL_SEGMENT_BYTES);
  const wanted = (await listWal(host, node)).filter((file) => {
    const segment = parseWalSegmentName(file.slice(0, 24));
    return (
      file.endsWith('.history') ||
      (segment !== null &&
        (file.length === 24 || file.endsWith('.partial')) &&
        segment.start >= first &&
        segment.start <= divergence.endLsn)
    );
  });
  const sources = [...wanted.map((file) => join(node.dataDir, 'pg_wal', file)), join(node.dataDir, 'global', 'pg_control')];
  const copied = await host.exec(['cp', '--', ...sources, directory], { asNode: false, timeoutMs: 300_000 });
  if (copied.code !== 0)
    throw new GamedayError('fork_salvage_failed', `copying the diverged WAL of ${node.name} to ${directory}: ${copied.stderr.trim()}`);
  writeFileDurably(join(directory, 'pg_controldata.txt'), (await readControlData(host, node)).text);
}

/** On the worker's machine: beside the epoch file, or for a target with a controller of its own below gameday's run directory. */
export function quarantineDir({ name, controller, runDir }: Target): string {
  return controller.kind === 'standalone' ? join(controller.stateDir, 'quarantine') : join(runDir, 'quarantine', name);
}

/** Without what was found in it since. */
function asSaved({ node, forkLsn, endLsn, divergedBytes, timeline, directory, sha256, files }: Manifest): SalvageResult {
  return { node, forkLsn, endLsn, divergedBytes, timeline, directory, sha256, files };
}

/**
 * Copies the diverged tail into `<quarantine>/<node>-<epoch>`, durable when it resolves. Idempotent: a finished copy is not made again.
 * Throws `fork_salvage_failed`, and then the node must not be started.
 */
export async function salvageTail(live: LiveTarget, name: string, epoch: EpochFile, divergence: Divergence): Promise<SalvageResult> {
  removeExpired(quarantineDir(live.target), Date.now());
  const directory = join(quarantineDir(live.target), `${name}-${epoch.epoch}`);
  const manifest = manifestOf(directory);
  const done = readJsonFile<Manifest>(manifest);
  if (done !== null && parseLsn(done.endLsn) >= divergence.endLsn && parseLsn(done.forkLsn) === divergence.forkLsn) return asSaved(done);
  const temporary = `${directory}.new`;
  try {
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true, mode: 0o700 });
    await copyTail(live.host(name), requireNode(live.target, name), divergence, temporary);
    const seal = await sealDirectory(temporary);
    // Before what it speaks of is replaced: a crash in between must not make an older manifest speak of what is new.
    rmSync(manifest, { force: true });
    fsyncDirectory(dirname(directory));
    rmSync(directory, { recursive: true, force: true });
    renameSync(temporary, directory);
    fsyncDirectory(dirname(directory));
    const result: SalvageResult = {
      node: name,
      forkLsn: formatLsn(divergence.forkLsn),
      endLsn: formatLsn(divergence.endLsn),
      divergedBytes: Number(divergence.endLsn - divergence.forkLsn),
      timeline: divergence.timeline,
      directory,
      ...seal,
    };
    writeFileDurably(manifest, `${JSON.stringify(result, null, 2)}\n`);
    return result;
  } catch (error) {
    if (error instanceof GamedayError) throw error;
    throw new GamedayError(
      'fork_salvage_failed',
      `the diverged WAL of ${name} could not be saved to ${directory}: ${messageOf(error)}`,
      null,
      { cause: error },
    );
  }
}
