/** What awk prints, read back; that pg_waldump and awk print it is shown by the live test of the fork. */
import { parseCounts } from './fork-records';

test('counts stand by relation and operation, commit times first and last', () => {
  const text = [
    'records 9',
    'commits 3',
    'aborts 1',
    'commit 2026-11-23 07:39:12.123456',
    'commit 2026-11-23 07:39:14.5',
    '1663/16384/16390 INSERT 4',
    '1663/16384/16390 INSERT+INIT 1',
    '1663/5/2619 HOT_UPDATE 2',
    '',
  ].join('\n');
  const { totals, commitTimes, byRelation } = parseCounts(text);
  expect(Object.fromEntries(totals)).toEqual({ records: 9, commits: 3, aborts: 1 });
  expect(commitTimes).toEqual(['2026-11-23T07:39:12.123456Z', '2026-11-23T07:39:14.5Z']);
  expect(Object.fromEntries(byRelation.get('1663/16384/16390') ?? [])).toEqual({ INSERT: 4, 'INSERT+INIT': 1 });
  expect(byRelation.size).toBe(2);
});
