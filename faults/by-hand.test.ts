/**
 * What a person types, of every fault there is, on paper: lines that a shell takes as they stand, with nothing to fill in, and that say where.
 * That they heal is shown on real servers by `test/live/fault-contract.ts`.
 */
import { spawnSync } from 'node:child_process';
import type { JsonObject } from '../model/json';
import type { Target, TargetHost } from '../model/target';
import { labUpByHand, onHost, psqlByHand, signalByHand } from './by-hand';
import { howToStart, howToStop } from './node-role';
import { paperContainer, paperContext } from './paper-target.test-data';
import { FAULTS, findFault } from './registry';

const running = { pid: 4242, startTicks: '77', bootId: 'b-o-o-t' };
const link = paperContext('x').live.target.links?.list[1] as unknown as JsonObject;
const onLinks = (detail: JsonObject): JsonObject => ({ links: [link], toxic: 'gd-drill-000042-x', direction: 'both', detail });
const group = {
  node: 'n2',
  controller: 'cpu',
  version: 2,
  mount: '/cg',
  origin: '/cg/pg',
  dir: '/cg/gd-drill-000042-x@pg',
  postmaster: running,
};
const table = { table: 'victim_drill_000042_x', rows: 3, sha256: 'f'.repeat(64) };
const object = { key: 'wal/one', versionId: 'v1', sha256: 'f'.repeat(64), bytes: 28, label: 'gd-drill-000042-x' };
const seat = { network: 'ground', aliases: ['node'], address: '172.31.0.1', address6: null, current: '172.31.0.1' };
const onNode = { node: 'n2', label: 'gd-drill-000042-x' };
const API = 'http://127.0.66.30:8474/proxies/n2-n1/toxics/gd-drill-000042-x';
const PRIMARY = 'host=127.0.66.97,127.0.66.97,127.0.66.97 port=1,1,1 user=gameday_';

/** One handle of each fault, as `resolve` makes it, and what its lines must name. */
const HANDLES: Readonly<Record<string, { readonly handle: JsonObject; readonly names: readonly string[] }>> = {
  noop: { handle: {}, names: [] },
  'link-latency': { handle: onLinks({ latencyMs: 100, jitterMs: 0 }), names: [API] },
  'link-cut': { handle: onLinks({}), names: [API] },
  'link-bandwidth': { handle: onLinks({ kBps: 64 }), names: [API] },
  'link-reset': { handle: onLinks({ afterMs: 0 }), names: [API] },
  'link-drip': { handle: onLinks({ bytes: 1, delayMs: 10 }), names: [API] },
  'link-flap': {
    handle: { links: [link], direction: 'both', label: 'gd-drill-000042-x', toxic: 'gd-drill-000042-x', upMs: 500, downMs: 500 },
    names: [API],
  },
  'process-kill': { handle: { node: 'n1', scope: 'tree', postmaster: running, agent: null, checkpointerSince: null }, names: ['/data/n1'] },
  'process-freeze': {
    handle: { node: 'n1', scope: 'tree', thaw: false, postmaster: running, primary: true, agent: null },
    names: ['/proc/4242/stat', '/data/n1'],
  },
  'process-restart': { handle: { node: 'n2', mode: 'fast', postmaster: running }, names: ['/data/n2'] },
  'service-kill': { handle: { services: [{ name: 'haproxy', process: running }] }, names: ['start-haproxy'] },
  'service-freeze': { handle: { services: [{ name: 'haproxy', process: running }] }, names: ['/proc/4242/stat', 'start-haproxy'] },
  'host-stop': {
    handle: { node: 'n1', mark: 'gd-drill-000042-x.7.n1', filter: 'iptables', whole: true, postmaster: running, agent: null },
    names: ['iptables', 'gd-drill-000042-x.7.n1', '/data/n1'],
  },
  'host-net-cut': {
    handle: { node: 'n1', mark: 'gd-drill-000042-x.7.n1', filter: 'nft', whole: true, direction: 'both' },
    names: ['nft delete table inet gd-drill-000042-x.7.n1'],
  },
  'container-pause': {
    handle: { node: 'n1', thaw: false, primary: true, seats: [seat], mark: 'gd-drill-000042-x.7.n1' },
    names: ['unpause c1', 'network disconnect ground c1', 'kill c1', '--alias node ground c1', 'volume rm --force gd-drill-000042-x.7.n1'],
  },
  'container-disconnect': {
    handle: { node: 'n1', seats: [seat], at: null, mark: 'gd-drill-000042-x.7.n1' },
    names: ['network connect --ip 172.31.0.1 --alias node ground c1', 'volume rm --force gd-drill-000042-x.7.n1'],
  },
  'sync-standby-loss': { handle: { nodes: [{ node: 'n2', postmaster: running, agent: null }], of: 2 }, names: ['/data/n2'] },
  'promote-behind-back': { handle: { node: 'n3' }, names: ['pg_ctl stop -m immediate -D /data/n3', '/data/n3/standby.signal'] },
  'automation-paused': { handle: { controller: 'patroni' }, names: ['http://10.0.0.1:8008/config'] },
  'drop-table': { handle: table, names: [`${PRIMARY}probe`, 'gameday.victim_drill_000042_x'] },
  'mass-update': { handle: table, names: [`${PRIMARY}probe`, 'gameday.victim_drill_000042_x'] },
  'clock-skew': { handle: { node: 'n2', skewMs: 5_000, library: '/l.so', label: 'gd-drill-000042-x' }, names: ['/data/n2'] },
  'cpu-starved': { handle: { group, share: 5 }, names: ['/cg/gd-drill-000042-x@pg'] },
  'memory-starved': {
    handle: { group: { ...group, controller: 'memory' }, limitBytes: 1 },
    names: ['/cg/gd-drill-000042-x@pg/memory.high'],
  },
  'disk-slow': { handle: { group: { ...group, controller: 'blkio' }, file: '/data/n2/x' }, names: ['rm -f /data/n2/x'] },
  'disk-full': { handle: { node: 'n2', dir: '/data/n2', file: '/data/n2/full', leaveBytes: 0 }, names: ['rm -f /data/n2/full'] },
  'page-corrupt': { handle: { ...table, node: 'n2' }, names: [`${PRIMARY}probe`, 'gameday.victim_drill_000042_x'] },
  'connections-exhausted': { handle: onNode, names: ['host=127.0.66.97', 'gd-drill-000042-x'] },
  'connection-storm': { handle: { ...onNode, host: 'h', port: 1, rate: 40, atOnce: 20 }, names: ['host=127.0.66.97', 'gd-drill-000042-x'] },
  'long-transaction': { handle: { ...onNode, table }, names: ['host=127.0.66.97', 'gd-drill-000042-x'] },
  'lock-held': { handle: { ...onNode, own: null }, names: ['host=127.0.66.97', 'gd-drill-000042-x'] },
  'slot-bloat': { handle: { node: 'n1', slot: 'gd_drill_000042_x', bytes: 1 }, names: ['host=127.0.66.97', 'gd_drill_000042_x'] },
  'credentials-rotated': {
    handle: { role: 'replicate', user: 'gameday_replicate', label: 'gd-drill-000042-x', standbys: ['n2'] },
    names: [`${PRIMARY}operate`, 'gameday_replicate'],
  },
  'archive-unavailable': {
    handle: { how: 'error-503', nodes: ['n1'], links: [], label: 'gd-drill-000042-x', latencyMs: 0 },
    names: ['/run/haproxy.sock', 'del map /run/gate.map all'],
  },
  'archive-object-lost': {
    handle: object,
    names: ['--endpoint-url http://127.0.66.40:7070 --bucket drills', '--key archive/wal/one', 'faults/gd-drill-000042-x', 'without aws'],
  },
  'archive-emptied': {
    handle: { objects: 3, backups: ['b1'], label: 'gd-drill-000042-x' },
    names: ['--endpoint-url http://127.0.66.40:7070 --bucket drills', '--prefix archive/ ', 'faults/gd-drill-000042-x', 'without aws'],
  },
  'archive-object-corrupt': {
    handle: object,
    names: ['--endpoint-url http://127.0.66.40:7070 --bucket drills', '--key archive/wal/one', "VersionId!='\\''v1'\\''", 'without aws'],
  },
};

const service = { name: 'haproxy', kind: 'router', host: '127.0.66.20', port: 5432, runsOn: { kind: 'local' }, osUser: null };
const ARCHIVE = {
  kind: 'native',
  endpoint: 'http://127.0.66.40:7070',
  region: 'us-east-1',
  bucket: 'drills',
  prefix: 'archive',
  accessKey: 'file:/secret/access key',
  secretKey: 'env:STORE_SECRET',
  spoolDir: '/spool',
  gate: { socket: '/run/haproxy.sock', map: '/run/gate.map' },
};
const TARGET = {
  ...paperContext('x').live.target,
  archive: ARCHIVE,
  services: [{ ...service, find: ['true'], start: ['/lab/start-haproxy'], leaveDown: null }],
} as unknown as Target;
const IN_CONTAINERS = paperContainer('x').context.live.target;
const PATRONI = {
  kind: 'patroni',
  api: { n1: 'http://10.0.0.1:8008' },
  auth: { user: 'op', password: 'file:/secret/api' },
} as unknown as Target['controller'];

const commandsOf = (lines: readonly string[]): readonly string[] => lines.filter((line) => !line.startsWith('#'));

/** In angle brackets, in capitals that name nothing but what is to be filled in, or left empty by a value that was not there. */
const PLACEHOLDER = /<[a-z][^>]*>|…|\.\.\.|\b(ID|NAME|HOST|undefined|NaN)\b|\[object/;

test('every fault is here', () => {
  expect(Object.keys(HANDLES).sort()).toEqual(FAULTS.map(({ name }) => name).sort());
});

test.each(Object.keys(HANDLES))('%s: a shell takes every line as it stands', (name) => {
  const { handle, names } = HANDLES[name] ?? { handle: {}, names: [] };
  const target = name === 'automation-paused' ? { ...TARGET, controller: PATRONI } : name.startsWith('container-') ? IN_CONTAINERS : TARGET;
  const lines = findFault(name).manualUndo(handle, target);
  expect(commandsOf(lines)).not.toEqual([]);
  for (const line of commandsOf(lines)) {
    expect({ line, ...parse(line) }).toMatchObject({ line, status: 0, stderr: '' });
    expect(line).not.toContain('\n');
  }
  for (const line of lines) expect(line).not.toMatch(PLACEHOLDER);
  for (const part of names) expect(lines.join('\n')).toContain(part);
});

function parse(line: string): { readonly status: number | null; readonly stderr: string } {
  const { status, stderr } = spawnSync('sh', ['-n', '-c', line], { encoding: 'utf8' });
  return { status, stderr };
}

test.each<[TargetHost, string]>([
  [{ kind: 'local' }, "su -s /bin/sh postgres -c 'echo it'\\''s'"],
  [
    { kind: 'ssh', address: '10.0.0.1', port: 22, user: 'gameday', identityFile: '/k', knownHosts: null },
    `ssh -T -p 22 -i /k -o IdentitiesOnly=yes -l gameday -- 10.0.0.1 'sudo -n -u postgres -- sh -c '\\''echo it'\\''\\'\\'''\\''s'\\'''`,
  ],
  [
    { kind: 'docker', socket: '/run/docker.sock', container: 'n1' },
    "docker --host unix:///run/docker.sock exec -i --user postgres n1 sh -c 'echo it'\\''s'",
  ],
])('what must happen on %j is led there', (runsOn, line) => {
  expect(onHost({ runsOn, osUser: 'postgres' }, "echo it's", 'node')).toBe(line);
});

test('a signal reaches this very process, its children first, and no other that has its number', async () => {
  const place = { runsOn: { kind: 'local' }, osUser: null } as const;
  const another = signalByHand(place, { pid: process.pid, startTicks: '1', bootId: 'b' }, 'KILL');
  expect(spawnSync('sh', ['-c', another]).status).toBe(0);
  expect(signalByHand({ runsOn: { kind: 'docker', socket: '/d', container: 'c' }, osUser: null }, { ...running, pid: 1 }, 'CONT')).toBe(
    'docker --host unix:///d kill --signal CONT c',
  );
});

test('no line holds a password, and one whose secret is not to be had fails instead of asking for it', () => {
  const line = psqlByHand({ ...TARGET, roles: { ...TARGET.roles, probe: { user: 'p', password: 'env:NOT_THERE' } } }, 'n1', 'probe', []);
  expect(line).toMatch(/^PGCONNECT_TIMEOUT=5 PGOPTIONS='-c synchronous_commit=local' PGPASSWORD="\$\{NOT_THERE:\?\}" \/pg\/bin\/psql /);
  const { status, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8', env: {} });
  expect([status === 0, stderr]).toEqual([false, expect.stringContaining('NOT_THERE')]);
});

describe('a node that is started by hand', () => {
  const withController = (controller: object, agent: object | null = null): Target =>
    ({ ...TARGET, controller, nodes: TARGET.nodes.map((node) => ({ ...node, agent })) }) as unknown as Target;

  test('is fenced unless epoch file and node agree', () => {
    const [, line = ''] = howToStart(TARGET, 'n1');
    expect(line).toContain('/state/epoch.json');
    expect(line).toContain('touch /data/n1/standby.signal');
  });

  test('starts by its agent, in a lab otherwise by `lab up` in that very home', () => {
    const target = withController({ kind: 'patroni' }, { find: ['true'], start: ['systemctl', 'start', 'patroni'] });
    expect(howToStart(target, 'n1').at(-1)).toBe('systemctl start patroni');
    const lab = { ...target, kind: 'lab' } as Target;
    expect(howToStart(lab, 'n1').at(-1)).toBe(`systemctl start patroni || ${labUpByHand(lab)}`);
    expect(labUpByHand(lab)).toMatch(/^GAMEDAY_HOME=\/lab \/.*\/infra\/bin\/gameday\.js lab up$/);
  });

  test('starts in recovery by repmgr’s own command, then its daemon', () => {
    const target = withController(
      { kind: 'repmgr', config: { n1: '/r.conf' }, program: null },
      { find: ['true'], start: ['start-repmgrd'] },
    );
    const commands = commandsOf(howToStart(target, 'n1'));
    expect(commands[0]).toContain(
      'touch /data/n1/standby.signal && rm -f /data/n1/postmaster.pid && /pg/bin/repmgr -f /r.conf node service --action=start',
    );
    expect(commands[1]).toBe('start-repmgrd');
  });

  test('and one that does not run is not stopped', () => {
    expect(
      spawnSync('sh', ['-c', howToStop({ ...TARGET, nodes: TARGET.nodes.map((n) => ({ ...n, osUser: null })) }, 'n1', 'fast')]).status,
    ).toBe(0);
  });
});
