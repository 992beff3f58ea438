/** Settings of host-net-cut; what it does is seen in test/live/faults-host.test.ts. */
import type { Target } from '../model/target';
import { nftRuleset, ownsAddress, rulesOf } from './packet-filter';
import { hostNetCut } from './host-net-cut';
import { paperContext } from './paper-target.test-data';

test('without a direction both are cut, and an unknown one is refused', () => {
  expect(hostNetCut.schema.parse({ node: 'n1' })).toEqual({ node: 'n1', direction: 'both' });
  expect(hostNetCut.schema.safeParse({ node: 'n1', direction: 'down' }).success).toBe(false);
});

test.each([
  ['in', ['INPUT -d 127.0.66.97', 'INPUT -p tcp -s 127.0.66.99 --sport 2']],
  ['out', ['OUTPUT -s 127.0.66.97', 'OUTPUT -p tcp -d 127.0.66.99 --dport 2']],
] as const)('%s: the node’s address, and where its own links begin', (direction, rules) => {
  expect(rulesOf(paperContext('cut').live.target, 'n2', direction).map((rule) => rule.join(' '))).toEqual(rules);
});

test('its undo by hand names exactly its own rules, or its own table, and its own timer', () => {
  const mark = 'gd-drill-000042-cut.7.n1';
  const byHand = (filter: 'iptables' | 'nft') =>
    hostNetCut.manualUndo({ node: 'n1', direction: 'both', mark, whole: true, filter }, paperContext('cut').live.target);
  const timer = `pkill -f 'gameday-timer [0-9]+ ${mark}$' || [ $? -eq 1 ]`;
  expect(byHand('iptables')).toEqual([
    `iptables -w 5 -S | grep -F -e '--comment ${mark} ' -e '--comment "${mark}" ' | sed 's/^-A /iptables -w 5 -D /' | sh -e`,
    timer,
  ]);
  expect(byHand('nft')).toEqual([`! nft list table inet ${mark} >/dev/null 2>&1 || nft delete table inet ${mark}`, timer]);
});

test('nft is given the same rules, in a table that is called by the mark, made anew in one transaction', () => {
  const rules = rulesOf(targetWith({ nodes: at('10.0.0.1', 5432, 5433), links: null }), 'n1', 'both');
  expect(nftRuleset('gd-drill-000042-cut.7.n1', rules).split('\n')).toEqual([
    'add table inet gd-drill-000042-cut.7.n1',
    'add chain inet gd-drill-000042-cut.7.n1 input { type filter hook input priority -300; policy accept; }',
    'add chain inet gd-drill-000042-cut.7.n1 output { type filter hook output priority -300; policy accept; }',
    'flush table inet gd-drill-000042-cut.7.n1',
    'add rule inet gd-drill-000042-cut.7.n1 input ip daddr 10.0.0.1 tcp dport 5432 drop comment "gd-drill-000042-cut.7.n1"',
    'add rule inet gd-drill-000042-cut.7.n1 output ip saddr 10.0.0.1 tcp sport 5432 drop comment "gd-drill-000042-cut.7.n1"',
    '',
  ]);
});

/** n1 alone at its address, unless `changes` say otherwise. */
function targetWith(changes: Partial<Target>): Target {
  const { target } = paperContext('cut').live;
  const nodes = [
    { name: 'n1', host: '10.0.0.1', port: 5432 },
    { name: 'n2', host: '10.0.0.2', port: 5432 },
  ] as unknown as Target['nodes'];
  return { ...target, nodes, ...changes };
}

test('an address that is the node’s alone is cut as a whole', () => {
  expect(ownsAddress(targetWith({}), 'n1')).toBe(true);
  expect(ownsAddress(targetWith({ entry: { host: '10.0.0.1', port: 5432, database: 'gameday' } }), 'n1')).toBe(true);
});

const at = (host: string, ...ports: number[]) => ports.map((port, n) => ({ name: `n${n + 1}`, host, port })) as unknown as Target['nodes'];
test.each([
  ['another node', { nodes: at('10.0.0.1', 5432, 5433) }],
  ['the clients’ entry', { entry: { host: '10.0.0.1', port: 6432, database: 'gameday' } }],
  ['Toxiproxy', { links: { api: 'http://10.0.0.1:8474', restart: [], list: [] } }],
  ['everything of this machine', { nodes: at('127.0.0.1', 5432) }],
] as const)('where %s is reached at the node’s address, its server’s port alone is cut, and that is said', (_, changes) => {
  const target = targetWith(changes);
  const { host } = target.nodes[0] ?? { host: '' };
  const rules = rulesOf(target, 'n1', 'both').map((rule) => rule.join(' '));
  expect(rules.slice(0, 1)).toEqual([`INPUT -p tcp -d ${host} --dport 5432`]);
  expect(rules).toContain(`OUTPUT -p tcp -s ${host} --sport 5432`);
  expect(hostNetCut.preview({ node: 'n1', direction: 'both', mark: 'm', whole: ownsAddress(target, 'n1'), filter: 'iptables' })).toBe(
    'drop every packet to and from PostgreSQL’s port of n1 by iptables on its host',
  );
});

test('an IPv6 address, which iptables does not filter, is refused before anything happens', async () => {
  const context = paperContext('cut');
  const live = { ...context.live, target: targetWith({ nodes: at('::1', 5432) }) };
  await expect(hostNetCut.resolve({ node: 'n1', direction: 'both' }, { ...context, live })).rejects.toMatchObject({
    code: 'fault_refused',
    message: 'packets of n1 can’t be dropped: ::1',
  });
});
