/** Settings of host-net-cut; what it does is seen in test/live/faults-host.test.ts. */
import { rulesOf } from './packet-filter';
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

test('its undo by hand names exactly its own rules and its own timer', () => {
  expect(hostNetCut.manualUndo({ node: 'n1', direction: 'both', label: 'gd-drill-000042-cut' }, paperContext('cut').live.target)).toEqual([
    `iptables-save | grep -v -- '--comment "\\?gd-drill-000042-cut"\\? ' | iptables-restore`,
    "pkill -f 'gameday-timer [0-9]+ gd-drill-000042-cut$'",
  ]);
});
