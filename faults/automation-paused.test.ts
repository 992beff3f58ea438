/** What automation-paused refuses and what is done by hand; pausing itself is tried in test/live/patroni.test.ts. */
import type { Target } from '../model/target';
import type { Automation, LiveTarget } from '../targets/ports';
import { automationPaused } from './automation-paused';
import type { FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';

/** A controller with a maintenance mode, and what was asked of it. */
function pausable(paused: boolean): { readonly context: FaultContext; readonly orders: boolean[] } {
  const orders: boolean[] = [];
  const automation: Automation = {
    setPaused: async (wanted) => void orders.push(wanted),
    isPaused: async () => orders.at(-1) ?? paused,
    pausedAgents: async () => ({ n1: orders.at(-1) ?? paused, n2: null }),
  };
  const context = paperContext('pause');
  const live: LiveTarget = { ...context.live, controller: { ...context.live.controller, kind: 'patroni', automation } };
  return { context: { ...context, live }, orders };
}

test('where nothing fails over by itself there is nothing to pause', async () => {
  await expect(automationPaused.resolve({}, paperContext('pause'))).rejects.toMatchObject({ code: 'fault_refused' });
  await expect(automationPaused.ready({}, paperContext('pause'))).rejects.toMatchObject({ code: 'fault_refused' });
});

test('a pause that somebody else made is refused, and undo never ends it', async () => {
  const { context, orders } = pausable(true);
  expect(await automationPaused.ready({}, context)).toMatchObject([{ ok: false, found: 'paused by somebody' }]);
  const resolved = await automationPaused.resolve({}, context);
  await expect(automationPaused.inject(resolved, context)).rejects.toMatchObject({ code: 'fault_refused' });
  await automationPaused.undo(resolved, context);
  expect(orders).toEqual([]);
});

test('its own pause is ended; who does not answer proves nothing, and hinders nothing', async () => {
  const { context, orders } = pausable(false);
  const resolved = await automationPaused.resolve({}, context);
  await automationPaused.inject(resolved, context);
  await automationPaused.inject(resolved, context);
  expect(await automationPaused.confirm(resolved, context)).toMatchObject({
    holds: true,
    by: 'the agents, asked one by one: n1 is paused, n2 is silent',
  });
  await automationPaused.undo(resolved, context);
  expect(orders).toEqual([true, true, false]);
  expect(await automationPaused.confirmGone(resolved, context)).toMatchObject({ holds: true });
});

test('by hand it is the controller’s own command', () => {
  const { context } = pausable(false);
  const { target } = context.live;
  const byHand = (controller: object) => automationPaused.manualUndo({ controller: 'any' }, { ...target, controller } as unknown as Target);
  const api = { n1: 'http://10.0.0.1:8008', n2: 'http://10.0.0.2:8008/' };
  const [line = ''] = byHand({ kind: 'patroni', api, auth: { user: 'op', password: 'file:/s' } });
  expect(line).toMatch(
    /^for url in http:\/\/10.0.0.1:8008\/config http:\/\/10.0.0.2:8008\/config; do printf .* op "\$\(cat \/s\)" \| curl /,
  );
  expect(byHand({ kind: 'repmgr', config: { n1: '/r1', n2: '/r2', n3: '/r3' }, program: null })[0]).toContain(
    "su -s /bin/sh postgres -c '/pg/bin/repmgr -f /r1 service unpause' || ",
  );
});
