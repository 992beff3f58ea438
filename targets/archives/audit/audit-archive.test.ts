import type { ArchiveLayout } from '../../../model/archive-audit';
import { auditOf, makeArchive } from './made-archives.test-data';

const FORMS: readonly (readonly [ArchiveLayout, string | undefined])[] = [
  ['native', undefined],
  ['pgbackrest', 'gz'],
  ['pgbackrest', 'lz4'],
  ['wal-g', 'lz4'],
  ['barman-cloud', 'gz'],
];

test.each(FORMS)(
  'a healthy archive of layout %s (%s) has no finding',
  async (layout, extension) => {
    const archive = await makeArchive(layout, extension === undefined ? {} : { extension });
    const audit = await auditOf(archive, { layout: null, windowMs: 48 * 3_600_000, maxAgeMs: 300_000 });
    expect(audit.findings).toEqual([]);
    expect(audit).toMatchObject({ layout, serverVersion: 15, segments: 14, examined: 14, walSegmentBytes: archive.segmentBytes });
    expect(audit.checks.filter(({ state }) => state !== 'fine')).toEqual([]);
    expect(audit.windows).toHaveLength(1);
  },
  60_000,
);
