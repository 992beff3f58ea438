/** Settings and toxics of link-drip; the drip is timed in test/live/faults.test.ts. */
import { linkDrip } from './link-drip';
import { paperContext } from './paper-target.test-data';

test('pieces and pauses are said, and the toxic is on the answers', async () => {
  const context = paperContext('drip');
  const resolved = await linkDrip.resolve(linkDrip.schema.parse({ from: 'standbys', to: 'primary', bytes: 32, delay: '5ms' }), context);
  expect(resolved).toMatchObject({ direction: 'down', detail: { bytes: 32, delayMs: 5 } });
  expect(linkDrip.preview(resolved)).toBe('n2-n1, n3-n1: pieces of 32 bytes, 5.0 ms apart (answers only)');
  expect(linkDrip.manualUndo(resolved, context.live.target)).toHaveLength(4);
});

test.each([
  [{ bytes: 0 }, 'bytes'],
  [{ delay: '0ms' }, 'delay'],
  [{ bytes: 1, delay: '1s' }, 'delay'],
  [{ bytes: 1, delay: '25ms' }, 'delay'],
  [{ bytes: 10_000, delay: '1900ms' }, 'delay'],
])('refuses %j', (more, where) => {
  const parsed = linkDrip.schema.safeParse({ from: 'n2', to: 'n1', ...more });
  expect(parsed.error?.issues.map(({ path }) => path.join('.'))).toEqual([where]);
});

test.each([
  { bytes: 1, delay: '24ms' },
  { bytes: 10_000, delay: '1800ms' },
])('takes %j, which ends within its proof', (more) => {
  expect(linkDrip.schema.safeParse({ from: 'n2', to: 'n1', ...more }).success).toBe(true);
});
