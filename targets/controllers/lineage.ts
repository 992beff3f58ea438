/**
 * The history of timelines that the primary stands on, from its own history file: what must go on from the one before a drill, whoever was promoted meanwhile.
 * Reads only.
 */
import { join } from 'node:path';
import { formatLsn } from '../../core/lsn';
import { ancestry, historyName } from '../archives/wal-chain';
import type { LiveTarget, Topology } from '../ports';
import { requireNode } from './standalone-config';

/** Oldest first, e.g. `1 until 0/5000140`, and last the timeline that is written now; null where it cannot be read. */
export async function readLineage(live: LiveTarget, { primary, nodes }: Topology): Promise<readonly string[] | null> {
  const timeline = nodes.find(({ node }) => node === primary)?.timeline ?? null;
  if (primary === null || timeline === null) return null;
  if (timeline === 1) return ['1'];
  const file = join(requireNode(live.target, primary).dataDir, 'pg_wal', historyName(timeline));
  const history = await live
    .host(primary)
    .readFile(file)
    .catch(() => null);
  if (history === null) return null;
  return ancestry(timeline, history).map((span) =>
    span.end === null ? String(span.timeline) : `${span.timeline} until ${formatLsn(span.end)}`,
  );
}

/** In words, or nothing: the history at the end is the one at the start, gone on at most. */
export function lineageDifferences(before: readonly string[] | null | undefined, after: readonly string[] | null | undefined): string[] {
  if (before === null || before === undefined || after === null || after === undefined) return [];
  const written = before.at(-1) ?? '';
  const goesOn = before.slice(0, -1).every((span, at) => after[at] === span) && (after[before.length - 1] ?? '').split(' ')[0] === written;
  return goesOn ? [] : [`the history of timelines is ${after.join(', ')}, which does not go on from ${before.join(', ')}`];
}
