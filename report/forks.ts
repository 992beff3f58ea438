/** What the old primary alone held: commits and rows beyond the fork, as counted before anything was rewound or rebuilt. Never a host's path. Pure. */
import { formatBytes } from '../core/units';
import type { DrillRecord, ForkRecord } from '../model/record';
import { markup, type Markup } from './markup';
import { tableOf } from './table';
import { formatCount, isNotRecorded } from './words';

/** One fork in words; null facts say why. */
export function forkFacts({
  node,
  timeline,
  forkLsn,
  endLsn,
  divergedBytes,
  wal,
  probeRows,
  quarantine,
}: ForkRecord): readonly (readonly [string, string])[] {
  const commits = isNotRecorded(wal)
    ? `not recorded: ${wal.notRecorded}`
    : `${formatCount(wal.commits)} committed, ${formatCount(wal.aborts)} aborted${wal.firstCommitAt === null ? '' : `, ${wal.firstCommitAt} to ${wal.lastCommitAt ?? '?'}`}`;
  return [
    ['Old primary', `${node}, timeline ${timeline}`],
    ['Beyond the fork', `${forkLsn} to ${endLsn}, ${formatBytes(divergedBytes)} of WAL`],
    ['Transactions', commits],
    [
      'Probe rows that stand there alone',
      isNotRecorded(probeRows) ? `not recorded: ${probeRows.notRecorded}` : `${formatCount(probeRows.count)}, SHA-256 ${probeRows.sha256}`,
    ],
    [
      'Quarantine',
      `${formatCount(quarantine.files)} files, SHA-256 ${quarantine.sha256}; kept on the node’s host${encryptionText(quarantine)}`,
    ],
  ];
}

function encryptionText({ encrypted }: ForkRecord['quarantine']): string {
  if (encrypted === undefined) return '';
  if (isNotRecorded(encrypted)) return `, in the clear: ${encrypted.notRecorded}`;
  return `, encrypted: SHA-256 ${encrypted.sha256}, to the certificate with SHA-256 ${encrypted.certificateSha256}`;
}

/** Rows of the table by relation; empty where the WAL was not decoded. */
export function forkRelations({ wal }: ForkRecord): readonly (readonly string[])[] {
  if (isNotRecorded(wal)) return [];
  return wal.relations.map(({ database, relation, inserts, updates, deletes, other }) => [
    database,
    relation,
    ...[inserts, updates, deletes, other].map(formatCount),
  ]);
}

export const FORK_COLUMNS = ['Database', 'Relation', 'Inserts', 'Updates', 'Deletes', 'Other'] as const;

export function forksSection(record: DrillRecord): Markup {
  if (record.forks.length === 0) return markup`<p>No node held anything that the surviving history lacks.</p>`;
  return markup`${record.forks.map((fork) => {
    const rows = forkRelations(fork).map(
      ([database = '', relation = '', ...counts]) =>
        markup`<tr><td>${database}</td><th scope="row">${relation}</th>${counts.map((count) => markup`<td class="num">${count}</td>`)}</tr>`,
    );
    return markup`<h3>${fork.node}</h3><dl class="facts wide">${forkFacts(fork).map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>${
      rows.length === 0 ? null : tableOf(FORK_COLUMNS, rows)
    }`;
  })}`;
}
