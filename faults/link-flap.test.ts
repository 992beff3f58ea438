/** Settings and toxics of link-flap; it is watched in test/live/faults.test.ts. */
import { until } from '../core/clock';
import type { FaultContext } from './contract';
import { linkFlap } from './link-flap';
import { paperContext } from './paper-target.test-data';
import { letGo, whyNotHeld } from './residents';

test('both directions flap unless said otherwise', async () => {
  const context = paperContext('flap');
  const resolved = await linkFlap.resolve(linkFlap.schema.parse({ from: 'n2', to: 'n1' }), context);
  expect(linkFlap.preview(resolved)).toBe('n2-n1: silent for 2.00 s, well for 5.00 s, again and again');
  expect(linkFlap.manualUndo(resolved, context.live.target)).toHaveLength(4);
});

test.each([{ up: '100ms' }, { down: '26s' }, { down: '2' }])('refuses %j', (more) => {
  expect(linkFlap.schema.safeParse({ from: 'n2', to: 'n1', ...more }).success).toBe(false);
});

test('what nobody holds is confirmed by nobody', async () => {
  const context = paperContext('flap');
  const resolved = await linkFlap.resolve(linkFlap.schema.parse({ from: 'n2', to: 'n1' }), context);
  expect(await linkFlap.confirm({ ...resolved, links: [] }, context)).toMatchObject({ holds: false, by: 'nothing is held' });
});

test('a Toxiproxy that answers late is told again, and the link goes on flapping', async () => {
  const context = paperContext('flap');
  const resolved = { ...(await linkFlap.resolve(linkFlap.schema.parse({ from: 'n2', to: 'n1' }), context)), upMs: 5, downMs: 5 };
  const told: string[] = [];
  const tell = (what: string) => async (): Promise<void> => {
    told.push(what);
    if (told.length === 4 || told.length === 7) throw new Error('not done within 2000 ms');
  };
  const links = { ...context.live.links, addToxic: tell('silent'), removeToxic: tell('clear') };
  const flapping = { ...context, live: { ...context.live, links } as unknown as FaultContext['live'] };
  await linkFlap.inject(resolved, flapping);
  await until(() => (told.length >= 14 ? true : null), { timeoutMs: 5_000, everyMs: 5, onTimeout: () => new Error(told.join()) });
  expect(whyNotHeld(resolved.toxic)).toBeNull();
  await letGo(resolved.toxic);
  // Two toxics a turn; the fourth and the seventh call were in vain, and their turns are done again.
  const turns = told.slice(0, 14).map((what) => what[0]);
  expect(turns.join('')).toBe('ssccccsssccssc');
});
