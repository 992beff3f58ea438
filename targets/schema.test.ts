import { blastLimits, maxFaultMsOf, permitOf, permittedFaults } from './policy';
import { targetSchema } from './schema';

const node = (index: number): object => ({
  name: `n${index}`,
  host: `127.0.1.${10 + index}`,
  dataDir: `/lab/n${index}/data`,
  binDir: '/usr/lib/postgresql/15/bin',
  logFile: `/lab/n${index}/postgresql.log`,
});
const role = (user: string): object => ({ user, password: `file:/lab/secrets/${user}` });
const minimal = {
  name: 'lab',
  kind: 'lab',
  systemIdentifier: '7711223549777068719',
  controller: { kind: 'standalone', stateDir: '/lab/state', syncStandbys: 1 },
  nodes: [node(1), node(2)],
  entry: { host: '127.0.1.10', port: 5432 },
  roles: { operate: role('o'), observe: role('b'), probe: role('p'), replicate: role('r') },
  runDir: '/lab/run',
};
const messages = (value: unknown): string[] => {
  const result = targetSchema.safeParse(value);
  return result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
};

test('what is left out gets the safe default: no faults, no loss, one node at a time, no approvers', () => {
  const target = targetSchema.parse(minimal);
  expect(target.policy).toMatchObject({ allowFaults: [], acceptDataLoss: false, maxFaultMs: 900_000 });
  expect(target.policy).toMatchObject({ maxNodesAtOnce: 1, allowQuorumLoss: false, approvers: null });
  expect(target).toMatchObject({ links: null, archive: null, router: { kind: 'none' }, site: 'local' });
});

test('durations and sizes are written with units, and a parsed target parses again to itself', () => {
  const target = targetSchema.parse({ ...minimal, policy: { maxFaultMs: '90s', minFreeDiskBytes: '16MB' } });
  expect(target.policy).toMatchObject({ maxFaultMs: 90_000, minFreeDiskBytes: 16 * 1024 ** 2 });
  expect(targetSchema.parse(JSON.parse(JSON.stringify(target)))).toEqual(target);
});

test('an unknown key is an error, not a silent default', () => {
  expect(messages({ ...minimal, policy: { acceptDataloss: true } })).toEqual([expect.stringContaining('acceptDataloss')]);
});

test('a system identifier without quotes is refused before its digits are lost', () => {
  expect(messages({ ...minimal, systemIdentifier: 7711223549777068719 })[0]).toMatch(/in quotes/);
});

test('a password in the file is refused and not repeated', () => {
  const [message] = messages({ ...minimal, roles: { ...minimal.roles, probe: { user: 'p', password: 'hunter2' } } });
  expect(message).toMatch(/name the secret/);
  expect(message).not.toContain('hunter2');
});

test('an agent’s log is a file or a unit’s journal', () => {
  const agent = { find: ['true'], start: ['true'] };
  const withAgent = (more: object): readonly string[] =>
    messages({ ...minimal, nodes: [{ ...node(1), agent: { ...agent, ...more } }, node(2)] });
  expect(withAgent({ journal: 'patroni@main.service' })).toEqual([]);
  expect(withAgent({ journal: 'patroni', logFile: '/var/log/patroni.log' })).toEqual([expect.stringContaining('not both')]);
  expect(withAgent({ journal: '--since=now' })).toEqual([expect.stringContaining('not the name of a systemd unit')]);
});

test('two nodes may lie at the same path on machines of their own, not on one', () => {
  const at = (index: number, container: string): object => ({ ...node(index), dataDir: '/data', runsOn: { kind: 'docker', container } });
  expect(messages({ ...minimal, nodes: [at(1, 'shop-n1'), at(2, 'shop-n2')] })).toEqual([]);
  expect(messages({ ...minimal, nodes: [at(1, 'shop-n1'), at(2, 'shop-n1')] })).toEqual([
    'nodes.1.dataDir: data directory "/data" is used twice',
  ]);
});

test('an upstream is another node, ends at the primary, and is only for who is steered by us or by Patroni’s tags', () => {
  const from = (upstream: string): object => ({ ...minimal, nodes: [node(1), { ...node(2), upstream }, { ...node(3), upstream: 'n2' }] });
  expect(messages(from('n1'))).toEqual([]);
  expect(messages(from('n9'))[0]).toBe('nodes.1.upstream: there is no node "n9"');
  expect(messages(from('n3'))).toEqual([
    'nodes.1.upstream: "n2" would stream from itself in the end',
    'nodes.2.upstream: "n3" would stream from itself in the end',
  ]);
  const command = { kind: 'command', syncStandbys: 0, failover: ['/opt/fo'] };
  expect(messages({ ...minimal, controller: command, nodes: [node(1), { ...node(2), upstream: 'n1' }] })[0]).toMatch(/is up to command/);
  const api = { n1: 'http://10.0.0.1:8008', n2: 'http://10.0.0.2:8008', n3: 'http://10.0.0.3:8008' };
  const patroni = { kind: 'patroni', scope: 'shop', syncStandbys: 0, api };
  expect(messages({ ...from('n1'), controller: patroni })).toEqual([]);
  expect(messages({ ...from('n9'), controller: patroni })[0]).toBe('nodes.1.upstream: there is no node "n9"');
});

test('more synchronous standbys than other nodes, twin names and links to nowhere are named', () => {
  expect(messages({ ...minimal, controller: { ...minimal.controller, syncStandbys: 2 } })[0]).toMatch(/wait for ever/);
  expect(messages({ ...minimal, nodes: [node(1), node(1)] })[0]).toMatch(/node name "n1" is used twice/);
  const link = {
    name: 'n2-n9',
    from: 'n2',
    to: 'n9',
    listenHost: '127.0.1.12',
    listenPort: 6001,
    upstreamHost: '127.0.1.19',
    upstreamPort: 5432,
  };
  expect(messages({ ...minimal, links: { api: 'http://127.0.1.30:8474', restart: ['true'], list: [link] } })[0]).toMatch(
    /"n9" is neither a node/,
  );
});

test('a fault is allowed by its name, or with limits of its own, and only once', () => {
  const allowFaults = ['noop', { fault: 'link-cut', maxMs: '90s' }];
  const { policy } = targetSchema.parse({ ...minimal, policy: { allowFaults } });
  expect(policy.allowFaults).toEqual(['noop', { fault: 'link-cut', maxMs: 90_000, maxNodes: null }]);
  expect(permitOf(policy, 'link-cut')).toMatchObject({ index: 1, maxMs: 90_000 });
  expect([permitOf(policy, 'drop-table'), permittedFaults(policy)]).toEqual([null, ['noop', 'link-cut']]);
  expect([maxFaultMsOf(policy, 'link-cut'), maxFaultMsOf(policy, 'noop')]).toEqual([90_000, 900_000]);
  expect(messages({ ...minimal, policy: { allowFaults: ['noop', { fault: 'noop' }] } })).toEqual([
    'policy.allowFaults.1: fault "noop" is used twice',
  ]);
  expect(messages({ ...minimal, policy: { allowFaults: [{ fault: 'noop', maxNode: 1 }] } })).toHaveLength(1);
  expect(messages({ ...minimal, policy: { approvers: 'allowed_signers' } })[0]).toContain('must be an absolute path');
});

test('a policy made before there were limits is read with the safe ones', () => {
  expect(blastLimits({})).toEqual({ maxNodesAtOnce: 1, allowQuorumLoss: false });
});

describe('a Patroni target', () => {
  const api = { n1: 'http://10.0.0.11:8008', n2: 'http://10.0.0.12:8008' };
  const controller = { kind: 'patroni', scope: 'shop', syncStandbys: 1, api, dcs: [{ name: 'e1', host: '10.0.0.21', port: 2379 }] };
  const patroni = (change: object = {}): object => ({ ...minimal, kind: 'staging', controller: { ...controller, ...change } });

  test('names an API for each node, and members of its store that links may lead to', () => {
    const link = {
      name: 'n1-e1',
      from: 'n1',
      to: 'e1',
      listenHost: '10.0.0.11',
      listenPort: 12379,
      upstreamHost: '10.0.0.21',
      upstreamPort: 2379,
    };
    const links = { api: 'http://10.0.0.30:8474', restart: ['systemctl', 'restart', 'toxiproxy'], list: [{ ...link, speaks: 'http' }] };
    expect(messages({ ...patroni(), links })).toEqual([]);
    expect(targetSchema.parse(patroni()).controller).toMatchObject({ auth: null });
    expect(messages({ ...patroni({ dcs: [] }), links })).toEqual(['links.list.0.to: "e1" is neither a node nor one of client, router, s3']);
  });

  test('services carry the names of the store’s members, or names that nothing else has', () => {
    const service = (name: string, kind: string): object => ({
      name,
      kind,
      host: '10.0.0.21',
      port: 2379,
      find: ['true'],
      start: ['true'],
    });
    const services = [service('e1', 'dcs'), service('haproxy', 'router')];
    expect(targetSchema.parse({ ...patroni(), services }).services?.[0]).toMatchObject({
      runsOn: { kind: 'local' },
      osUser: null,
      leaveDown: null,
    });
    expect(targetSchema.parse(patroni())).not.toHaveProperty('services');
    const wrong = ['n1 router', 'e9 dcs', 'monitor monitor', 'e1 pooler', 'e1 dcs'].map((words) => words.split(' ') as [string, string]);
    expect(messages({ ...patroni(), services: wrong.map(([name, kind]) => service(name, kind)) })).toEqual([
      'services.4.name: service name "e1" is used twice',
      'services.0.name: "n1" is a node’s name',
      'services.1.name: "e9" is no member in `controller.dcs`',
      'services.2.name: "monitor" is no monitor: only pg_auto_failover has one, called `monitor`',
      'services.3.name: "e1" is a member of the store, not a pooler',
    ]);
  });

  test.each([
    [{ api: { n1: api.n1 } }, 'controller.api: node "n2" is missing here'],
    [{ api: { ...api, n3: api.n1 } }, 'controller.api.n3: there is no node "n3"'],
    [{ api: { ...api, n2: 'n2:8008' } }, /^controller\.api\.n2: must be the base URL/],
    [{ stateDir: '/x' }, /^controller: .*stateDir/],
  ])('%j is refused where it stands', (change, words) => {
    expect(messages(patroni(change))).toEqual([expect.stringMatching(words)]);
  });

  test('a router that its health checks steer needs no state file', () => {
    expect(messages({ ...patroni(), router: { kind: 'haproxy', socket: '/run/haproxy.sock', backend: 'pg' } })).toEqual([]);
    expect(messages({ ...minimal, router: { kind: 'haproxy', socket: '/run/haproxy.sock', backend: 'pg' } })).toEqual([
      'router.stateFile: a haproxy router needs `stateFile`',
    ]);
  });
});

test('a node on another machine says who logs in where; what is left out is OpenSSH’s own', () => {
  const remote = { ...node(1), runsOn: { kind: 'ssh', address: 'db1.example.com', user: 'gameday' } };
  const [first] = targetSchema.parse({ ...minimal, nodes: [remote, node(2)] }).nodes;
  expect(first?.runsOn).toEqual({
    kind: 'ssh',
    address: 'db1.example.com',
    port: 22,
    user: 'gameday',
    identityFile: null,
    knownHosts: null,
  });
  expect(
    messages({ ...minimal, nodes: [{ ...node(1), runsOn: { kind: 'ssh', address: 'x', user: '-oProxyCommand=x' } }, node(2)] }),
  ).toEqual(['nodes.0.runsOn.user: is not a user’s name']);
});

test('a node in a container names it; the engine is this machine’s', () => {
  const inside = { ...node(1), runsOn: { kind: 'docker', container: 'shop-n1' } };
  expect(targetSchema.parse({ ...minimal, nodes: [inside, node(2)] }).nodes[0]?.runsOn).toEqual({
    kind: 'docker',
    socket: '/var/run/docker.sock',
    container: 'shop-n1',
  });
  expect(messages({ ...minimal, nodes: [{ ...node(1), runsOn: { kind: 'docker', container: '../x' } }, node(2)] })).toEqual([
    'nodes.0.runsOn.container: is not a container’s name',
  ]);
});

test('a runbook’s commands are lists of words, and ask for what can be known there', () => {
  const command = (change: object = {}): object => ({
    ...minimal,
    controller: { kind: 'command', syncStandbys: 0, failover: ['/opt/fo', '{candidate}'], ...change },
  });
  expect(targetSchema.parse(command({ expectedMs: '45s' })).controller).toEqual({
    kind: 'command',
    syncStandbys: 0,
    status: null,
    failover: ['/opt/fo', '{candidate}'],
    rejoin: null,
    expectedMs: 45_000,
  });
  expect(messages(command({ failover: '/opt/fo n2' }))).toHaveLength(1);
  expect(messages(command({ failover: [] }))[0]).toContain('as a list of words');
  expect(messages(command({ status: ['who', '--not={node}'], rejoin: ['/opt/back', '{candidate}'] }))).toEqual([
    'controller.status: {node} is not known here',
    'controller.rejoin: {candidate} is not known here',
  ]);
});

test('a repmgr target names a configuration file for each node, and for nobody else', () => {
  const config = { n1: '/etc/repmgr.conf', n2: '/etc/repmgr.conf' };
  const repmgr = (change: object): object => ({ ...minimal, controller: { kind: 'repmgr', syncStandbys: 0, config, ...change } });
  expect(targetSchema.parse(repmgr({})).controller).toEqual({
    kind: 'repmgr',
    syncStandbys: 0,
    config,
    program: null,
    metadata: { database: 'repmgr', user: 'repmgr', password: null },
  });
  expect(messages(repmgr({ config: { n1: config.n1, n9: config.n1 } }))).toEqual([
    'controller.config: node "n2" is missing here',
    'controller.config.n9: there is no node "n9"',
  ]);
});

const barman = { kind: 'barman-cloud', source: 's3://backups/pg/main', server: 'shop', credentials: '/etc/barman/keys' };

test('an archive of barman-cloud takes what its commands are given, and the tool’s own defaults for the rest', () => {
  const target = targetSchema.parse({ ...minimal, archive: barman });
  expect(target.archive).toEqual({
    ...barman,
    endpoint: null,
    region: 'us-east-1',
    profile: 'default',
    awsConfig: null,
    nodeCredentials: null,
    compression: 'gzip',
    programs: '/usr/bin',
  });
  expect(targetSchema.parse(JSON.parse(JSON.stringify(target)))).toEqual(target);
});

test.each([
  [{ source: 's3://backups/pg/' }, 'archive.source: must be the URL that barman-cloud is given'],
  [{ source: 'https://backups/pg' }, 'archive.source: must be the URL that barman-cloud is given'],
  [{ server: 'a/b' }, 'archive.server: is not the name of a server in Barman'],
  [{ endpoint: 's3.example.com' }, 'archive.endpoint: must be the S3 endpoint’s URL'],
  [{ credentials: 'env:AWS_KEY' }, 'archive.credentials: must be an absolute path'],
  [{ compression: 'lz4' }, 'archive.compression: '],
  [{ secretKey: 'env:AWS_SECRET' }, 'archive: '],
])('%j is refused at its own place', (over, message) => {
  expect(messages({ ...minimal, archive: { ...barman, ...over } })).toEqual([expect.stringContaining(message)]);
});

const walG = { kind: 'wal-g', config: '/etc/wal-g.yaml' };

test('an archive of WAL-G takes its configuration, and needs nothing else', () => {
  const target = targetSchema.parse({ ...minimal, archive: walG });
  expect(target.archive).toEqual({ ...walG, nodeConfig: null, program: '/usr/local/bin/wal-g' });
  expect(targetSchema.parse(JSON.parse(JSON.stringify(target)))).toEqual(target);
});

test.each([
  [{ config: '/etc/wal-g.d/env' }, 'archive.config: must end in .json, .yaml, .env'],
  [{ config: '/etc/wal-g#1.json' }, 'archive.config: must not hold a #'],
  [{ nodeConfig: 'wal-g.yaml' }, 'archive.nodeConfig: must be an absolute path'],
  [{ secretKey: 'env:AWS_SECRET' }, 'archive: '],
])('of WAL-G, %j is refused at its own place', (over, message) => {
  expect(messages({ ...minimal, archive: { ...walG, ...over } })).toEqual([expect.stringContaining(message)]);
});
