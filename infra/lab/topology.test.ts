/** The lab's shape: every path has one link, no address is used twice, and the target file says what was meant. */
import { parse } from 'yaml';
import { targetSchema } from '../../targets/schema';
import { targetYaml } from './lab-file';
import { haproxyConfig } from './servers';
import { allAddresses, checkNet, labLinks, labTarget, NODE_NAMES, type LabPlan } from './topology';

const plan: LabPlan = {
  home: '/tmp/home',
  lab: '/tmp/home/lab',
  net: '127.0.9',
  syncStandbys: 1,
  user: 'postgres',
  postgresBin: '/usr/lib/postgresql/15/bin',
};

test('every ordered pair of nodes, every node’s way to S3 and the clients’ way in have one link each', () => {
  const names = labLinks('127.0.9').map((link) => link.name);
  const pairs = NODE_NAMES.flatMap((from) => NODE_NAMES.filter((to) => to !== from).map((to) => `${from}-${to}`));
  expect([...names].sort()).toEqual(['client-router', ...pairs, ...NODE_NAMES.map((node) => `${node}-s3`)].sort());
});

test('no two listeners share an address', () => {
  const addresses = allAddresses('127.0.9').map(({ host, port }) => `${host}:${port}`);
  expect(new Set(addresses).size).toBe(addresses.length);
});

test('the target file reads back as the target that was written', () => {
  const target = labTarget(plan, '7312345678901234567');
  const text = targetYaml(target);
  expect(targetSchema.parse(parse(text))).toEqual(target);
  expect(text).toContain('# Passwords are named, never written here.');
});

test('the router lets nobody through before somebody says so', () => {
  const servers = haproxyConfig(plan)
    .split('\n')
    .filter((line) => line.trim().startsWith('server n'));
  expect(servers).toHaveLength(NODE_NAMES.length);
  for (const line of servers) expect(line).toMatch(/ disabled$/);
});

test.each(['10.0.0', '127.0', '127.0.256', '127.0.1.1', '127.0.x', ''])('"%s" is no network for a lab', (net) => {
  expect(() => checkNet(net)).toThrow('is not the beginning of a loopback network');
});
