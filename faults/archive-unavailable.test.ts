/** Settings and handle of archive-unavailable; what a node’s requests get is tried in test/live/faults-data.test.ts. */
import type { Target } from '../model/target';
import type { Archive, ArchiveGate } from '../targets/ports';
import { archiveUnavailable, findClosedGate } from './archive-unavailable';
import type { FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';

function contextWith(archive: Partial<Archive> | null): FaultContext {
  const context = paperContext('away');
  return { ...context, live: { ...context.live, archive: archive as Archive | null } };
}
const gate = (label: string | null): ArchiveGate => ({
  state: async () => (label === null ? null : { status: 503, label }),
  close: async () => undefined,
  open: async () => undefined,
});
const withGate = (label: string | null): FaultContext => contextWith({ door: { gate: gate(label) } as NonNullable<Archive['door']> });
const resolve = (settings: object, context = withGate(null)) =>
  archiveUnavailable.resolve(archiveUnavailable.schema.parse(settings), context);

test('without settings every node’s link is asked for, and one that has none is refused', async () => {
  await expect(resolve({})).rejects.toMatchObject({ code: 'fault_refused', message: expect.stringContaining('no link from n2 to s3') });
});

test.each([
  ['down', ['gd-drill-000042-away-upstream', 'gd-drill-000042-away-downstream']],
  ['slow', ['gd-drill-000042-away']],
])('%s places %j on the links of the nodes named', async (how, toxics) => {
  const resolved = await resolve({ how, nodes: 'primary' });
  expect(resolved.links.map((link) => link.name)).toEqual(['n1-s3']);
  const commands = archiveUnavailable.manualUndo(resolved, paperContext('away').live.target);
  expect(commands.slice(0, toxics.length).map((command) => /toxics\/(\S+)/.exec(command)?.[1])).toEqual(toxics);
});

test.each([
  ['error-503', 503],
  ['denied-403', 403],
])('%s is the gate’s answer to all nodes, and undo by hand is one command to it', async (how, status) => {
  const resolved = await resolve({ how });
  expect(resolved).toMatchObject({ nodes: ['n1', 'n2', 'n3'], links: [] });
  expect(archiveUnavailable.preview(resolved)).toBe(`answer every request of n1, n2, n3 to the archive’s store with ${status}`);
  const target = { archive: { kind: 'native', gate: { socket: '/run/haproxy.sock', map: '/run/gate.map' } } } as unknown as Target;
  expect(archiveUnavailable.manualUndo(resolved, target)[0]).toBe(
    `printf '%s\\n' 'del map /run/gate.map all' | curl -sS -m 5 --unix-socket /run/haproxy.sock telnet://gate`,
  );
});

test('without a gate, or an archive, it is refused with what to do', async () => {
  const none = contextWith({ door: { gate: null } as NonNullable<Archive['door']> });
  await expect(resolve({ how: 'error-503' }, none)).rejects.toMatchObject({
    code: 'fault_refused',
    hint: expect.stringContaining('archive.gate'),
  });
  expect(await archiveUnavailable.ready(archiveUnavailable.schema.parse({ how: 'error-503' }), none)).toMatchObject([
    { ok: false, found: 'none' },
  ]);
  await expect(resolve({}, contextWith(null))).rejects.toMatchObject({
    code: 'fault_refused',
    message: expect.stringContaining('no archive'),
  });
});

test('a gate closed under a label of ours is a stray; a stranger’s is not', async () => {
  expect(await findClosedGate(withGate('gd-drill-000007-away').live)).toMatchObject([{ labels: ['gd-drill-000007-away'] }]);
  expect(await findClosedGate(withGate('maintenance').live)).toEqual([]);
  expect(await findClosedGate(withGate(null).live)).toEqual([]);
});

test.each([
  { how: 'gone' },
  { how: 'slow', latency: '100ms' },
  { how: 'slow', latency: '13s' },
  { how: 'slow', latency: '5 parsecs' },
  { how: 'error-503', nodes: 'n1' },
])('%j is refused', (settings) => {
  expect(archiveUnavailable.schema.safeParse(settings).success).toBe(false);
});

/** A store that answers in these times straight and over a link, in turn; then in the last of them. */
const slowed = async (past: readonly number[], through: readonly number[]): Promise<boolean> => {
  const left = { past: [...past], through: [...through] };
  const next = (times: number[]): number => (times.length > 1 ? times.shift() : times[0]) ?? 0;
  const door = {
    gate: null,
    ask: async (node: string | null) => ({ answered: true, status: 404, ms: next(node === null ? left.past : left.through) }) as const,
  } as unknown as NonNullable<Archive['door']>;
  const context = contextWith({ door });
  const resolved = await resolve({ how: 'slow', nodes: 'primary', latency: '1s' }, context);
  return (await archiveUnavailable.confirm(resolved, context)).holds;
};

test('a slow store is proven beside a first request that took long, and one slow answer proves nothing', async () => {
  expect(await slowed([900, 10], [1_050])).toBe(true);
  expect(await slowed([900, 800, 10], [1_050])).toBe(true);
  expect(await slowed([10], [1_400, 40])).toBe(false);
  expect(await slowed([400], [1_050])).toBe(false);
});
