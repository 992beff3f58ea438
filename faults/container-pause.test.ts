/** Settings, refusals and handle of container-pause; what it does is seen on a real engine in test/live/faults-container.test.ts. */
import { GamedayError } from '../core/errors';
import { containerPause, wakeContainer } from './container-pause';
import { paperContainer, paperContext } from './paper-target.test-data';

/** In a lab whose agents fail over by themselves. */
function pausable(): ReturnType<typeof paperContainer> {
  const paper = paperContainer('pause');
  Object.assign(paper.context.live.target, { kind: 'lab', controller: { kind: 'patroni' } });
  return paper;
}

const settings = containerPause.schema.parse({ node: 'primary' });

test('on any other host it is refused, and pre-flight says why', async () => {
  const context = paperContext('pause');
  await expect(containerPause.resolve(settings, context)).rejects.toMatchObject({
    code: 'fault_refused',
    message: 'node n1 is no container: its host is of the kind local',
  });
  expect(await containerPause.ready(settings, context)).toEqual([
    expect.objectContaining({ ok: false, found: 'a host of the kind local', hint: expect.stringContaining('process-freeze') }),
  ]);
});

test('the handle holds where it sits and whether it is the one that may write', async () => {
  const { context } = pausable();
  const resolved = await containerPause.resolve(settings, context);
  expect(resolved).toMatchObject({ node: 'n1', thaw: false, primary: true, mark: 'gd-drill-000042-pause.7.n1' });
  expect(resolved.seats.map(({ network }) => network)).toEqual(['ground']);
  expect(containerPause.preview(resolved)).toBe('pause the container of n1');
  expect(containerPause.reach(resolved)).toEqual({ nodes: ['n1'] });
});

test('the mark stands before anything is done', async () => {
  const { context, calls } = pausable();
  const resolved = await containerPause.resolve(settings, context);
  await containerPause.inject(resolved, context);
  await wakeContainer(resolved, context.live);
  expect(calls).toEqual(['mark', 'pause', 'unpause']);
});

test.each([
  ['lost its role', async () => false],
  ['can be asked by nobody while it is paused', () => Promise.reject(new GamedayError('host_unreachable', 'it is paused'))],
])('a primary that %s is taken off its networks and killed, never woken', async (_, mayWrite) => {
  const { context, calls } = pausable();
  const resolved = await containerPause.resolve(settings, context);
  await containerPause.inject(resolved, context);
  Object.assign(context.live.controller, { mayWrite });
  await wakeContainer(resolved, context.live);
  expect(calls).toEqual(['mark', 'pause', 'disconnect ground', 'kill', 'connect ground']);
});

test('where nobody knows who leads, undoing waits for whoever knows', async () => {
  const { context, calls } = pausable();
  const resolved = await containerPause.resolve(settings, context);
  await containerPause.inject(resolved, context);
  const mayWrite = () => Promise.reject(new GamedayError('controller_unreachable', 'the store is away'));
  Object.assign(context.live.controller, { mayWrite });
  await expect(wakeContainer(resolved, context.live)).rejects.toMatchObject({ code: 'controller_unreachable' });
  expect(calls).toEqual(['mark', 'pause']);
});

test('waking up as it was is for a lab with an agent', async () => {
  const { context } = pausable();
  await expect(containerPause.resolve({ ...settings, thaw: true }, context)).rejects.toMatchObject({ code: 'fault_refused' });
});

test('by hand a standby is woken; a primary, that may have been replaced, is ended by a script and never woken', async () => {
  const { context } = pausable();
  const byHand = async (node: string) =>
    containerPause.manualUndo(await containerPause.resolve({ node, thaw: false }, context), context.live.target);
  expect((await byHand('n2'))[0]).toMatch(/grep -qx true; then docker --host unix:\/\/\/run\/docker.sock unpause c2; fi$/);
  const lines = await byHand('n1');
  const [comment, kill, connect] = lines;
  expect(comment).toMatch(/^# while n1 still holds its role.* unpause c1; fi$/);
  expect(kill).toMatch(/network disconnect ground c1; fi; docker .* kill c1; fi$/);
  expect(connect).toMatch(/network connect --ip 172.31.0.1 --alias node ground c1$/);
  expect(lines.at(-1)).toBe('docker --host unix:///run/docker.sock volume rm --force gd-drill-000042-pause.7.n1');
});

test('a primary is not paused where nobody would start it again once it was replaced', async () => {
  const { context } = pausable();
  Object.assign(context.live.target, { controller: { kind: 'standalone' } });
  await expect(containerPause.resolve(settings, context)).rejects.toMatchObject({
    code: 'fault_refused',
    message: expect.stringContaining('nobody would start its container again'),
  });
});
