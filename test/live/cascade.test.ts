/** A standby that streams from a standby, on real servers: whom it follows when its upstream or the primary is lost. */
import type { Target } from '../../model/target';
import { createCluster, startCluster } from '../../targets/controllers/standalone-cluster';
import { startGround, type Ground } from './standalone-ground';

const NET = '127.0.99';
const signal = new AbortController().signal;
let ground: Ground;

/** n3 streams from n2; its way there is a link, as to the primary. */
const cascading = (target: Target): Target => ({
  ...target,
  nodes: target.nodes.map((node) => (node.name === 'n3' ? { ...node, upstream: 'n2' } : node)),
});

beforeAll(async () => {
  ground = await startGround(NET, 1, null, cascading);
  await createCluster(ground.live);
  await startCluster(ground.live);
}, 60_000);
afterAll(() => ground.close(), 30_000);

const upstreams = async (): Promise<object> =>
  Object.fromEntries((await ground.live.controller.status()).map(({ node, streamingFrom }) => [node, streamingFrom]));

async function kill(name: string): Promise<void> {
  const postmaster = await ground.live.host(name).postmaster();
  if (postmaster === null) throw new Error(`${name} does not run`);
  await ground.live.host(name).killTree(postmaster);
}

test('it streams from its upstream, confirms nothing, and counts among what is redundant', async () => {
  expect(await upstreams()).toEqual({ n1: null, n2: 'n1', n3: 'n2' });
  const { replication, settings } = await ground.live.controller.topology();
  expect(replication).toEqual({ n2: 'quorum', n3: 'async' });
  expect(settings['n1']?.['synchronous_standby_names']).toBe('ANY 1 ("n2")');
});

test('when its upstream is lost it follows the primary, and its upstream again once that is back', async () => {
  const { controller } = ground.live;
  await kill('n2');
  expect(await controller.rejoin('n3', { timeoutMs: 20_000, signal })).toMatchObject({ method: 'follow' });
  expect(await upstreams()).toMatchObject({ n3: 'n1' });
  await controller.rejoin('n2', { timeoutMs: 20_000, signal });
  await controller.rejoin('n3', { timeoutMs: 20_000, signal });
  expect(await upstreams()).toEqual({ n1: null, n2: 'n1', n3: 'n2' });
}, 40_000);

test('a failover leads it along: it follows its upstream onto the new timeline, and the primary where it is the only one left', async () => {
  const { controller } = ground.live;
  const failover = (token: string, candidate: string | null): ReturnType<typeof controller.failover> =>
    controller.failover({ token, candidate, timeoutMs: 20_000, on: async () => undefined, signal });
  await kill('n1');
  await failover('first', 'n2');
  expect(await upstreams()).toMatchObject({ n2: null, n3: 'n2' });
  await controller.rejoin('n1', { timeoutMs: 20_000, signal });
  await failover('back', 'n1');
  await controller.rejoin('n2', { timeoutMs: 20_000, signal });
  await controller.rejoin('n3', { timeoutMs: 20_000, signal });
  expect(await upstreams()).toEqual({ n1: null, n2: 'n1', n3: 'n2' });
}, 60_000);
