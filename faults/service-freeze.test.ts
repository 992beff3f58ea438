/** Settings and handle of service-freeze; freezing itself is tried in test/live/faults.test.ts. */
import type { Target } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import type { FaultContext } from './contract';
import { paperContext } from './paper-target.test-data';
import { serviceFreeze } from './service-freeze';

function context(runs: boolean): FaultContext {
  const paper = paperContext('freeze');
  const pooler = { name: 'pgbouncer', kind: 'pooler', host: '127.0.66.50', port: 6432, runsOn: { kind: 'local' }, osUser: null } as const;
  const target: Target = { ...paper.live.target, services: [{ ...pooler, find: ['true'], start: ['start', 'it'], leaveDown: null }] };
  const service = () => ({ agent: async () => (runs ? { pid: 78, startTicks: '1', bootId: 'b' } : null) });
  return { ...paper, live: { ...paper.live, target, service } as unknown as LiveTarget };
}

test('the handle names the process; by hand it is continued, or started where it is gone', async () => {
  const resolved = await serviceFreeze.resolve(serviceFreeze.schema.parse({ service: 'pooler' }), context(true));
  expect(resolved).toEqual({ services: [{ name: 'pgbouncer', process: { pid: 78, startTicks: '1', bootId: 'b' } }] });
  expect(serviceFreeze.preview(resolved)).toBe('SIGSTOP pgbouncer (process 78)');
  expect(serviceFreeze.reach(resolved)).toEqual({ nodes: ['pgbouncer'] });
  const lines = serviceFreeze.manualUndo(resolved, context(true).live.target);
  expect([lines[0], lines.at(-1)]).toEqual([expect.stringMatching(/ = 1 \] .*; then kill -CONT 78; fi\)$/), 'start it']);
});

test('what does not run cannot be frozen, and settings of a kill are none of a freeze', async () => {
  await expect(serviceFreeze.resolve({ service: 'pooler' }, context(false))).rejects.toThrow('pgbouncer does not run');
  expect(serviceFreeze.schema.safeParse({ service: 'pooler', back: 'heal' }).success).toBe(false);
});
