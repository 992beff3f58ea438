/** Settings, late words and handle of service-kill; killing itself is tried in test/live/faults.test.ts and, on members of etcd, in test/live/patroni.test.ts. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Target, TargetService } from '../model/target';
import type { LiveTarget } from '../targets/ports';
import type { FaultContext } from './contract';
import { findForbidden } from './blast-radius';
import { paperContext } from './paper-target.test-data';
import { serviceKill } from './service-kill';

const MEMBERS = ['e1', 'e2', 'e3'] as const;
/** As etcd 3.4 answers it: ids are decimal strings, and every member names the leader. */
const IDS = { e1: '1002', e2: '1001', e3: '1003' } as const;
const servers: Server[] = [];
const ports = new Map<string, number>();

beforeAll(async () => {
  for (const name of MEMBERS) {
    const server = createServer((request, response) => {
      response.end(
        request.url === '/v3/maintenance/status' && request.method === 'POST'
          ? JSON.stringify({
              header: { cluster_id: '7', member_id: IDS[name], revision: '9', raft_term: '2' },
              version: '3.4.23',
              leader: '1001',
            })
          : '{}',
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
    ports.set(name, (server.address() as AddressInfo).port);
  }
});
afterAll(() => servers.forEach((server) => void server.close()));

const service = (name: string, kind: TargetService['kind']): TargetService => ({
  name,
  kind,
  host: '127.0.0.1',
  port: ports.get(name) ?? 1,
  runsOn: { kind: 'local' },
  osUser: null,
  find: ['true'],
  start: ['start it', name],
  leaveDown: kind === 'pooler' ? null : ['leave-down', name],
});

function context(services: readonly TargetService[] | null): FaultContext {
  const paper = paperContext('kill');
  const dcs = MEMBERS.map((name) => ({ name, host: '127.0.0.1', port: ports.get(name) ?? 1 }));
  const target = {
    ...paper.live.target,
    controller: { kind: 'patroni', scope: 's', syncStandbys: 1, api: {}, auth: null, dcs },
    services: services ?? undefined,
  } as Target;
  const live = {
    ...paper.live,
    target,
    service: () => ({ agent: async () => ({ pid: 77, startTicks: '1', bootId: 'b' }) }),
  } as unknown as LiveTarget;
  return { ...paper, live };
}

const all = (): readonly TargetService[] => [
  ...MEMBERS.map((name) => service(name, 'dcs')),
  service('haproxy', 'router'),
  service('pgbouncer', 'pooler'),
];
const resolve = (settings: object, services: readonly TargetService[] | null = all()) =>
  serviceKill.resolve(serviceKill.schema.parse(settings), context(services));

test.each([
  ['dcs-leader', ['e2']],
  ['dcs-quorum', ['e2', 'e1']],
  ['dcs', ['e1', 'e2', 'e3']],
  ['e3', ['e3']],
  ['router', ['haproxy']],
  ['pooler', ['pgbouncer']],
])('%s is %j', async (word, names) => {
  const resolved = await resolve({ service: word });
  expect(serviceKill.reach(resolved).nodes).toEqual(names);
  expect(resolved.services[0]?.process).toEqual({ pid: 77, startTicks: '1', bootId: 'b' });
});

test('what is no service, or a target that names none, is refused with what there is', async () => {
  await expect(resolve({ service: 'monitor' })).rejects.toMatchObject({
    code: 'fault_refused',
    hint: expect.stringContaining('e1 (dcs)'),
  });
  await expect(resolve({ service: 'dcs-leader' }, null)).rejects.toMatchObject({ code: 'fault_refused' });
  await expect(resolve({ service: 'dcs-leader' }, [service('e1', 'dcs')])).rejects.toThrow('e2 leads the store and is no service');
  await expect(resolve({ service: 'dcs-quorum' }, [service('e2', 'dcs')])).rejects.toThrow('2 members must die');
  expect(serviceKill.schema.safeParse({ service: 'e1', back: 'never' }).success).toBe(false);
  await expect(resolve({ service: 'pooler', back: 'supervisor' })).rejects.toThrow('nobody starts pgbouncer again');
  await expect(resolve({ service: 'router', back: 'supervisor' })).resolves.toMatchObject({ back: 'supervisor' });
});

test('one member of three may die where the store may not lose its majority, two may not', async () => {
  const { target } = context(all()).live;
  const policy = { allowFaults: ['service-kill'], maxNodesAtOnce: 9, allowQuorumLoss: false };
  const why = async (word: string) =>
    findForbidden({ ...target, policy }, [], { fault: 'service-kill', nodes: serviceKill.reach(await resolve({ service: word })).nodes })
      ?.why;
  expect(await why('dcs-leader')).toBeUndefined();
  expect(await why('router')).toBeUndefined();
  expect(await why('dcs-quorum')).toContain('leave 1 of 3 members of the store whole, which is no majority');
});

test('the store may cost writes, what clients come through may not; by hand each is started by its own command', async () => {
  expect(serviceKill.mayLoseWrites({ service: 'dcs-quorum', back: 'heal' })).toBe(true);
  expect(serviceKill.mayLoseWrites({ service: 'router', back: 'heal' })).toBe(false);
  const resolved = await resolve({ service: 'dcs-leader' });
  expect(serviceKill.preview(resolved)).toBe('SIGKILL e2 (process 77), and keep it down');
  expect(serviceKill.manualUndo(resolved, context(all()).live.target)).toEqual([
    expect.stringMatching(/^\(if .*\[ "\$1" = T \]; then pkill -KILL -P 77 .*kill -KILL 77; fi\)$/),
    '# starts e2, where it does not run:',
    "'start it' e2",
  ]);
});
