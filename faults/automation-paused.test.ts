/** What automation-paused refuses and what is done by hand; pausing itself is tried in test/live/patroni.test.ts. */
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
  expect(automationPaused.manualUndo({ controller: 'patroni' }, context.live.target)[0]).toBe('patronictl resume --wait');
  expect(automationPaused.manualUndo({ controller: 'repmgr' }, context.live.target)[0]).toMatch(/^repmgr service unpause /);
});
