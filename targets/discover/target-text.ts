/**
 * From what was found to a target file that people like to read: what each part is for, safe defaults, secrets by name. What is not known stands there as
 * a line that begins with `#?`, with how to find it out; nothing is made up. Pure.
 */
import type { TargetKind } from '../../model/target';
import type { Found, FoundNode, Guess } from './found';

/** Begins a line that waits for somebody: take it away and fill in what stands in <…>. */
export const OPEN_MARK = '#?';

export interface TextOptions {
  /** Name of the target; null: as found, else made of its system identifier. */
  readonly name: string | null;
  readonly kind: TargetKind;
  /** Absolute path of GAMEDAY_HOME. */
  readonly home: string;
  /** What the reader will type after `--target`. */
  readonly file: string;
}

export interface OpenPlace {
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

/** What stands for a value in such a line, and was left there when the mark was taken away. */
const PLACEHOLDER = /^[^#]*:.*<\/?[a-z][^<>]*>/;

/** Lines of a target file that still wait for somebody. */
export function openPlaces(text: string): readonly OpenPlace[] {
  const waits = (line: string): boolean => line.startsWith(OPEN_MARK) || (!line.startsWith('#') && PLACEHOLDER.test(line));
  return text.split('\n').flatMap((line, at) => (waits(line.trim()) ? [{ line: at + 1, text: line.trim() }] : []));
}

const WIDTH = 118;

/** YAML plain where that is unmistakable, else in double quotes. */
export function scalar(value: string | number): string {
  if (typeof value === 'number') return String(value);
  if (/^[0-9]{1,3}(\.[0-9]{1,3}){3}$/.test(value)) return value;
  const plain =
    /^[A-Za-z/][A-Za-z0-9_./@:-]*$/.test(value) && !value.endsWith(':') && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(value);
  return plain ? value : JSON.stringify(value);
}

const list = (words: readonly string[]): string =>
  `[${words.map((word) => (/^[A-Za-z0-9_./@:-]+$/.test(word) ? word : JSON.stringify(word))).join(', ')}]`;

/** Comment lines of at most 118 columns. */
function comment(text: string, indent = ''): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + 2 + line.length + 1 + word.length > WIDTH) {
      lines.push(`${indent}# ${line}`);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, `${indent}# ${line}`];
}

const open = (indent: string, key: string, wanted: string, how: string): string => `${indent}${OPEN_MARK} ${key}: ${wanted}   # ${how}`;

export function targetName(found: Found, given: string | null): string {
  if (given !== null) return given;
  return found.suggestedName ?? `pg-${(found.systemIdentifier ?? '').slice(-6) || 'target'}`;
}

/** The whole file. */
export function targetText(found: Found, options: TextOptions): string {
  const body = [
    ...identity(found, options),
    ...controllerPart(found, options),
    ...nodesPart(found),
    ...entryPart(found),
    ...linksPart(found),
    ...rolesPart(found),
    ...archivePart(found),
    ...policyPart(options),
    ...restPart(options),
  ];
  const missing = openPlaces(body.join('\n')).length;
  return `${[...head(found, options, missing), ...body].join('\n')}\n`;
}

function head(found: Found, { file }: TextOptions, missing: number): string[] {
  return [
    ...comment(
      `A target of gameday: one PostgreSQL system, and what may be done to it. Found out by \`gameday target discover\` from ${found.source}; nothing was changed there.`,
    ),
    '#',
    ...(missing === 0
      ? ['# Everything that must be known is here.']
      : comment(
          `${missing} ${missing === 1 ? 'line begins' : 'lines begin'} with \`${OPEN_MARK}\`: what could not be found out. Take the \`${OPEN_MARK}\` away, fill in what stands in <…>, or leave it and see what \`check\` says.`,
        )),
    '#',
    `#   gameday target prepare --target ${file} --print-sql   # what gameday needs in there; remove takes it away again`,
    `#   gameday check --target ${file}                        # what a drill here has and lacks; touches nothing`,
    '#',
    '# No secret stands in this file, ever. Each is named: env:NAME is an environment variable, file:/path a file of mode 0600.',
    ...found.notes.flatMap((note) => ['#', ...comment(note)]),
    '',
  ];
}

function identity(found: Found, options: TextOptions): string[] {
  return [
    `name: ${scalar(targetName(found, options.name))}`,
    ...comment('staging or production. Faults and failovers on production need two other people’s signed approvals (docs/SECURITY.md).'),
    `kind: ${options.kind}`,
    ...comment('PostgreSQL’s own name of the system, in quotes. gameday refuses to touch servers that give another one.'),
    found.systemIdentifier === null
      ? open('', 'systemIdentifier', '"<decimal number>"', 'SELECT system_identifier FROM pg_control_system()')
      : `systemIdentifier: ${JSON.stringify(found.systemIdentifier)}`,
    '',
  ];
}

function controllerPart({ controller, nodes }: Found, { home, name }: TextOptions): string[] {
  const sync = (value: number | null): string =>
    value === null
      ? open('  ', 'syncStandbys', '<number>', 'standbys that must confirm a commit: SHOW synchronous_standby_names')
      : `  syncStandbys: ${value} # standbys that must confirm a commit; 0: replication is asynchronous`;
  switch (controller.kind) {
    case 'standalone':
      return [
        ...comment(
          'What does failover. As written, nobody: what heals by itself can be broken and measured, and `gameday observe` measures what you do by hand. With a runbook of your own gameday fails over and starts nodes too (docs/CONTROLLERS.md); put it in place of what stands below, and an `agent` to each node:',
        ),
        '#   controller:',
        '#     kind: command',
        "#     failover: [/opt/shop/failover, --to, '{candidate}', --from, '{primary}']",
        "#     rejoin: [/opt/shop/rejoin, '{node}', '{primary}']",
        '#     expectedMs: 45s',
        'controller:',
        '  kind: standalone',
        `  stateDir: ${scalar(`${home}/state/${name ?? 'target'}`)} # where gameday writes down who may write`,
        sync(controller.syncStandbys),
        '',
      ];
    case 'patroni':
      return [
        ...comment(
          `What does failover: Patroni${controller.version === null ? '' : ` ${controller.version}`}. gameday asks it over its REST API and leaves failing over to it.`,
        ),
        'controller:',
        '  kind: patroni',
        controller.scope === null ? open('  ', 'scope', '<name>', '`scope:` of patroni.yml') : `  scope: ${scalar(controller.scope)}`,
        sync(controller.syncStandbys),
        '  api: # of each node, by its name in Patroni',
        ...nodes.map((node) =>
          node.api === null
            ? open('    ', node.name, '<http://address:8008>', 'restapi.connect_address of its patroni.yml')
            : `    ${node.name}: ${scalar(node.api)}`,
        ),
        ...comment('Switchovers are ordered with this login, if the API asks for one (restapi.authentication of patroni.yml):', '  '),
        '  # auth: { user: patroni, password: env:GAMEDAY_PATRONI_PASSWORD }',
        ...comment('Members of the store behind it, for faults on it (`services`) and on the nodes’ way there (`links`):', '  '),
        '  # dcs:',
        '  #   - { name: etcd1, host: 10.0.0.21, port: 2379 }',
        '',
      ];
    case 'repmgr':
      return [
        ...comment(
          'What does failover: repmgr. Where repmgrd runs gameday waits for it and measures; where none does, gameday has repmgr promote (docs/CONTROLLERS.md).',
        ),
        'controller:',
        '  kind: repmgr',
        sync(controller.syncStandbys),
        '  config: # repmgr.conf on each node’s own machine',
        ...Object.entries(controller.config).map(([node, file]) =>
          file === null
            ? open('    ', node, '/etc/repmgr.conf', 'the file that its repmgrd was started with')
            : `    ${node}: ${scalar(file)}`,
        ),
        ...comment('Database and user of the conninfo in repmgr.conf, a superuser as repmgr wants it:', '  '),
        `  metadata: { database: ${scalar(controller.database)}, user: repmgr } # password: env:GAMEDAY_REPMGR_PASSWORD, if pg_hba.conf asks for one`,
        '',
      ];
    case 'pg-auto-failover':
      return [
        ...comment(
          'What does failover: pg_auto_failover. gameday orders it by its monitor, waits for it, and starts nodes by their pg_autoctl.',
        ),
        'controller:',
        '  kind: pg-auto-failover',
        sync(controller.syncStandbys),
        `  formation: ${scalar(controller.formation)}`,
        '  monitor:',
        `    host: ${scalar(controller.monitor.host)}`,
        `    port: ${controller.monitor.port}`,
        `    database: ${scalar(controller.monitor.database)}`,
        `    user: ${scalar(controller.monitor.user)}`,
        '    # password: env:GAMEDAY_MONITOR_PASSWORD   # if pg_hba.conf of the monitor asks for one',
        '',
      ];
  }
}

function nodesPart(found: Found): string[] {
  return [
    ...comment(
      'The servers. host and port are where gameday reaches each one directly, past every router; the paths are on the node’s own machine.',
    ),
    'nodes:',
    ...found.nodes.flatMap((node) => nodeLines(node, found.controller.kind)),
    '',
  ];
}

function nodeLines(node: FoundNode, controller: Found['controller']['kind']): string[] {
  const at = '    ';
  const path = (key: string, value: Guess | null, how: string): string =>
    value === null
      ? open(at, key, '</absolute/path>', how)
      : `${at}${key}: ${scalar(value.value)}${value.guessedFrom === null ? '' : ` # a guess: ${value.guessedFrom}`}`;
  return [
    `  - name: ${scalar(node.name)}${node.role === 'unknown' ? '' : ` # ${node.role} when this was written`}`,
    ...(node.problem === null ? [] : comment(`It could not be asked: ${node.problem.replace(/\s+/g, ' ').slice(0, 300)}`, at)),
    node.host === null
      ? open(at, 'host', node.hostGuess?.value ?? '<address>', node.hostGuess?.guessedFrom ?? 'where its PostgreSQL listens')
      : `${at}host: ${scalar(node.host)}`,
    node.port === null ? open(at, 'port', '<number>', 'SHOW port') : `${at}port: ${node.port}`,
    ...(node.upstream === null ? [] : [`${at}upstream: ${scalar(node.upstream)} # whom it streams from by its tag replicatefrom`]),
    path('dataDir', node.dataDir === null ? null : { value: node.dataDir, guessedFrom: null }, 'SHOW data_directory, as a superuser'),
    path('binDir', node.binDir, '`pg_config --bindir` on its machine'),
    path(
      'logFile',
      node.logFile,
      'file that receives the server’s log; SELECT pg_current_logfile(), or `ls -l /proc/PID/fd/2` of the postmaster',
    ),
    node.osUser === null
      ? open(at, 'osUser', 'postgres', 'if that is who owns the data directory there: `ls -ld`')
      : `${at}osUser: ${scalar(node.osUser)}`,
    ...(node.local
      ? [`${at}runsOn: { kind: local } # a process of this machine`]
      : [
          open(
            at,
            'runsOn',
            `{ kind: ssh, address: ${node.host ?? '<address>'}, user: <login> }`,
            'a machine that OpenSSH reaches (docs/HOSTS.md); left out: this one. A managed database has none',
          ),
        ]),
    ...agentLines(controller, at),
  ];
}

/** Without it faults would leave the agent alone, which then repairs what they broke. */
function agentLines(controller: Found['controller']['kind'], at: string): string[] {
  const lines = (unit: string, what: string, log = ''): string[] => [
    ...comment(`How its ${what} is found and started; this is right for a systemd unit \`${unit}\`:`, at),
    `${at}${OPEN_MARK} agent: { find: ${list(['systemctl', 'show', '--property', 'MainPID', '--value', unit])}, start: ${list(['systemctl', 'start', unit])}${log} }`,
  ];
  switch (controller) {
    case 'standalone':
      return [];
    case 'patroni':
      return [
        ...comment('Where Patroni writes a log of its own (`log.dir`), say `logFile: …/patroni.log` in the place of `journal`.', at),
        ...lines('patroni', 'Patroni', ', journal: patroni'),
      ];
    case 'pg-auto-failover':
      return lines('pgautofailover', 'pg_autoctl');
    case 'repmgr':
      return lines('repmgrd', 'repmgrd');
  }
}

function entryPart({ entry, nodes }: Found): string[] {
  const direct = nodes.flatMap(({ host, port }) => (host === null || port === null ? [] : [`{ host: ${scalar(host)}, port: ${port} }`]));
  return [
    ...comment(
      'How your clients come in: router, pooler, virtual address or name. What they see there is what a drill measures. The database is gameday’s own (`gameday target prepare` makes it); yours are never written to.',
    ),
    'entry:',
    entry === null
      ? open('  ', 'host', '<address>', 'HAProxy, pgbouncer, VIP or DNS name that your applications connect to')
      : `  host: ${scalar(entry.host)}`,
    entry === null ? open('  ', 'port', '<number>', 'its port') : `  port: ${entry.port}`,
    '  database: gameday',
    ...(direct.length > 1 && direct.length === nodes.length
      ? [
          ...comment('Further ways in, measured beside it where a scenario asks for them (`probe: { paths: [direct] }`):'),
          'paths:',
          '  - name: direct # clients that know all nodes and look for the one that takes writes',
          '    kind: direct',
          `    hosts: [${direct.join(', ')}]`,
        ]
      : []),
    '',
    ...comment(
      'What leads clients to the primary. HAProxy’s runtime socket lets gameday see (and, under standalone, steer) whom it leads to:',
    ),
    '#   router: { kind: haproxy, socket: /run/haproxy/admin.sock, backend: primary }   # servers named as the nodes are',
    'router: { kind: none }',
    ...comment(
      'Router, pooler and members of the DCS that may be killed are named under `services`, with how each is found, kept down and started (docs/HOSTS.md).',
    ),
    '',
  ];
}

function linksPart({ nodes }: Found): string[] {
  const standby = nodes.find(({ role }) => role === 'standby');
  const primary = nodes.find(({ role }) => role === 'primary');
  return [
    ...comment(
      'Network paths that lead through Toxiproxy. Without them everything but the link faults works. Each must be a path that somebody really uses, e.g. a standby’s primary_conninfo that names listenHost and listenPort:',
    ),
    '# links:',
    '#   api: http://127.0.0.1:8474',
    '#   restart: [systemctl, restart, toxiproxy]',
    '#   list:',
    `#     - { name: standby-primary, from: ${standby?.name ?? 'n2'}, to: ${primary?.name ?? 'n1'}, listenHost: 127.0.0.1, listenPort: 6001, upstreamHost: ${primary?.host ?? '10.0.0.11'}, upstreamPort: ${primary?.port ?? 5432} }`,
    'links: null',
    '',
  ];
}

function rolesPart({ replicateUser, controller }: Found): string[] {
  const plain = replicateUser !== null && /^[a-z_][a-z0-9_]{0,62}$/.test(replicateUser) ? replicateUser : null;
  return [
    ...comment(
      'Roles by purpose. `gameday target prepare` makes those that do not exist, with as few rights as they need; your own are left as they are.',
    ),
    'roles:',
    '  operate: { user: gameday_operate, password: env:GAMEDAY_OPERATE_PASSWORD } # checkpoints, ends sessions, promotes; some faults want a superuser here',
    '  observe: { user: gameday_observe, password: env:GAMEDAY_OBSERVE_PASSWORD } # pg_monitor: looks, never writes',
    '  probe: { user: gameday_probe, password: env:GAMEDAY_PROBE_PASSWORD } # the client whose writes are counted; its own schema, nothing else',
    plain === null
      ? '  replicate: { user: gameday_replicate, password: env:GAMEDAY_REPLICATE_PASSWORD } # REPLICATION'
      : `  replicate: { user: ${plain}, password: env:GAMEDAY_REPLICATE_PASSWORD } # the role by which your standbys stream now`,
    ...(controller.kind === 'standalone' || plain === null
      ? []
      : comment(`${plain} is your cluster’s own; gameday needs its password for the fault credentials-rotated alone.`, '  ')),
    '',
  ];
}

/** What stands in a target file for an archive of that tool; gameday's own format where it is another's. */
function archiveLines(archive: Found['archive']): string[] {
  if (archive === 'pgbackrest')
    return ['archive:', '  kind: pgbackrest', '  stanza: <stanza>', '  config: /etc/pgbackrest/pgbackrest.conf'];
  if (archive === 'barman-cloud')
    return [
      'archive:',
      '  kind: barman-cloud',
      '  source: s3://<bucket>/<path>',
      '  server: <server>',
      '  credentials: /etc/barman/aws-credentials',
      '  profile: default',
    ];
  if (archive === 'wal-g') return ['archive:', '  kind: wal-g', '  config: </etc/wal-g.yaml>'];
  return [
    'archive:',
    '  kind: native',
    '  endpoint: https://s3.example.com',
    '  bucket: <bucket>',
    '  prefix: <path/in/it>',
    '  accessKey: env:GAMEDAY_S3_ACCESS_KEY',
    '  secretKey: env:GAMEDAY_S3_SECRET_KEY',
    '  spoolDir: /var/spool/gameday',
  ];
}

function archivePart({ archive }: Found): string[] {
  const says = ((): string => {
    switch (archive) {
      case null:
        return 'Whether WAL is archived could not be found out.';
      case 'none':
        return 'No WAL is archived (archive_mode off, or no command).';
      case 'native':
        return 'WAL is archived by gameday’s own archiver: fill in the store it writes to.';
      case 'another':
        return 'WAL is archived by a command that gameday does not know.';
      case 'pgbackrest':
        return 'WAL is archived by pgbackrest: to restore from it, name stanza and configuration as they are where restores run, instead of null.';
      case 'barman-cloud':
        return 'WAL is archived by barman-cloud: to restore from it, fill in what its commands are given, instead of null.';
      case 'wal-g':
        return 'WAL is archived by WAL-G: to restore from it, name its configuration (archive_command has it behind --config; `.env` takes variables as they are), instead of null.';
      case 'barman':
        return `WAL is archived by ${archive}, which gameday cannot restore from yet.`;
    }
  })();
  return [
    ...comment(
      `Base backups and WAL, for restores and faults of the archive. ${says} Without it restores and archive faults are refused and everything else works.`,
    ),
    ...archiveLines(archive).map((line) => (archive === 'native' ? `${OPEN_MARK} ${line}` : `#   ${line}`)),
    ...(archive === 'native' ? [] : ['archive: null']),
    ...comment('Where restores may land: an empty directory on this machine, deleted afterwards.'),
    '#   sandbox: { dir: /var/lib/gameday/sandbox, binDir: /usr/lib/postgresql/15/bin }',
    '',
  ];
}

function policyPart({ kind }: TextOptions): string[] {
  return [
    ...comment(
      'What may be done here. As written nothing may: name faults one by one, after `gameday check` said which are possible. The guardian’s machine has a list of its own besides (docs/SECURITY.md).',
    ),
    'policy:',
    '  allowFaults: [] # e.g. [process-kill, { fault: process-freeze, maxMs: 2m, maxNodes: 1 }]',
    '  maxFaultMs: 5m # no fault stands longer',
    '  maxDrillMs: 1h',
    '  maxNodesAtOnce: 1 # nodes and services that faults may hurt at once',
    '  allowQuorumLoss: false # no majority of the nodes, or no synchronous standby, may be taken away',
    '  acceptDataLoss: false # faults that may lose acknowledged writes are refused',
    kind === 'production'
      ? `  ${OPEN_MARK} approvers: </etc/gameday/allowed_signers>   # who may approve drills; production needs two of them (docs/SECURITY.md)`
      : '  # approvers: /etc/gameday/allowed_signers   # who may approve drills; production needs two of them',
    '',
  ];
}

function restPart({ home }: TextOptions): string[] {
  return [
    ...comment('Directory of the guardian’s socket on this machine.'),
    `runDir: ${scalar(`${home}/run`)}`,
    ...comment('Shown in reports, e.g. { service: shop, owner: team-db }.'),
    'labels: {}',
  ];
}
