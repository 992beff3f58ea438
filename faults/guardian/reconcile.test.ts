/** What is removed of that which no lease holds, and that neither a place nor a stray that cannot be dealt with keeps the others; on real servers in test/live. */
import type { Stray } from '../contract';
import { paperContext } from '../paper-target.test-data';
import type { STRAY_FINDERS } from '../strays';
import type { Lease } from './lease-machine';
import { removeStrays } from './reconcile';

const stray = (step: string, removed: string[], fails = false): Stray => ({
  what: `toxic ${step}`,
  labels: [`gd-drill-000001-${step}`],
  remove: async () => {
    if (fails) throw new Error('it hangs');
    removed.push(step);
  },
});
const held = (step: string): Lease => ({ handle: { drill: 'drill-000001' }, key: { step } }) as Lease;

test('one that stays keeps neither the next of its place nor the next place; what a lease holds stays, also one armed meanwhile', async () => {
  const removed: string[] = [];
  const said: string[] = [];
  const leases = [held('mine')];
  const meanwhile: Stray = {
    ...stray('first', removed),
    remove: async () => {
      removed.push('first');
      leases.push(held('late'));
    },
  };
  const finders: typeof STRAY_FINDERS = [
    { place: 'links', find: async () => [stray('stuck', removed, true), meanwhile, stray('mine', removed), stray('late', removed)] },
    { place: 'files', find: async () => Promise.reject(new Error('no such host')) },
    { place: 'slots', find: async () => [stray('slot', removed)] },
  ];
  const done = await removeStrays(
    paperContext('x').live,
    () => leases,
    (text) => void said.push(text),
    finders,
  );
  expect(removed).toEqual(['first', 'slot']);
  expect(done).toEqual(['toxic first', 'toxic slot']);
  expect(said).toEqual(['reconcile links of paper: toxic stuck: it hangs', 'reconcile files of paper: no such host']);
});
