/** Offsets of clocks: the bounds hold whatever the way there took, and a node that does not answer says so. Against a server: test/live/drill.test.ts. */
import { openTarget } from './open-target';
import { sampleTarget } from '../test/sample-plan';
import { offsetBetween, readClocks, tightest } from './clock-offsets';

const NOW = 1_764_401_234_567;

test('the bounds hold the true offset, wherever between question and answer the server looked', () => {
  for (const offset of [-86_400_000, -0.7, 0, 0.2, 300_000]) {
    for (const looked of [0, 0.4, 3.2]) {
      // Our own reading cut off as much as 0.9 ms.
      const { lowMs, highMs } = offsetBetween({ beforeMs: NOW, tookMs: 3.2, serverMs: NOW + 0.9 + looked + offset });
      expect(lowMs).toBeLessThanOrEqual(offset);
      expect(highMs).toBeGreaterThanOrEqual(offset);
      expect(highMs - lowMs).toBeLessThan(3.2 + 1.01);
    }
  }
});

test('a clock that is off by more than the way there took is told from a true one', () => {
  const slow = offsetBetween({ beforeMs: NOW, tookMs: 2, serverMs: NOW - 30_000 });
  expect(slow.highMs).toBeLessThan(-29_999);
  const fast = offsetBetween({ beforeMs: NOW, tookMs: 2, serverMs: NOW + 30_000 });
  expect(fast.lowMs).toBeGreaterThan(29_996);
});

test('of several tries the tightest counts', () => {
  const wide = { lowMs: -9, highMs: 1 };
  const tight = { lowMs: -2, highMs: -1 };
  expect(tightest([wide, tight, { lowMs: -5, highMs: 0 }])).toEqual(tight);
});

test('a node that does not answer has no offset, with the reason; the others are asked all the same', async () => {
  const { at, nodes, synchronised } = await readClocks(openTarget(sampleTarget()));
  expect(Math.abs(Date.parse(at) - Date.now())).toBeLessThan(30_000);
  expect(nodes.map(({ node }) => node)).toEqual(['n1', 'n2', 'n3']);
  for (const { node, offset } of nodes) expect(offset).toEqual({ notRecorded: expect.stringMatching(`^${node} did not answer: .+`) });
  // Whichever machine this runs on, it says yes, no, or who was asked.
  expect(JSON.stringify(synchronised)).toMatch(/NTPSynchronized=(yes|no)|leap status|timedatectl: .+; chronyc: .+/);
}, 20_000);
