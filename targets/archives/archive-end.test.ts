/** How far an archive leads by itself: the newest timeline that WAL was archived on, whatever else claims to be one. */
import { archiveEnd } from './archive-end';

const backup = { name: 'one', timeline: 2 };
const held =
  (names: Readonly<Record<number, readonly string[]>>) =>
  async (timeline: number): Promise<readonly string[]> =>
    names[timeline] ?? [];

test('the end of the last segment of the newest timeline, over numbers that nothing was archived on', async () => {
  const names = { 2: ['000000020000000000000003'], 3: [], 5: ['000000050000000000000004', '0000000500000001000000FF'] };
  expect(await archiveEnd([backup], held(names))).toEqual({ timeline: 5, lsn: '2/0' });
});

test('a timeline older than the newest backup is not gone back to', async () => {
  expect(
    await archiveEnd([{ name: 'old', timeline: 1 }, backup], held({ 1: ['0000000100000000000000FE'], 2: ['000000020000000000000003'] })),
  ).toEqual({
    timeline: 2,
    lsn: '0/4000000',
  });
});

test.each([
  ['no backup', [], {}, 'backup_missing', /holds no backup/],
  ['a backup without any WAL', [backup], {}, 'wal_missing', /no WAL of timeline 2, on which backup one was taken/],
] as const)('%s leads nowhere', async (_what, backups, names, code, message) => {
  await expect(archiveEnd(backups, held(names))).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
});
