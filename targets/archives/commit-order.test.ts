import { parseCommits } from './commit-order';

const OUTPUT = [
  'rmgr: Transaction len (rec/tot):     34/    34, tx:        742, lsn: 0/03000148, prev 0/03000118, desc: COMMIT 2026-11-23 04:30:00.123456 UTC',
  'rmgr: Transaction len (rec/tot):     34/    34, tx:        743, lsn: 0/03000170, prev 0/03000148, desc: ABORT 2026-11-23 04:30:00.123457 UTC',
  'rmgr: Transaction len (rec/tot):    405/   405, tx:        744, lsn: 0/03000198, prev 0/03000170, desc: COMMIT 2026-11-23 04:30:00.2 UTC; subxacts: 745 746; inval msgs: catcache 55 catcache 54 relcache 16384',
  'rmgr: Transaction len (rec/tot):     66/    66, tx:          0, lsn: 0/03000330, prev 0/03000198, desc: COMMIT_PREPARED 747: 2026-11-23 04:30:00.3 UTC',
  'rmgr: Transaction len (rec/tot):     66/    66, tx:        748, lsn: 1/00000028, prev 0/03000330, desc: ASSIGNMENT xtop 748: subxacts: 749',
  'rmgr: Heap        len (rec/tot):     66/    66, tx:        748, lsn: 1/00000050, prev 0/03000330, desc: INSERT off 3 flags 0x00 COMMIT',
].join('\n');

test('commits come in WAL order, with their subtransactions, and nothing else comes', () => {
  expect(parseCommits(OUTPUT)).toEqual([
    { xid: '742', lsn: '0/3000148', time: '2026-11-23 04:30:00.123456 UTC', subxacts: [] },
    { xid: '744', lsn: '0/3000198', time: '2026-11-23 04:30:00.2 UTC', subxacts: ['745', '746'] },
    { xid: '747', lsn: '0/3000330', time: '2026-11-23 04:30:00.3 UTC', subxacts: [] },
  ]);
});
