/** The lab's shape: every path has one link, no address is used twice, and the target file says what was meant. */
import { parse } from 'yaml';
import { targetSchema } from '../../targets/schema';
import { targetYaml } from './lab-file';
import { memberTags } from './patroni';
import { haproxyConfig, pgbouncerConfig, pgbouncerUsers } from './servers';
import {
  allAddresses,
  checkNet,
  confirmingStandbys,
  labLinks,
  labTarget,
  NODE_NAMES,
  nodeNames,
  TOPOLOGIES,
  type LabPlan,
} from './topology';

const plan: LabPlan = {
  home: '/tmp/home',
  lab: '/tmp/home/lab',
  net: '127.0.9',
  topology: 'standalone',
  replication: 'quorum',
  syncStandbys: 1,
  nodeDiskBytes: null,
  watchdog: false,
  user: 'postgres',
  postgresBin: '/usr/lib/postgresql/15/bin',
};

test.each(['standalone', 'cascade'] as const)(
  '%s: every ordered pair of nodes, every node’s way to S3 and the clients’ way in have one link each',
  (topology) => {
    const names = labLinks('127.0.9', topology).map((link) => link.name);
    const nodes = nodeNames(topology);
    const pairs = nodes.flatMap((from) => nodes.filter((to) => to !== from).map((to) => `${from}-${to}`));
    expect([...names].sort()).toEqual(['client-router', ...pairs, ...nodes.map((node) => `${node}-s3`)].sort());
  },
);

test('patroni-cascade: beside these, every node’s way to every member of etcd', () => {
  const names = labLinks('127.0.9', 'patroni-cascade').map((link) => link.name);
  const cascade = labLinks('127.0.9', 'cascade').map((link) => link.name);
  const dcs = nodeNames('patroni-cascade').flatMap((node) => ['e1', 'e2', 'e3'].map((member) => `${node}-${member}`));
  expect([...names].sort()).toEqual([...cascade, ...dcs].sort());
});

test.each(['cascade', 'patroni-cascade'] as const)(
  'a %s has two sites, and its last standby streams from the one before it',
  (topology) => {
    const { nodes } = labTarget({ ...plan, topology }, '1');
    expect(nodes.map(({ name, site, upstream }) => [name, site, upstream])).toEqual([
      ['n1', 'a', undefined],
      ['n2', 'a', undefined],
      ['n3', 'b', undefined],
      ['n4', 'b', 'n3'],
    ]);
    expect(confirmingStandbys(topology)).toBe(2);
  },
);

test('the router knows every node of a cascade, and leads to the last only where somebody says so', () => {
  expect(haproxyConfig({ ...plan, topology: 'cascade' })).toContain('    server n4 127.0.9.14:5432 disabled\n');
  expect(haproxyConfig({ ...plan, topology: 'patroni-cascade' })).toContain('    server n4 127.0.9.14:5432 check port 8008\n');
});

test('Patroni is told to stream the last standby of a cascade from the one before it, and neither to promote it nor to wait for it', () => {
  const { nodes, controller } = labTarget({ ...plan, topology: 'patroni-cascade' }, '1');
  expect(controller).toMatchObject({ kind: 'patroni', api: { n4: 'http://127.0.9.14:8008' } });
  const tags = nodes.map((node) => memberTags(node));
  expect(tags[3]).toEqual({ replicatefrom: 'n3', nofailover: true, nosync: true, noloadbalance: false, clonefrom: false });
  expect(tags[2]).toEqual({ nofailover: false, nosync: false, noloadbalance: false, clonefrom: false });
});

test.each(TOPOLOGIES)('%s: no two listeners share an address', (topology) => {
  const addresses = allAddresses('127.0.9', topology).map(({ host, port }) => `${host}:${port}`);
  expect(new Set(addresses).size).toBe(addresses.length);
});

test.each(TOPOLOGIES)('%s: the target file reads back as the target that was written', (topology) => {
  const target = labTarget({ ...plan, topology }, '7312345678901234567');
  const text = targetYaml(target);
  expect(targetSchema.parse(parse(text))).toEqual(target);
  expect(text).toContain('# Passwords are named, never written here.');
});

test('a member of Patroni is found wherever its Python and its program lie, and never the wrapper that starts it', () => {
  const [node] = labTarget({ ...plan, topology: 'patroni' }, '1').nodes;
  const line = new RegExp(node?.agent?.find.at(-1) ?? '');
  const file = '/tmp/home/lab/patroni/n1.yml';
  expect(`/usr/bin/python3 /usr/bin/patroni ${file}`).toMatch(line);
  expect(`/tmp/home/lab/bin/patroni-4.1.5/bin/python3 /tmp/home/lab/bin/patroni-4.1.5/bin/patroni ${file}`).toMatch(line);
  expect(`unshare --mount sh -c mount agent hosts postgres /usr/bin/python3 /usr/bin/patroni ${file}`).not.toMatch(line);
  expect(`/usr/bin/python3 /usr/bin/patroni /tmp/home/lab/patroni/n2.yml`).not.toMatch(line);
});

test('the router lets nobody through before somebody says so', () => {
  const servers = haproxyConfig(plan)
    .split('\n')
    .filter((line) => line.trim().startsWith('server n'));
  expect(servers).toHaveLength(NODE_NAMES.length);
  for (const line of servers) expect(line).toMatch(/ disabled$/);
});

test('under pg_auto_failover the router asks each server itself whether it takes writes', () => {
  const config = haproxyConfig({ ...plan, topology: 'pg-auto-failover' });
  // DataRow with one column, `off`.
  expect(config).toContain('tcp-check expect binary 440000000d0001000000036f6666\n');
  const startup = /send-binary ([0-9a-f]+)/.exec(config)?.[1] ?? '';
  expect(parseInt(startup.slice(0, 8), 16)).toBe(startup.length / 2);
  expect(Buffer.from(startup, 'hex').toString('latin1')).toContain('user\0pgautofailover_monitor\0database\0postgres\0\0');
});

test('the pooler stands behind the router, for it must follow a failover, and clients find it among the ways in', () => {
  const config = pgbouncerConfig(plan);
  expect(config).toContain('gameday = host=127.0.9.20 port=5432 dbname=gameday\n');
  expect(config).toContain('pool_mode = transaction\n');
  const [pooler] = labTarget(plan, '1').paths;
  expect(pooler).toMatchObject({ name: 'pooler', kind: 'pooler', hosts: [{ host: '127.0.9.50', port: 6432 }] });
  expect(config).toContain('listen_addr = 127.0.9.50\nlisten_port = 6432\n');
  expect(allAddresses('127.0.9')).toContainEqual({ host: '127.0.9.50', port: 6432, use: 'pooler' });
});

test('no password can end its line or its quotes in the pooler’s file', () => {
  expect(pgbouncerUsers([['probe', 'a"b c']])).toBe('"probe" "a""b c"\n');
});

test.each(['10.0.0', '127.0', '127.0.256', '127.0.1.1', '127.0.x', ''])('"%s" is no network for a lab', (net) => {
  expect(() => checkNet(net)).toThrow('is not the beginning of a loopback network');
});
