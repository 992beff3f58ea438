/** The ladder's order and its limits, with links that hang as Toxiproxy does; the real Toxiproxy hangs in test/live/guardian.test.ts. */
import type { TargetLink } from '../model/target';
import type { Links } from '../targets/ports';
import { removeToxics, type PlacedToxic } from './link-undo';
import { paperContext } from './paper-target.test-data';

const forever = (): Promise<never> => new Promise<never>(() => undefined);
const placedOn = (links: readonly TargetLink[]): readonly PlacedToxic[] =>
  links.map((link) => ({ link, toxic: { name: 'gd-drill-000042-x', type: 'latency', stream: 'downstream', toxicity: 1, attributes: {} } }));

/** Removing hangs until the process is restarted; disabling answers when `disabled` lets it. */
function hangingLinks(calls: string[], disabled: () => Promise<void>): Links {
  let restarted = false;
  const all = paperContext('x').live.links?.list() ?? [];
  return {
    list: () => all,
    find: () => null,
    ensure: async () => undefined,
    state: async () => ({ exists: true, enabled: true, toxics: [] }),
    addToxic: async () => undefined,
    removeToxic: (link) => (calls.push(`remove ${link.name}`), restarted ? Promise.resolve() : forever()),
    setEnabled: async (link, enabled) => {
      calls.push(`${enabled ? 'enable' : 'disable'} ${link.name}`);
      if (!enabled) await disabled();
    },
    restartProxy: async () => {
      calls.push('restart');
      restarted = true;
    },
  };
}

test('a rung that is given up goes no further: no link is disabled behind the restart', async () => {
  const calls: string[] = [];
  let answer: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => (answer = resolve));
  const links = hangingLinks(calls, () => slow);
  const context = paperContext('x');
  const notes: string[] = [];
  await removeToxics(placedOn(links.list().slice(0, 2)), {
    ...context,
    live: { ...context.live, links },
    note: (kind) => void notes.push(kind),
  });
  const [one, two] = links.list().map(({ name }) => name);
  // The answer that Toxiproxy owed comes after all.
  answer();
  await new Promise((resolve) => setImmediate(resolve));
  expect(calls).toEqual([`remove ${one}`, `disable ${one}`, 'restart', `remove ${one}`, `remove ${two}`, `enable ${one}`]);
  expect(notes).toEqual(['proxy-restarted']);
}, 10_000);

test('a restart that was cut off is made again: its links may not be declared, and nobody was told', async () => {
  const calls: string[] = [];
  const links = hangingLinks(calls, forever);
  const context = paperContext('x');
  context.memory.write({ own: 1 });
  const notes: string[] = [];
  const undo = (restartProxy: () => Promise<void>): Promise<void> =>
    removeToxics(placedOn(links.list().slice(0, 1)), {
      ...context,
      live: { ...context.live, links: { ...links, restartProxy } },
      note: (kind) => void notes.push(kind),
    });
  let restarting: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => (restarting = resolve));
  void undo(() => (restarting(), forever()));
  await begun;
  expect(notes).toEqual([]);
  calls.length = 0;
  await undo(() => links.restartProxy());
  expect(calls[0]).toBe('restart');
  expect(notes).toEqual(['proxy-restarted']);
  expect(context.memory.read()).toEqual({ own: 1 });
}, 10_000);

test('a restart that failed is not insisted on: once Toxiproxy answers, the first rung does', async () => {
  const calls: string[] = [];
  const links = hangingLinks(calls, forever);
  const context = paperContext('x');
  const placed = placedOn(links.list().slice(0, 1));
  const undo = (changed: Partial<Links>): Promise<void> =>
    removeToxics(placed, { ...context, live: { ...context.live, links: { ...links, ...changed } } });
  await expect(undo({ restartProxy: () => Promise.reject(new Error('no such command')) })).rejects.toMatchObject({ code: 'undo_failed' });
  calls.length = 0;
  await undo({ removeToxic: async (link) => void calls.push(`remove ${link.name}`) });
  expect(calls).toEqual([`remove ${placed[0]?.link.name}`]);
}, 10_000);
