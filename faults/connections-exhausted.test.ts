/** Settings and handle of connections-exhausted; the refused client is tried in test/live/faults-data.test.ts. */
import { until } from '../core/clock';
import { connectionsExhausted } from './connections-exhausted';
import type { FaultContext } from './contract';
import { letGo, whyNotHeld } from './residents';
import { paperContext } from './paper-target.test-data';

test('without settings the primary is filled up to the last connection', async () => {
  const context = paperContext('fill');
  const resolved = await connectionsExhausted.resolve(connectionsExhausted.schema.parse({}), context);
  expect(resolved).toEqual({ node: 'n1', leave: 0, label: 'gd-drill-000042-fill' });
  expect(connectionsExhausted.preview(resolved)).toBe('open sessions on n1 until no ordinary connections are left');
  expect(connectionsExhausted.manualUndo(resolved, context.live.target)[0]).toContain(
    `user=gameday_operate dbname=gameday' -1 -c 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '\\''gd-drill-000042-fill'\\'''`,
  );
});

test('a step whose label PostgreSQL would cut is refused, with the length that fits', async () => {
  const context = paperContext('x'.repeat(60));
  await expect(connectionsExhausted.resolve(connectionsExhausted.schema.parse({}), context)).rejects.toMatchObject({
    code: 'fault_refused',
    hint: expect.stringContaining('at most 47 characters'),
  });
});

test.each([{ leave: -1 }, { leave: 51 }, { leave: 1.5 }, { seats: 1 }, { node: '' }])('%j is refused', (settings) => {
  expect(connectionsExhausted.schema.safeParse(settings).success).toBe(false);
});

const SLOTS = 12;
const resolved = { node: 'n1', leave: 0, label: 'gd-drill-000042-fill' };

/** A server on paper that gives `SLOTS` sessions; `knock` may throw instead of letting one in. */
function paperServer(knock: (inUse: number) => void = () => undefined): { readonly context: FaultContext; readonly restart: () => void } {
  let inUse = 0;
  let boot = 0;
  const context = paperContext('fill');
  const query = async (text: string): Promise<readonly object[]> =>
    text.includes('AS ordinary') ? [{ ordinary: String(SLOTS), free: String(SLOTS - inUse) }] : [];
  const sql = async (_node: string, purpose: string, work: (sql: object) => Promise<unknown>): Promise<unknown> => {
    if (purpose === 'operate') return work({ query });
    knock(inUse);
    if (inUse >= SLOTS) throw Object.assign(new Error('too many'), { code: '53300' });
    const mine = boot;
    inUse += 1;
    const own = async (text: string): Promise<readonly object[]> => {
      if (mine !== boot) throw new Error('Connection terminated unexpectedly');
      return query(text);
    };
    try {
      return await work({ query: own });
    } finally {
      if (mine === boot) inUse -= 1;
    }
  };
  const restart = (): void => {
    boot += 1;
    inUse = 0;
  };
  return { context: { ...context, live: { ...context.live, sql } as unknown as FaultContext['live'] }, restart };
}
const refusals = async (context: FaultContext): Promise<boolean> => (await connectionsExhausted.confirm(resolved, context)).holds;

afterEach(() => letGo(resolved.label));

test('once it is full a knock that nobody answers ends nothing, and a server that restarted is filled anew', async () => {
  let unanswered = 0;
  const { context, restart } = paperServer(() => {
    if (unanswered === 0) return;
    unanswered -= 1;
    throw new Error('timeout expired');
  });
  await connectionsExhausted.inject(resolved, context);
  unanswered = 3;
  await until(() => (unanswered === 0 ? true : null), { timeoutMs: 5_000, onTimeout: () => new Error('it knocks no more') });
  expect(whyNotHeld(resolved.label)).toBeNull();
  restart();
  await until(async () => ((await refusals(context)) ? true : null), { timeoutMs: 15_000, onTimeout: () => new Error('never full again') });
});

test('a server that answers no more for long is full no more, for all that anybody knows', async () => {
  let away = false;
  const { context } = paperServer(() => {
    if (away) throw new Error('timeout expired');
  });
  await connectionsExhausted.inject(resolved, context);
  const clock = jest.spyOn(process.hrtime, 'bigint');
  const now = process.hrtime.bigint();
  away = true;
  clock.mockImplementation(() => now + 16_000_000_000n);
  try {
    await until(() => whyNotHeld(resolved.label), { timeoutMs: 5_000, onTimeout: () => new Error('it is held for ever') });
    expect(whyNotHeld(resolved.label)).toContain('timeout expired');
  } finally {
    clock.mockRestore();
  }
});

test('before it is full a server that does not answer fails the injection', async () => {
  const { context } = paperServer((inUse) => {
    if (inUse === 5) throw new Error('timeout expired');
  });
  await expect(connectionsExhausted.inject(resolved, context)).rejects.toThrow('timeout expired');
});

test('one slot let go a moment ago does not tell that there is room', async () => {
  let before = 1;
  const { context } = paperServer(() => {
    before -= 1;
    // The free slot is the proof's own first try; then it is taken.
    if (before < 0) throw Object.assign(new Error('too many'), { code: '53300' });
  });
  expect(await connectionsExhausted.confirm(resolved, context)).toMatchObject({ holds: true, facts: { opened: 0, refused: 1 } });
});
