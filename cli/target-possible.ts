/**
 * Which disasters can be rehearsed where, today: data first, then how a cell is worked out from it. docs/WHAT-IS-POSSIBLE.md is made of this and nothing
 * else, and `gameday check` shows the column of its target. A disaster that no fault makes is a no, however easy it would be. Pure.
 */
import { bookKeepers, nativeArchiveOf, type Target } from '../model/target';
import { targetSchema } from '../targets/schema';

/**
 * What a way needs. `host`: act on the node's machine as the server's user; `root`: as root there; `agent`: the controller's process beside the server is
 * named; `container`: the node's machine is a container of an engine there; `local`: gameday runs on the nodes' machine; `dcs`: links to the store behind
 * Patroni; `members`, `way in`: members of that store, a router or a pooler are named as `services`; `archive`: one that can be restored from; `own archive`: one
 * in gameday's own layout; `keys`: an encrypted one whose target names copies of its key; `own runbook`: gameday carries it out; `cascade`: a node has another
 * standby as its `upstream`.
 */
export type Need =
  | 'sql'
  | 'superuser'
  | 'host'
  | 'root'
  | 'agent'
  | 'container'
  | 'local'
  | 'links'
  | 'dcs'
  | 'members'
  | 'way in'
  | 'archive'
  | 'own archive'
  | 'keys'
  | 'own runbook'
  | 'cascade';

export interface Way {
  /** Faults that stand in the registry; empty: steps of a scenario alone (`failover`, `restore`). */
  readonly faults: readonly string[];
  readonly needs: readonly Need[];
  /** What is left of the disaster this way; absent: all of it. */
  readonly part?: string;
}

export interface Disaster {
  readonly number: number;
  readonly name: string;
  /** Any of them will do. */
  readonly ways: readonly Way[];
  /** Why there is no way, in a word or two; null where there is one. */
  readonly lacking: string | null;
  /** Somebody else can bring it about on a managed database, and `gameday observe` measures it. */
  readonly byHand?: true;
}

const way = (faults: readonly string[], ...needs: readonly Need[]): Way => ({ faults, needs });
const possible = (number: number, name: string, ...ways: readonly Way[]): Disaster => ({ number, name, ways, lacking: null });
const measured = (disaster: Disaster): Disaster => ({ ...disaster, byHand: true });
const missing = (number: number, name: string, lacking: string): Disaster => ({ number, name, ways: [], lacking });

export const DISASTERS: readonly Disaster[] = [
  possible(1, 'postmaster crash', way(['process-kill'], 'host')),
  possible(2, 'backend crash', way(['process-kill'], 'host')),
  measured(
    possible(3, 'node death', way(['process-kill'], 'host'), way(['host-stop'], 'root'), way(['container-disconnect'], 'container')),
  ),
  possible(4, 'primary hangs, later thaws', way(['process-freeze'], 'host'), way(['container-pause'], 'container')),
  possible(5, 'controller hangs', way(['process-freeze'], 'host', 'agent')),
  possible(6, 'controller dies', way(['process-kill'], 'host', 'agent')),
  measured(possible(7, 'planned switchover', way([], 'sql', 'host'))),
  possible(8, 'switchover under long transaction, during backup, with lagging replica', way(['long-transaction'], 'sql', 'host')),
  possible(9, 'DCS outage', way(['service-kill'], 'members'), way(['link-cut'], 'links', 'dcs')),
  possible(10, 'DCS leader loss', way(['service-kill'], 'members')),
  possible(11, 'primary ↔ DCS cut', way(['link-cut'], 'links', 'dcs')),
  possible(12, 'primary isolated, clients still reach it', way(['link-cut'], 'links', 'dcs')),
  possible(13, 'one-way partition', way(['link-cut'], 'links'), way(['host-net-cut'], 'root')),
  possible(
    14,
    'primary ↔ standby cut',
    way(['link-cut'], 'links'),
    way(['host-net-cut'], 'root'),
    way(['container-disconnect'], 'container'),
  ),
  possible(15, 'slow replication link, jitter', way(['link-latency'], 'links')),
  possible(16, 'narrow replication link', way(['link-bandwidth'], 'links')),
  possible(17, 'flapping link', way(['link-flap'], 'links')),
  possible(18, 'synchronous standby dies', way(['sync-standby-loss'], 'host')),
  possible(19, 'all synchronous standbys die (strict)', way(['sync-standby-loss'], 'host')),
  missing(20, 'cancelled synchronous waits, then primary dies', 'nobody cancels'),
  possible(21, 'primary and only sync standby die', way(['process-kill', 'sync-standby-loss'], 'host')),
  possible(22, 'old primary rejoins with divergence', way(['process-kill'], 'host', 'local')),
  missing(23, 'pg_rewind fails', 'no fault'),
  possible(24, 'replication slot bloat', way(['slot-bloat'], 'sql', 'host')),
  missing(25, 'logical slot across failover', 'no check'),
  possible(26, 'cascading replica loses upstream', way(['process-kill'], 'host', 'cascade')),
  measured(possible(27, 'pooler or router dies', way(['service-kill'], 'way in'))),
  measured(possible(28, 'pooler keeps the old primary', way([], 'sql', 'host'))),
  measured(missing(29, 'stale DNS / VIP', 'no resolver')),
  possible(30, 'connection storm after failover', way(['connection-storm'], 'sql', 'host')),
  possible(31, 'connections exhausted', way(['connections-exhausted'], 'superuser', 'host')),
  possible(32, 'long transaction holds xmin', way(['long-transaction'], 'sql', 'host')),
  possible(33, 'slow or failing fsync', way(['disk-slow'], 'root')),
  possible(34, 'disk full (pg_wal, data)', way(['disk-full'], 'root')),
  possible(35, 'CPU or memory starved', way(['cpu-starved'], 'root'), way(['memory-starved'], 'root')),
  possible(36, 'clock skew', way(['clock-skew'], 'host')),
  missing(37, 'certificate expires', 'no fault'),
  possible(38, 'credentials wrong or rotated', way(['credentials-rotated'], 'superuser', 'host')),
  missing(39, 'XID wraparound near', 'no fault'),
  possible(40, 'split brain attempted', way(['promote-behind-back'], 'sql', 'host')),
  possible(41, 'S3 down, 503, slow, 403', way(['archive-unavailable'], 'links', 'own archive'), {
    ...way(['archive-unavailable'], 'own archive'),
    part: '503 and 403',
  }),
  possible(42, 'WAL segment missing', way(['archive-object-lost'], 'own archive')),
  possible(43, 'WAL segment corrupt', way(['archive-object-corrupt'], 'own archive')),
  possible(44, 'stray or missing history file', { ...way(['archive-object-lost'], 'own archive'), part: 'missing alone' }),
  possible(45, 'dropped table', way(['drop-table'], 'sql', 'archive')),
  possible(46, 'bad migration, mass update', way(['mass-update'], 'sql', 'archive')),
  possible(47, 'corrupted page', way(['page-corrupt'], 'host')),
  possible(48, 'whole region lost', way(['process-kill', 'sync-standby-loss'], 'host', 'archive')),
  missing(49, 'restore on another OS', 'one OS'),
  possible(50, 'target outside retention', way([], 'archive')),
  possible(51, 'encrypted repository, key lost', way([], 'archive', 'keys')),
  possible(52, 'bucket emptied (ransomware)', way(['archive-emptied'], 'own archive')),
  possible(53, 'many restores at once', way([], 'archive')),
  possible(54, 'restore over a bad network', { ...way(['link-latency'], 'links', 'own archive'), part: 'slow alone' }),
  possible(55, 'standby built while the archive lags', way(['archive-unavailable'], 'host', 'own archive', 'own runbook')),
];

export interface Cell {
  readonly possible: boolean;
  /** In a word or two; null: nothing to say. */
  readonly reason: string | null;
}

/** Why something is lacking, shortest first to be said. */
const LACKS: Readonly<Record<Need, string>> = {
  sql: 'no login',
  superuser: 'no superuser',
  host: 'no host',
  root: 'no root',
  agent: 'no agent',
  container: 'no container',
  local: 'salvage is local',
  links: 'no links',
  dcs: 'no links to it',
  members: 'no `services`',
  'way in': 'no `services`',
  archive: 'no archive',
  'own archive': 'foreign archive',
  keys: 'no `keys`',
  'own runbook': 'not standalone',
  cascade: 'no `upstream`',
};

/** The cell of a place that has these things. */
export function cellOf(disaster: Disaster, has: ReadonlySet<Need>, managed = false): Cell {
  if (managed) return { possible: false, reason: disaster.byHand === true ? 'observe it' : (disaster.lacking ?? 'no host') };
  if (disaster.lacking !== null) return { possible: false, reason: disaster.lacking };
  if (has.size === 0) return { possible: false, reason: LACKS.host };
  const lacks = disaster.ways.map(({ needs }) => needs.filter((need) => !has.has(need)));
  const [least] = [...lacks].sort((a, b) => a.length - b.length);
  if (least === undefined || least.length > 0) return { possible: false, reason: LACKS[least?.[0] ?? 'host'] };
  const chosen = disaster.ways[lacks.findIndex((each) => each.length === 0)];
  // Where the first way is closed it matters which one is left.
  return { possible: true, reason: chosen === disaster.ways[0] ? null : (chosen?.part ?? chosen?.faults.join(', ') ?? null) };
}

/** Does the schema of this very gameday take a node that runs there? Then doc and check change with it. */
function isHostKnown(runsOn: object): boolean {
  const node = { name: 'n1', host: '10.0.0.1', dataDir: '/d', binDir: '/b', logFile: '/l', runsOn };
  const role = { user: 'r' };
  return targetSchema.safeParse({
    name: 't',
    kind: 'staging',
    systemIdentifier: '1',
    controller: { kind: 'standalone', stateDir: '/s', syncStandbys: 0 },
    nodes: [node],
    entry: { host: '10.0.0.1', port: 5432 },
    roles: { operate: role, observe: role, probe: role, replicate: role },
    runDir: '/r',
  }).success;
}

const EVERYTHING: readonly Need[] = [
  'sql',
  'superuser',
  'host',
  'root',
  'agent',
  'container',
  'local',
  'links',
  'dcs',
  'members',
  'way in',
  'archive',
  'own archive',
  'own runbook',
  'cascade',
];
const REMOTE: readonly Need[] = ['sql', 'superuser', 'host', 'root', 'agent', 'links', 'dcs', 'members', 'way in', 'cascade'];

export type ColumnName = 'lab' | 'SSH' | 'Docker' | 'without Toxiproxy' | 'managed (RDS, Aurora)';

export function columns(): readonly { readonly name: ColumnName; readonly has: ReadonlySet<Need>; readonly managed: boolean }[] {
  const remote = (runsOn: object): ReadonlySet<Need> => new Set(isHostKnown(runsOn) ? REMOTE : []);
  return [
    { name: 'lab', has: new Set(EVERYTHING), managed: false },
    { name: 'SSH', has: remote({ kind: 'ssh', address: 'x', user: 'u' }), managed: false },
    { name: 'Docker', has: new Set<Need>([...remote({ kind: 'docker', container: 'x' }), 'container']), managed: false },
    { name: 'without Toxiproxy', has: new Set(EVERYTHING.filter((need) => need !== 'links' && need !== 'dcs')), managed: false },
    { name: 'managed (RDS, Aurora)', has: new Set(), managed: true },
  ];
}

/** Addresses of managed databases, and the label by which others say so. */
const MANAGED = /\.(rds\.amazonaws\.com|rds\.amazonaws\.com\.cn|database\.azure\.com)$/;

export interface TargetColumn {
  /** In words, e.g. `SSH, without Toxiproxy`. */
  readonly name: string;
  readonly cells: readonly { readonly number: number; readonly name: string; readonly cell: Cell }[];
}

/** The column of this very target, by what its file names. */
export function columnOf(target: Target): TargetColumn {
  const managed = target.labels['managed'] !== undefined || target.nodes.some(({ host }) => MANAGED.test(host));
  const remote = target.nodes.some(({ runsOn }) => runsOn.kind !== 'local');
  const links = target.links !== null && target.links.list.length > 0;
  const members = bookKeepers(target.controller);
  const has = new Set<Need>(['sql', 'superuser', 'host', 'root']);
  if (target.nodes.every(({ agent }) => agent !== null)) has.add('agent');
  if (target.nodes.every(({ runsOn }) => runsOn.kind === 'docker')) has.add('container');
  if (!remote) has.add('local');
  if (links) has.add('links');
  if (links && target.links?.list.some(({ to }) => members.includes(to)) === true) has.add('dcs');
  const services = new Set((target.services ?? []).map(({ kind }) => kind));
  if (services.has('dcs')) has.add('members');
  if (services.has('router') || services.has('pooler')) has.add('way in');
  // Where a copy landed is told by the order of commits, which is read in archives whose WAL gameday can get at, or on the nodes' machine.
  if (target.archive !== null && (!remote || target.archive.kind !== 'pgbackrest')) has.add('archive');
  if (nativeArchiveOf(target) !== null) has.add('own archive');
  if (target.archive?.kind === 'pgbackrest' && target.archive.keys !== undefined) has.add('keys');
  if (target.controller.kind === 'standalone') has.add('own runbook');
  if (target.nodes.some(({ upstream }) => upstream !== undefined)) has.add('cascade');
  const inContainers = target.nodes.some(({ runsOn }) => runsOn.kind === 'docker');
  const base = managed ? 'managed' : target.kind === 'lab' ? 'lab' : inContainers ? 'Docker' : remote ? 'SSH' : 'this machine';
  return {
    name: `${base}${links || managed ? '' : ', without Toxiproxy'}`,
    cells: DISASTERS.map((disaster) => ({ number: disaster.number, name: disaster.name, cell: cellOf(disaster, has, managed) })),
  };
}

export const cellText = ({ possible: can, reason }: Cell): string => `${can ? 'yes' : 'no'}${reason === null ? '' : `: ${reason}`}`;

const INTRODUCTION = `# What is possible where

Made from \`cli/target-possible.ts\`, and compared with it by a test; \`UPDATE_DOCS=1 npx jest --selectProjects unit --testPathPatterns target-possible\`
writes it anew. \`gameday check --target FILE\` shows the column of a target of yours, and beneath it each fault by itself.

A yes says that gameday has the faults and steps for it, not that a target allows them: policy, allow file and approvals decide that
([SECURITY.md](SECURITY.md)). A no is what this version cannot do, with the reason in a word.

- **lab**: what \`gameday lab up\` starts, standalone, Patroni or pg_auto_failover; disasters 5, 6, 9, 11 and 12 need one of the latter two, 10 needs Patroni, 26
  \`--topology cascade\` or \`patroni-cascade\`, 34 \`--node-disk\`, 55 a standalone one. Its archive is not encrypted: 51 needs a pgBackRest repository with \`archive.keys\`
  ([ARCHIVES.md](ARCHIVES.md)).
- **SSH**: your own cluster, its machines reached by OpenSSH ([HOSTS.md](HOSTS.md)), links through a Toxiproxy of yours, and \`services\` named, where a
  disaster needs them. Where a copy landed is proven from WAL, which is not read over SSH yet: _no archive_, but for one of barman-cloud or WAL-G, whose WAL is
  read in the archive. A cluster on gameday's own machine is the same, can be salvaged, and is restored from its pgBackRest, barman-cloud or WAL-G archive
  ([ARCHIVES.md](ARCHIVES.md)); faults on the archive need gameday's own layout.
- **Docker**: nodes in containers of this machine’s engine ([HOSTS.md](HOSTS.md)); the rest as over SSH.
- **without Toxiproxy**: what is left of the lab's column when no path leads through it.
- **managed**: nobody gets at the machine of a managed database, so nothing is broken there. _observe it_: do it by the provider's own means and let
  \`gameday observe\` measure it ([OBSERVE.md](OBSERVE.md)).
`;

/** The text of docs/WHAT-IS-POSSIBLE.md. */
export function possibleText(): string {
  const all = columns();
  const rows = [
    ['#', 'disaster', 'by', ...all.map(({ name }) => name)],
    ...DISASTERS.map((disaster) => [
      String(disaster.number),
      disaster.name,
      waysText(disaster),
      ...all.map(({ has, managed }) => cellText(cellOf(disaster, has, managed))),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0), 3));
  const line = (row: readonly string[]): string => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  const [header = [], ...body] = rows;
  return `${INTRODUCTION}\n${[line(header), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body.map(line)].join('\n')}\n`;
}

function waysText({ ways, number }: Disaster): string {
  if (ways.length === 0) return '—';
  const texts = ways.map(({ faults }) =>
    faults.length > 0
      ? faults.map((fault) => `\`${fault}\``).join(' + ')
      : [50, 51, 53].includes(number)
        ? 'step `restore`'
        : 'step `failover`',
  );
  return [...new Set(texts)].join(' or ');
}
