/** Settings of clock-skew and what it needs on the host; the skewing itself is tried in test/live/faults-resources.test.ts. */
import type { Host } from '../targets/ports';
import { clockSkew } from './clock-skew';
import type { FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';

function clockContext(library: string): FaultContext {
  const context = paperContext('skew');
  const host = { ...context.live.host('n2'), exec: async () => ({ code: 0, stdout: library, stderr: '' }) } as unknown as Host;
  return { ...context, live: { ...context.live, host: () => host } };
}

test('a skew needs a sign, whole seconds and at least five of them', () => {
  for (const by of ['5m', '+4s', '-4s', '+1500ms', '+31d', '+', 'later', 300])
    expect(clockSkew.schema.safeParse({ node: 'n2', by }).success).toBe(false);
  expect(clockSkew.schema.safeParse({ node: 'n2', by: '+5m', of: 'host' }).success).toBe(false);
});

test('late words become a node, the skew in milliseconds and the library', async () => {
  const context = clockContext('/lib/libfaketime.so.1\n');
  const resolved = await clockSkew.resolve(clockSkew.schema.parse({ node: 'any-standby', by: '-30s' }), context);
  expect(resolved).toEqual({ node: 'n2', skewMs: -30_000, library: '/lib/libfaketime.so.1', label: 'gd-drill-000042-skew' });
  expect(clockSkew.preview(resolved)).toBe('restart n2 with its clock 30.0 s slow');
  expect(clockSkew.manualUndo(resolved, context.live.target)[0]).toMatch(
    /^su -s \/bin\/sh postgres -c '! case .* \|\| \/pg\/bin\/pg_ctl stop -m fast -D \/data\/n[1-3]'$/,
  );
});

test('without the library it is refused, with the command that installs it', async () => {
  const settings = clockSkew.schema.parse({ node: 'n2', by: '+5m' });
  const hint = expect.stringContaining('apt-get install libfaketime');
  await expect(clockSkew.resolve(settings, clockContext(''))).rejects.toMatchObject({ code: 'fault_refused', hint });
  expect(await clockSkew.ready(settings, clockContext(''))).toMatchObject([{ ok: false, hint }]);
});

test('undo leaves alone a node that it never restarted', async () => {
  const context = clockContext('/lib/libfaketime.so.1');
  const resolved = await clockSkew.resolve(clockSkew.schema.parse({ node: 'n2', by: '+5m' }), context);
  await expect(clockSkew.undo(resolved, context)).resolves.toBeUndefined();
});

/**
 * A host whose `date` takes `startMs` before it looks at the clock, each time as long as said and then as the last, and a session whose clock is `offMs`
 * from the host's.
 */
function slowContext(startMs: readonly number[], offMs: number): FaultContext {
  const context = paperContext('skew');
  let now = 1_800_000_000_000;
  let started = 0;
  const date = (ms = 0): string => {
    now += startMs[Math.min(started++, startMs.length - 1)] ?? 0;
    return ((now + ms) / 1_000).toFixed(6);
  };
  const exec = async ([, , script = '']: readonly string[]) => {
    if (script.includes('libfaketime.so.1')) return { code: 0, stdout: '/lib/libfaketime.so.1\n', stderr: '' };
    return {
      code: 0,
      stdout: script.includes('env "$@"') ? `${date()}\n${date(offMs)}\n${date()}\n` : date(),
      stderr: '',
    };
  };
  const host = { ...context.live.host('n2'), exec } as unknown as Host;
  const sql: FaultContext['live']['sql'] = async (_node, _purpose, work) => work({ query: async () => [{ ms: (now + offMs).toFixed(3) }] });
  return {
    ...context,
    memory: { read: () => ({ restarted: 'n2' }), write: () => undefined },
    live: { ...context.live, host: () => host, sql },
  };
}

const proofs = async (startMs: readonly number[], offMs: number) => {
  const resolved = { node: 'n2', skewMs: 5_000, library: '/lib/libfaketime.so.1', label: 'gd-drill-000042-skew' };
  const confirmed = await clockSkew.confirm(resolved, slowContext(startMs, offMs));
  const gone = await clockSkew.confirmGone(resolved, slowContext(startMs, offMs));
  return [confirmed.holds, gone.holds];
};

test.each([
  ['a host that is quick', [5], 5_000, [true, false]],
  ['a host that is quick', [5], 0, [false, true]],
  ['one that takes a second to start a program', [1_200], 5_000, [true, false]],
  ['one that takes a second to start a program', [1_200], 0, [false, true]],
  ['one that is quick at last', [4_000, 4_000, 4_000, 4_000, 4_000, 900], 5_000, [true, false]],
  ['one that takes longer than the skew tells apart', [9_000], 5_000, [false, false]],
  ['one that takes longer than the skew tells apart', [9_000], 0, [false, false]],
] as const)('%s (%j ms), whose node is %s ms off: skewed and true are %j', async (_what, startMs, offMs, holds) => {
  expect(await proofs(startMs, offMs)).toEqual(holds);
});

test('a host that starts programs slowly is not told to install what it has', async () => {
  const settings = clockSkew.schema.parse({ node: 'n2', by: '+5s' });
  const check = async (startMs: readonly number[], offMs: number) => (await clockSkew.ready(settings, slowContext(startMs, offMs)))[0];
  expect(await check([1_200], 5_000)).toMatchObject({ ok: true, hint: null });
  expect(await check([9_000], 5_000)).toMatchObject({ ok: false, hint: expect.stringContaining('takes too long') });
  expect(await check([5], 0)).toMatchObject({ ok: false, hint: expect.stringContaining('install libfaketime') });
});
