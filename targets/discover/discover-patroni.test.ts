import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parse } from 'yaml';
import { targetSchema } from '../schema';
import { discoverByPatroni, patroniBase, patroniSyncStandbys, readPatroni } from './discover-patroni';
import { PATRONI_3, PATRONI_4 } from './patroni-answers.test-data';
import { discoverText, fillIn } from './target-text.test-data';

const BASE = 'http://10.0.0.11:8008';

test('3.0.2: master, sync_standby and one that is down; the scope from a member, the archiver by its program alone', () => {
  const found = readPatroni(BASE, PATRONI_3);
  expect(found).toMatchObject({
    suggestedName: 'shop',
    systemIdentifier: '7268616322854375442',
    controller: { kind: 'patroni', scope: 'shop', syncStandbys: 1, version: '3.0.2' },
    replicateUser: 'replicator',
    archive: 'wal-g',
    entry: null,
  });
  expect(found.nodes.map(({ name, host, port, role, api }) => [name, host, port, role, api])).toEqual([
    ['n1', '10.0.0.11', 5432, 'primary', 'http://10.0.0.11:8008'],
    ['n2', '10.0.0.12', 5432, 'standby', 'http://10.0.0.12:8008'],
    ['n3', '10.0.0.13', 5432, 'standby', 'http://10.0.0.13:8008'],
  ]);
  expect(found.nodes[0]?.binDir).toEqual({ value: '/usr/lib/postgresql/15/bin', guessedFrom: expect.stringContaining('15') });
  // What did not answer is not made up from its neighbours.
  expect(found.nodes[2]).toMatchObject({ binDir: null, problem: expect.stringContaining('the cluster calls it stopped') });
  expect(found.notes.join(' ')).toContain('paused');
  expect(JSON.stringify(found)).not.toContain('hunter2');
});

test('4.1: primary, quorum standbys counted, the scope from the cluster itself', () => {
  const found = readPatroni('https://10.89.0.4:8008', PATRONI_4);
  expect(found.controller).toEqual({ kind: 'patroni', scope: 'demo', syncStandbys: 2, version: '4.1.0' });
  expect(found.nodes.map(({ name, role, port }) => [name, role, port])).toEqual([
    ['a', 'standby', 5433],
    ['b', 'primary', 5432],
    ['c', 'standby', 5432],
  ]);
  // archive_mode may stand in a member's own file.
  expect(found.archive).toBeNull();
});

test('who streams from a standby by its tag is written down so, and who is never promoted is told', () => {
  const read = (tags: object) => {
    const [first, second, third] = PATRONI_3.cluster.members;
    return readPatroni(BASE, { ...PATRONI_3, cluster: { members: [first, second, { ...third, tags }] } });
  };
  const found = read({ nofailover: true, nosync: true, replicatefrom: 'n2' });
  expect(found.nodes.map(({ upstream }) => upstream)).toEqual([null, null, 'n2']);
  expect(found.notes.join(' ')).toContain('It never promotes n3, by the tag nofailover.');
  expect(targetSchema.parse(parse(fillIn(discoverText(found)))).nodes[2]).toMatchObject({ name: 'n3', upstream: 'n2' });
  // A member that is gone: it follows the leader.
  expect(read({ replicatefrom: 'n9' }).nodes[2]?.upstream).toBeNull();
});

test('a name that only the cluster resolves is no address: where its API answers is offered, and taken once its server was asked there', () => {
  const named = structuredClone(PATRONI_3);
  named.cluster.members[0]!.host = 'db1.cluster.local';
  const [open] = readPatroni(BASE, named, {}, { n1: null }).nodes;
  expect(open).toMatchObject({ host: null, hostGuess: { value: '10.0.0.11', guessedFrom: expect.stringContaining('db1.cluster.local') } });
  expect(readPatroni(BASE, named, {}, { n1: '10.0.0.11' }).nodes[0]).toMatchObject({ host: '10.0.0.11', hostGuess: null });
});

test.each([
  [{ synchronous_mode: true }, 1],
  [{ synchronous_mode: 'on', synchronous_node_count: 2 }, 2],
  [{ synchronous_mode: 'quorum' }, 1],
  [{ synchronous_mode: false, synchronous_node_count: 2 }, 0],
  [{ synchronous_mode: 'off' }, 0],
  [{}, 0],
  [null, 0],
])('commits under %j wait for %d', (config, standbys) => {
  expect(patroniSyncStandbys(config)).toBe(standbys);
});

test('members of different systems, and names that gameday cannot take, are told', () => {
  const strange = structuredClone(PATRONI_3);
  strange.members.n2.database_system_identifier = '1';
  expect(() => readPatroni(BASE, strange)).toThrow(/different systems/);
  const named = structuredClone(PATRONI_3);
  named.cluster.members[0]!.name = 'PG_1';
  expect(readPatroni(BASE, named).notes.join(' ')).toContain('rename PG_1');
});

test.each(['ftp://x', 'nonsense', 'http://user:secret@10.0.0.11:8008'])(
  '%s is no base URL, and a password in it is not repeated',
  (url) => {
    expect(() => patroniBase(url)).toThrow();
    try {
      patroniBase(url);
    } catch (error) {
      expect(String(error)).not.toContain('secret');
    }
  },
);

describe('over HTTP', () => {
  let server: Server;
  let answers: Record<string, { status: number; body: string }> = {};
  const url = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  beforeAll((done) => {
    server = createServer((request, response) => {
      const { status, body } = answers[request.url ?? ''] ?? { status: 404, body: 'not here' };
      response.writeHead(status).end(body);
    }).listen(0, '127.0.0.1', done);
  });
  afterAll((done) => void server.close(done));

  test('every member is asked; one whose API is silent is named and the others stand', async () => {
    const cluster = {
      members: [
        { ...PATRONI_3.cluster.members[0], api_url: `${url()}/patroni` },
        { ...PATRONI_3.cluster.members[1], api_url: 'http://127.0.0.1:9/patroni' },
      ],
    };
    answers = {
      '/cluster': { status: 200, body: JSON.stringify(cluster) },
      '/config': { status: 502, body: '' },
      '/patroni': { status: 503, body: JSON.stringify(PATRONI_3.members.n1) },
    };
    const found = await discoverByPatroni(`${url()}/patroni`, null);
    expect(found.nodes.map(({ problem }) => problem)).toEqual([null, expect.stringContaining('does not answer at http://127.0.0.1:9')]);
    expect(found.notes.join(' ')).toContain('/config did not answer');
  });

  test.each([
    ['a page', { status: 200, body: '<html>nginx</html>' }],
    ['other JSON', { status: 200, body: '{"hello":"world"}' }],
    ['an error', { status: 404, body: 'not here' }],
  ])('%s is not taken for Patroni', async (_what, answer) => {
    answers = { '/cluster': answer };
    await expect(discoverByPatroni(url(), null)).rejects.toMatchObject({
      code: 'setting_invalid',
      message: expect.stringContaining('but not as Patroni'),
    });
  });

  test('nobody there is another thing', async () => {
    await expect(discoverByPatroni('http://127.0.0.1:9', null)).rejects.toMatchObject({ code: 'controller_unreachable' });
  });
});
