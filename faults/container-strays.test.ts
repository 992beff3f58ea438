/** Marks on several engines, one of which does not answer. What is done with a mark is seen in test/live/faults-container.test.ts. */
import type { LiveTarget } from '../targets/ports';
import { findContainers } from './container-strays';
import { paperContext } from './paper-target.test-data';

test('an engine that does not answer hides no other one’s marks, and is told by itself', async () => {
  const { live } = paperContext('x');
  const mark = { name: 'm', label: 'gd-drill-000042-x', note: { fault: 'container-pause', resolved: {} } };
  const host = (name: string) => ({
    ...live.host(name),
    container: { marks: async () => (name === 'n1' ? Promise.reject(new Error('no engine')) : name === 'n2' ? [mark] : []) },
  });
  const strays = await findContainers({ ...live, host } as unknown as LiveTarget);
  expect(strays.map(({ what, labels }) => [what, ...labels])).toEqual([
    ['marks beside n1'],
    ['container-pause of n2 by gd-drill-000042-x', 'gd-drill-000042-x'],
  ]);
  await expect(strays[0]?.remove()).rejects.toThrow('no engine');
});
