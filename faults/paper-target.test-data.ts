/** A target on paper for unit tests of faults: three nodes, n1 primary, links without a proxy behind them. Nothing here can be broken. */
import type { Target, TargetLink } from '../model/target';
import type { ContainerMark, ContainerPower, ContainerState, LiveTarget, NetworkSeat, NodeStatus } from '../targets/ports';
import { faultLabel, type FaultContext, type FaultMemory } from './contract';
import type { JsonObject } from '../model/json';

const link = (from: string, to: string, port: number): TargetLink => ({
  name: `${from}-${to}`,
  from,
  to,
  listenHost: '127.0.66.99',
  listenPort: port,
  upstreamHost: '127.0.66.98',
  upstreamPort: port,
  speaks: to === 's3' ? 'http' : 'postgresql',
});
const LINKS = [link('client', 'router', 1), link('n2', 'n1', 2), link('n3', 'n1', 3), link('n1', 'n2', 4), link('n1', 's3', 5)];

const node = (name: string, inRecovery: boolean): NodeStatus => ({
  node: name,
  up: true,
  inRecovery,
  timeline: 1,
  lsn: '0/1',
  streamingFrom: inRecovery ? 'n1' : null,
  systemIdentifier: '1',
  error: null,
});
export const HEALTHY: readonly NodeStatus[] = [node('n1', false), node('n2', true), node('n3', true)];

export function paperContext(step: string, nodes: readonly NodeStatus[] = HEALTHY): FaultContext {
  const target = {
    name: 'paper',
    nodes: HEALTHY.map((each) => ({
      name: each.node,
      host: '127.0.66.97',
      port: 1,
      agent: null,
      binDir: '/pg/bin',
      dataDir: `/data/${each.node}`,
      osUser: 'postgres',
      runsOn: { kind: 'local' },
      logFile: `/log/${each.node}`,
    })),
    runDir: '/lab/run',
    links: { api: 'http://127.0.66.30:8474', restart: ['false'], list: LINKS },
    controller: { kind: 'standalone', stateDir: '/state', syncStandbys: 1 },
    entry: { host: '127.0.66.10', port: 5432, database: 'gameday' },
    paths: [],
    roles: {
      operate: { user: 'gameday_operate', password: 'file:/secret/operate' },
      probe: { user: 'gameday_probe', password: null },
      replicate: { user: 'gameday_replicate', password: 'env:REPLICATE' },
    },
  } as unknown as Target;
  const live = {
    target,
    controller: { status: async () => nodes, mayWrite: async (name: string) => name === 'n1' },
    links: { list: () => LINKS, find: (from: string, to: string) => LINKS.find((each) => each.from === from && each.to === to) ?? null },
    host: () => ({ kind: 'local', postmaster: async () => ({ pid: 4242, startTicks: '1', bootId: 'b' }), agent: async () => null }),
  } as unknown as LiveTarget;
  return { live, drill: 'drill-000042', label: faultLabel('drill-000042', step), memory: memoryInMemory() };
}

/** What the guardian keeps on disk, for tests that call a fault's verbs by themselves. */
export function memoryInMemory(): FaultMemory {
  let state: JsonObject | null = null;
  return { read: () => state, write: (next) => (state = next) };
}

const PAPER_SEAT: NetworkSeat = { network: 'ground', aliases: ['node'], address: '172.31.0.1', address6: null, current: '172.31.0.1' };

/** The same with every node in a container that does what it is told; its calls in order. A server answers on this machine as long as it runs. */
export function paperContainer(
  step: string,
  seats: readonly NetworkSeat[] = [PAPER_SEAT],
  fixedPorts = true,
): { readonly context: FaultContext; readonly calls: string[]; readonly marks: ContainerMark[] } {
  const context = paperContext(step);
  const calls: string[] = [];
  const marks: ContainerMark[] = [];
  let state: ContainerState = 'running';
  const sits = new Set(seats.map(({ network }) => network));
  const become = (call: string, next: ContainerState) => async (): Promise<void> => {
    calls.push(call);
    state = next;
  };
  const container: ContainerPower = {
    state: async () => state,
    pause: become('pause', 'paused'),
    unpause: become('unpause', 'running'),
    kill: become('kill', 'stopped'),
    start: become('start', 'running'),
    seats: async () => seats.filter(({ network }) => sits.has(network)),
    hasFixedPorts: async () => fixedPorts,
    async disconnect(network) {
      calls.push(`disconnect ${network}`);
      sits.delete(network);
    },
    async connect({ network }) {
      if (!sits.has(network)) calls.push(`connect ${network}`);
      sits.add(network);
    },
    async mark(mark) {
      calls.push('mark');
      marks.push(mark);
    },
    marks: async () => marks,
    async unmark() {
      calls.push('unmark');
    },
  };
  const host = { ...context.live.host('n1'), kind: 'docker', container };
  const target = {
    ...context.live.target,
    systemIdentifier: '7',
    nodes: context.live.target.nodes.map((each) => ({
      ...each,
      runsOn: { kind: 'docker', socket: '/run/docker.sock', container: each.name.replace('n', 'c') },
    })),
  } as unknown as Target;
  return { context: { ...context, live: { ...context.live, target, host: () => host } }, calls, marks };
}
