/** What a worker does before it can know of any drill, with a guardian that is scripted on a real socket: its own healing is tried elsewhere. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GamedayError } from '../core/errors';
import { serveRpc, type RpcServer } from '../core/rpc';
import type { LeaseKey } from '../model/fault';
import { reconcile } from './reconcile';

let home: string;
let server: RpcServer | null = null;
let undone: string[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'gd-reconcile-'));
  undone = [];
});
afterEach(async () => {
  await server?.close();
  server = null;
  rmSync(home, { recursive: true });
});

const lease = (fault: string, runId: string, state = 'active'): object => ({
  key: { workflowId: 'drill/1', runId, step: fault },
  handle: { fault, drill: 'drill-000001' },
  state,
});

async function guardian(leases: readonly object[], more: Readonly<Record<string, () => unknown>> = {}): Promise<void> {
  server = await serveRpc(join(home, 'run', 'guardian.sock'), {
    list: () => leases,
    undo: ({ key, by }: { key: LeaseKey; by: string }) => {
      if (key.step === 'stuck') throw new GamedayError('undo_failed', 'still there');
      undone.push(`${key.step} of ${key.runId} (${by})`);
      return null;
    },
    sandboxes: () => [],
    removeSandbox: ({ dir, by }: { dir: string; by: string }) => {
      undone.push(`${dir} (${by})`);
      return 'gone';
    },
    removeStrays: () => ['toxic gd-drill-000001-x on n2-n1'],
    ...more,
  });
}

test('what stands for a run that no longer runs is undone; a running drill’s faults stand, and one that stays keeps no other', async () => {
  await guardian([lease('stuck', 'over'), lease('cut', 'over'), lease('slow', 'runs'), lease('old', 'over', 'gone')]);
  const done = await reconcile({ home, isRunning: async (_id, runId) => runId === 'runs' });
  expect(undone).toEqual(['cut of over (reconciled)']);
  expect(done).toEqual({
    undone: ['cut of drill-000001', 'toxic gd-drill-000001-x on n2-n1'],
    kept: ['slow of drill-000001'],
    failed: ['stuck of drill-000001: still there'],
  });
});

test('a restored copy goes with its drill, and stays with one that runs', async () => {
  const copy = (dir: string, runId: string): object => ({ dir, drill: 'drill-000001', step: 'pitr', workflowId: 'drill/1', runId });
  await guardian([], { sandboxes: () => [copy('/copies/a', 'over'), copy('/copies/b', 'runs')], removeStrays: () => [] });
  const done = await reconcile({ home, isRunning: async (_id, runId) => runId === 'runs' });
  expect(undone).toEqual(['/copies/a (reconciled)']);
  expect(done).toMatchObject({
    undone: ['restored copy /copies/a of drill-000001'],
    kept: ['restored copy /copies/b of drill-000001'],
    failed: [],
  });
});

test('while Temporal cannot be asked nobody’s fault is undone for nothing: it runs out by itself', async () => {
  await guardian([lease('cut', 'unknown')]);
  const done = await reconcile({ home, isRunning: async () => Promise.reject(new Error('no connection')) });
  expect(undone).toEqual([]);
  expect(done).toMatchObject({ kept: [], failed: ['cut of drill-000001: no connection'] });
});

test('where strays cannot be looked for, that is said, and the leases are done', async () => {
  const removeStrays = (): never => {
    throw new GamedayError('link_unreachable', 'no Toxiproxy');
  };
  await guardian([lease('cut', 'over')], { removeStrays });
  const done = await reconcile({ home, isRunning: async () => false });
  expect(done).toMatchObject({ undone: ['cut of drill-000001'], failed: ['looking for what no lease holds: no Toxiproxy'] });
});
