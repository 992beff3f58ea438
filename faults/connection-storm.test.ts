/** Settings and handle of connection-storm; its rate is counted on a server in test/live/faults-data.test.ts. */
import { connectionStorm, mostWithin } from './connection-storm';
import type { FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';
import { hold, letGo } from './residents';

const resolve = (settings: object) => connectionStorm.resolve(connectionStorm.schema.parse(settings), paperContext('storm'));

test('without a node it goes in where clients do, and undo by hand looks at every node', async () => {
  const resolved = await resolve({});
  expect(resolved).toEqual({ label: 'gd-drill-000042-storm', rate: 50, host: '127.0.66.10', port: 5432, node: null });
  expect(connectionStorm.reach(resolved)).toEqual({ nodes: [] });
  expect(connectionStorm.manualUndo(resolved, paperContext('storm').live.target)).toHaveLength(3);
});

test('a node is stormed past every router', async () => {
  const resolved = await resolve({ node: 'any-standby', rate: 20 });
  expect(resolved).toMatchObject({ host: '127.0.66.97', port: 1, node: 'n2' });
  expect(connectionStorm.preview(resolved)).toBe('open and close 20 sessions a second on n2, at most 20 at once');
});

test.each([{ rate: 1 }, { rate: 201 }, { rate: '50/s' }, { pause: 1 }])('%j is refused', (settings) => {
  expect(connectionStorm.schema.safeParse(settings).success).toBe(false);
});

test.each([
  [[], 0],
  [[5], 1],
  [[0, 999, 1_000], 2],
  [[2_500, 0, 2_000, 1_900, 2_899, 3_000], 4],
])('of %j ms at most %i lie within one second', (instants, most) => {
  expect(mostWithin(instants, 1_000)).toBe(most);
});

interface Session {
  readonly pid: string;
  readonly at: string;
}

/** What a proof says of a storm of 40 a second, when the server shows these sessions at its looks and 100 ms pass between two of them. */
async function proveBy(sessionsAt: (look: number) => readonly Session[]): Promise<{ readonly holds: boolean; readonly by: string }> {
  const resolved = await resolve({ node: 'n1', rate: 40 });
  const context = paperContext('storm');
  let looks = 0;
  const clock = jest.spyOn(process.hrtime, 'bigint').mockImplementation(() => BigInt(looks) * 100_000_000n);
  const query = async (): Promise<readonly Session[]> => sessionsAt(looks++);
  const sql = (_node: string, _purpose: string, work: (sql: object) => unknown): unknown => work({ query });
  await hold(resolved.label, 1_000, async (signal, bites) => {
    bites();
    await new Promise<void>((end) => signal.addEventListener('abort', () => end()));
  });
  try {
    return await connectionStorm.confirm(resolved, { ...context, live: { ...context.live, sql } as unknown as FaultContext['live'] });
  } finally {
    await letGo(resolved.label);
    clock.mockRestore();
  }
}
const begun = (id: number, at: number): Session => ({ pid: String(id), at: String(at) });
const two = (look: number): readonly Session[] => [begun(2 * look, look * 100), begun(2 * look + 1, look * 100 + 50)];

test('sessions that began within a second prove it, though every other was missed', async () => {
  expect(await proveBy(two)).toMatchObject({ holds: true, by: '20 sessions named gd-drill-000042-storm began on n1 within one second' });
});

test('a third of the rate proves nothing, nor do sessions that stay or that stood at the first look', async () => {
  expect(await proveBy((look) => (look % 3 === 0 ? [] : [begun(look, look * 100)]))).toMatchObject({ holds: false });
  const pool = Array.from({ length: 40 }, (_, id) => begun(id, 7));
  expect(await proveBy((look) => [...pool, ...(look % 10 === 0 ? two(100 + look) : [])])).toMatchObject({ holds: false });
});

test('a storm that nobody holds is proven by nobody', async () => {
  const resolved = await resolve({});
  expect(await connectionStorm.confirm(resolved, paperContext('storm'))).toMatchObject({ holds: false, by: 'nothing is held' });
});
