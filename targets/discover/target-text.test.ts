import { parse } from 'yaml';
import { targetSchema } from '../schema';
import { discoverText, fillIn } from './target-text.test-data';
import { guessBinDir } from './ask-server';
import { archiveToolOf, plainName, syncStandbysOf, type Found } from './found';
import { readPatroni } from './discover-patroni';
import { readMonitor } from './discover-pg-auto-failover';
import { PATRONI_3, PATRONI_4 } from './patroni-answers.test-data';
import { openPlaces, scalar } from './target-text';

const local = (name: string, host: string, role: 'primary' | 'standby'): Found['nodes'][number] => ({
  name,
  host,
  hostGuess: null,
  port: 5432,
  role,
  local: true,
  dataDir: `/srv/pg ${name}`,
  binDir: { value: '/usr/lib/postgresql/15/bin', guessedFrom: null },
  logFile: { value: `/var/log/${name}.log`, guessedFrom: null },
  osUser: 'postgres',
  api: null,
  upstream: null,
  problem: null,
});
const complete: Found = {
  source: 'the server at 127.0.0.1:5432',
  suggestedName: null,
  systemIdentifier: '7268616322854375442',
  controller: { kind: 'standalone', syncStandbys: 1 },
  nodes: [local('n1', '127.0.0.1', 'primary'), local('n2', '127.0.0.2', 'standby')],
  entry: { host: 'db.internal', port: 5432 },
  replicateUser: 'replicator',
  archive: 'pgbackrest',
  notes: ['A note: with "quotes" and a # sign.'],
};

test('where nothing is missing the file parses as it is, with nothing allowed', () => {
  const text = discoverText(complete);
  expect(openPlaces(text)).toEqual([]);
  const target = targetSchema.parse(parse(text));
  expect(target).toMatchObject({
    name: 'shop',
    kind: 'staging',
    systemIdentifier: '7268616322854375442',
    controller: { kind: 'standalone', syncStandbys: 1 },
    links: null,
    archive: null,
    policy: { allowFaults: [], acceptDataLoss: false, allowQuorumLoss: false, maxNodesAtOnce: 1 },
  });
  expect(target.nodes[0]).toMatchObject({ dataDir: '/srv/pg n1', osUser: 'postgres', runsOn: { kind: 'local' } });
  expect(text).toContain('archived by pgbackrest');
  for (const { password } of Object.values(target.roles)) expect(password).toMatch(/^env:/);
});

test.each([
  ['Patroni 3.0.2', readPatroni('http://10.0.0.11:8008', PATRONI_3)],
  ['Patroni 4.1', readPatroni('https://10.89.0.4:8008', PATRONI_4)],
])('%s alone leaves places open; without them the file is refused, with them filled in it parses', (_version, found) => {
  const text = discoverText(found);
  const keys = openPlaces(text).map((place) => place.text.split(' ')[1]);
  expect(new Set(keys)).toEqual(
    new Set([
      'dataDir:',
      ...(found.nodes.some(({ binDir }) => binDir === null) ? ['binDir:'] : []),
      'logFile:',
      'osUser:',
      'runsOn:',
      'agent:',
      'host:',
      'port:',
    ]),
  );
  expect(targetSchema.safeParse(parse(text)).success).toBe(false);
  const target = targetSchema.parse(parse(fillIn(text)));
  expect(openPlaces(fillIn(text))).toEqual([]);
  expect(target.controller).toMatchObject({
    kind: 'patroni',
    scope: found.suggestedName,
    api: Object.fromEntries(found.nodes.map(({ name, api }) => [name, api])),
  });
  expect(target.nodes[0]).toMatchObject({ runsOn: { kind: 'ssh', user: 'gameday' }, agent: { start: ['systemctl', 'start', 'patroni'] } });
});

test('a mark that was taken away without filling in still counts as open', () => {
  const text = discoverText({ ...complete, systemIdentifier: null });
  expect(openPlaces(text)).toHaveLength(1);
  expect(openPlaces(text.replaceAll('#? ', ''))).toHaveLength(1);
  expect(targetSchema.safeParse(parse(text.replaceAll('#? ', ''))).success).toBe(false);
});

test('what knows no address is an open place, never an invented one', () => {
  const lost = {
    ...local('n2', '', 'standby'),
    host: null,
    port: null,
    local: false,
    dataDir: null,
    binDir: null,
    logFile: null,
    osUser: null,
    problem: 'it streams from 10.0.0.9',
  };
  const text = discoverText({
    ...complete,
    nodes: [complete.nodes[0]!, lost],
    entry: null,
    controller: { kind: 'standalone', syncStandbys: null },
  });
  const target = targetSchema.parse(parse(fillIn(text)));
  expect(target.nodes[1]).toMatchObject({ host: 'filled-in-1', port: 5432 });
  expect(text).toContain('It could not be asked: it streams from 10.0.0.9');
});

test('production asks for approvers', () => {
  const text = discoverText(complete, 'production');
  expect(openPlaces(text).map(({ text: words }) => words)).toEqual([expect.stringContaining('approvers')]);
});

test('pg_auto_failover: everything but its kind is as the schema wants it', () => {
  const row = {
    formationid: 'default',
    nodeid: 1,
    nodename: 'node_1',
    nodehost: '10.0.0.11',
    nodeport: 5432,
    sysidentifier: '7',
    goalstate: 'single',
    reportedstate: 'single',
  };
  const formations = [{ formationid: 'default', number_sync_standbys: 0 }];
  const found = readMonitor(
    { host: '10.0.0.5', port: 5432 },
    { user: 'autoctl_node', database: 'pg_auto_failover' },
    { formations, nodes: [row] },
    null,
  );
  const result = targetSchema.safeParse(parse(fillIn(discoverText(found))));
  // Until this gameday knows the controller, that is the only thing wrong.
  expect(result.success ? [] : result.error.issues.map(({ path }) => path.join('.'))).toEqual(result.success ? [] : ['controller.kind']);
});

test('what was made of words', () => {
  expect(['15/main', 'Shop_DB', '10.0.0.1', '', null].map(plainName)).toEqual(['main', 'shop-db', null, null, null]);
  expect(['', 'n2', 'n2, n3', 'ANY 1 (n2, n3)', 'FIRST 2 (a,b)', '2 (a, b)', '*', 'odd ('].map(syncStandbysOf)).toEqual([
    0,
    1,
    1,
    1,
    2,
    2,
    1,
    null,
  ]);
  expect(archiveToolOf('on', 'pgbackrest --stanza=main archive-push %p', null)).toBe('pgbackrest');
  expect(archiveToolOf('on', 'barman-cloud-wal-archive s3://x main %p', null)).toBe('barman-cloud');
  expect(archiveToolOf('on', `/bin/sh '/srv/spool/n1/push.sh' "%p" "%f"`, null)).toBe('native');
  expect(archiveToolOf('on', 'cp %p /mnt/%f', null)).toBe('another');
  expect(archiveToolOf('on', '', '')).toBe('none');
  expect(archiveToolOf(null, null, null)).toBeNull();
  expect(guessBinDir(16, 'PostgreSQL 16.4 on x86_64-pc-linux-gnu, compiled by gcc (GCC) 11.4.1 20231218 (Red Hat 11.4.1-3)')?.value).toBe(
    '/usr/pgsql-16/bin',
  );
  expect(guessBinDir(0, '')).toBeNull();
  expect(['10.0.0.1', 'on', '7', 'a: b', '/x y', '::1', 'http://h:8008'].map(scalar)).toEqual([
    '10.0.0.1',
    '"on"',
    '"7"',
    '"a: b"',
    '"/x y"',
    '"::1"',
    'http://h:8008',
  ]);
});
