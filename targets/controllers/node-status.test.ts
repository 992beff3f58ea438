import { sampleTarget } from '../../test/sample-plan';
import type { LiveTarget, NodeStatus } from '../ports';
import { everyStreamingStandby } from './node-status';

/** Who sends to whom, as each sender’s pg_stat_replication tells it; who is not here does not answer. */
type Senders = { readonly [node: string]: readonly string[] };

const [node] = sampleTarget().nodes;
const target = { ...sampleTarget(), nodes: ['n1', 'n2', 'n3', 'n4'].map((name) => ({ ...node!, name })) };

const cluster = (senders: Senders): LiveTarget =>
  ({
    target,
    sql: (name, _role, work) =>
      work({
        query: () =>
          senders[name] === undefined
            ? Promise.reject(new Error('connection refused'))
            : Promise.resolve(senders[name].map((standby) => ({ name: standby, sync_state: `of ${name}` }))),
      }),
  }) as Partial<LiveTarget> as LiveTarget;

const following = (streams: Readonly<Record<string, string>>): readonly NodeStatus[] =>
  Object.entries(streams).map(([name, streamingFrom]) => ({ node: name, streamingFrom }) as Partial<NodeStatus> as NodeStatus);

test('a standby behind a standby counts, as whoever sends to it tells', async () => {
  const live = cluster({ n1: ['n2', 'n3'], n3: ['n4'] });
  expect(await everyStreamingStandby(live, 'n1', following({ n2: 'n1', n3: 'n1', n4: 'n3' }))).toEqual({
    n2: 'of n1',
    n3: 'of n1',
    n4: 'of n3',
  });
});

test('who still follows a primary that was replaced, or a standby that follows nobody, is none of the new one’s', async () => {
  // n1 was cut off and runs; n3 has not turned yet, and n4 holds on to it.
  const live = cluster({ n1: ['n3'], n2: [], n3: ['n4'] });
  expect(await everyStreamingStandby(live, 'n2', following({ n3: 'n1', n4: 'n3' }))).toEqual({});
});

test('a sender that was lost in between sends to nobody, and a primary that does not answer is told', async () => {
  expect(await everyStreamingStandby(cluster({ n1: ['n3'] }), 'n1', following({ n3: 'n1', n4: 'n3' }))).toEqual({ n3: 'of n1' });
  await expect(everyStreamingStandby(cluster({}), 'n1', [])).rejects.toThrow('connection refused');
});
