import { mkdtempSync, rmSync } from 'node:fs';
import type { TargetController } from '../../model/target';
import type { LiveTarget, Router } from '../ports';
import { paperCluster, type PaperNode } from './paper-cluster.test-data';
import { carryOut, type SelfDriven } from './self-driven';

const CONTROLLER: TargetController = { kind: 'command', syncStandbys: 1, status: null, failover: [], rejoin: null, expectedMs: null };
const never = new AbortController().signal;
let dir: string;
beforeEach(() => (dir = mkdtempSync('/tmp/gd-driven-')));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** n1 was lost and n3 has been promoted; an order would make n2 the next. */
function open({ excluded = [] }: { readonly excluded?: readonly string[] } = {}) {
  const nodes: Record<string, PaperNode> = {
    n1: { up: false, inRecovery: false },
    n2: { inRecovery: true, timeline: 2 },
    n3: { inRecovery: false, timeline: 2 },
  };
  let leader = 'n3';
  const ordered: string[] = [];
  const stamps: string[] = [];
  const router: Router = { kind: 'haproxy', steer: async () => undefined, routed: async () => [leader] };
  const live: LiveTarget = {
    ...paperCluster(
      CONTROLLER,
      dir,
      () => nodes,
      () => ['n2', 'n3'],
    ),
    router,
  };
  const driven: SelfDriven = {
    live,
    title: 'The manager',
    whereToLook: 'nowhere',
    leader: async () => leader,
    isPaused: async () => false,
    standbyNames: async () => ({}),
    neverLead: async () => excluded,
    async order(from, _candidates, wanted) {
      ordered.push(`${from} to ${wanted ?? 'anybody'}`);
      nodes[leader] = { inRecovery: true, timeline: 3 };
      leader = 'n2';
      nodes['n2'] = { inRecovery: false, timeline: 3 };
    },
    rebuild: null,
  };
  const failover = (since: string | null, candidate: string | null = null, token = 't') =>
    carryOut(driven, {
      token,
      candidate,
      since,
      timeoutMs: 3_000,
      signal: never,
      on: async (name, phase) => void stamps.push(`${name} ${phase}`),
    });
  return { failover, ordered, stamps };
}

test('whoever was promoted since the fault is the one that was asked for: nothing is ordered, and when clients were led there is not known from below', async () => {
  const { failover, ordered, stamps } = open();
  expect(await failover('n1')).toMatchObject({ from: 'n1', to: 'n3', timeline: 2 });
  expect(ordered).toEqual([]);
  expect(stamps).toEqual(['route done', 'follow about-to', 'follow done']);
  // Repeated by the next worker it finds the same.
  expect(await failover('n1')).toMatchObject({ from: 'n1', to: 'n3' });
});

test('the one that led at the fault, or before any, is asked to hand over', async () => {
  const { failover, ordered, stamps } = open();
  expect(await failover('n3')).toMatchObject({ from: 'n3', to: 'n2', timeline: 3 });
  expect(ordered).toEqual(['n3 to anybody']);
  expect(stamps).toContain('route looking');
  const planned = open();
  expect(await planned.failover(null, null, 'planned')).toMatchObject({ from: 'n3', to: 'n2' });
});

test('another candidate than the promoted one is asked for all the same', async () => {
  const { failover, ordered } = open();
  expect(await failover('n1', 'n2')).toMatchObject({ from: 'n3', to: 'n2' });
  expect(ordered).toEqual(['n3 to n2']);
  const same = open();
  expect(await same.failover('n1', 'n3', 'another')).toMatchObject({ to: 'n3' });
  expect(same.ordered).toEqual([]);
});

test('who is never made primary is no candidate, and is refused where it is asked for', async () => {
  const { failover, ordered } = open({ excluded: ['n1'] });
  await expect(failover('n3', 'n1')).rejects.toMatchObject({
    code: 'no_candidate',
    message: expect.stringContaining('never made primary'),
  });
  expect(ordered).toEqual([]);
  const { candidates } = await failover('n3', null, 'another');
  expect(candidates.map(({ node }) => node)).toEqual(['n2']);
});
