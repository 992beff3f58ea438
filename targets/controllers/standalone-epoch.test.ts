/** The lock of the epoch, by the kernel's own: what it is to whoever cannot have it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withEpochLock } from './standalone-epoch';

let dir = '';
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'gameday-epoch-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('a lock that another holds can be tried for again, unless the wait was all the time there is; then it is free', async () => {
  await withEpochLock(dir, 5_000, async () => {
    await expect(withEpochLock(dir, 50, async () => undefined)).rejects.toMatchObject({ code: 'lock_busy', retryable: true });
    await expect(withEpochLock(dir, 50, async () => undefined, 'failover_failed')).rejects.toMatchObject({
      code: 'failover_failed',
      retryable: false,
    });
  });
  expect(await withEpochLock(dir, 5_000, async () => 'free')).toBe('free');
});
