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
