/** Settings, refusals and handle of container-disconnect; what it does is seen on a real engine in test/live/faults-container.test.ts. */
import { containerDisconnect } from './container-disconnect';
import { paperContainer, paperContext } from './paper-target.test-data';

const settings = containerDisconnect.schema.parse({ node: 'primary' });
const SEAT = { network: 'ground', aliases: ['node'], address: '172.31.0.1', address6: null, current: '172.31.0.1' };

test('on any other host it is refused, and pre-flight says why', async () => {
  const context = paperContext('unplug');
  await expect(containerDisconnect.resolve(settings, context)).rejects.toMatchObject({ code: 'fault_refused' });
  expect(await containerDisconnect.ready(settings, context)).toMatchObject([{ ok: false, found: 'a host of the kind local' }]);
});

test('it is taken off every network, or off the one that is named, where its server is then asked', async () => {
  const back = { ...SEAT, network: 'back', address: null, current: '10.1.0.9' };
  const { context } = paperContainer('unplug', [SEAT, back]);
  expect(await containerDisconnect.resolve(settings, context)).toMatchObject({ seats: [SEAT, back], at: null });
  const one = await containerDisconnect.resolve({ node: 'n1', network: 'back' }, context);
  expect(one).toMatchObject({ seats: [back], at: '10.1.0.9' });
  expect(containerDisconnect.preview(one)).toBe('take the container of n1 off back');
  await expect(containerDisconnect.resolve({ node: 'n1', network: 'front' }, context)).rejects.toMatchObject({
    message: 'the container of n1 sits in no network "front"',
    hint: 'its networks are ground, back.',
  });
});

test('one that shares its machine’s network is refused', async () => {
  await expect(containerDisconnect.resolve(settings, paperContainer('unplug', []).context)).rejects.toMatchObject({
    code: 'fault_refused',
    message: 'the container of n1 sits in no network of its own',
  });
});

test('all seats are on the engine, in the mark, before the first is taken', async () => {
  const { context, calls, marks } = paperContainer('unplug');
  const resolved = await containerDisconnect.resolve(settings, context);
  await containerDisconnect.inject(resolved, context);
  expect(calls).toEqual(['mark', 'disconnect ground']);
  expect(marks).toEqual([{ name: resolved.mark, label: context.label, note: { fault: 'container-disconnect', resolved } }]);
  await containerDisconnect.undo(resolved, context);
  expect(calls.slice(2)).toEqual(['connect ground', 'unmark']);
});

test.each([
  ['an address that the target names and the engine chose', { ...SEAT, address: null, current: '127.0.66.97' }, true],
  ['a published port whose number the engine chose', SEAT, false],
])('%s would be another afterwards: refused', async (_, seat, fixedPorts) => {
  const { context } = paperContainer('unplug', [seat], fixedPorts);
  const checks = await containerDisconnect.ready(settings, context);
  expect(checks.find(({ name }) => name.includes('same address'))).toMatchObject({
    ok: false,
    hint: expect.stringContaining('fixed ones'),
  });
});

test('by hand it is put back at the same seats, and the mark is removed', async () => {
  const { context } = paperContainer('unplug', [{ ...SEAT, address6: 'fd00::1' }]);
  const lines = containerDisconnect.manualUndo(await containerDisconnect.resolve(settings, context), context.live.target);
  expect(lines).toEqual([
    expect.stringMatching(/grep -Fqx -- ground \|\| docker .* network connect --ip 172.31.0.1 --ip6 fd00::1 --alias node ground c1$/),
    'docker --host unix:///run/docker.sock volume rm --force gd-drill-000042-unplug.7.n1',
  ]);
});
