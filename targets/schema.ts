/**
 * The target file's schema: YAML as people write it in, `Target` of the model out. Unknown keys are errors and the policy's defaults are the safe ones.
 * It only judges text and numbers; it must never read a secret, touch a file or ask a server.
 */
import { z } from 'zod';
import { parseDurationMs, parseSizeBytes } from '../core/units';
import type { Json } from '../model/json';
import { bookKeepers, type Target } from '../model/target';
import { DEFAULT_FAULT_MAX_MS, DEFAULT_MAX_NODES_AT_ONCE, WRONG_KEY } from '../model/constants';

const quantity = (parse: (text: string) => number | null, example: string): z.ZodType<number, string | number> =>
  z.union([z.string(), z.number().int().nonnegative()]).transform((value, context) => {
    const parsed = typeof value === 'number' ? value : parse(value);
    if (parsed !== null && Number.isSafeInteger(Math.round(parsed))) return Math.round(parsed);
    context.addIssue({ code: 'custom', message: `"${value}" is not a quantity such as ${example}` });
    return z.NEVER;
  });
const duration = quantity(parseDurationMs, '`30s`, `5m` or `1h`');
const size = quantity(parseSizeBytes, '`64kB`, `16MB` or `1GB`');

const name = z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, 'names start with a lower-case letter and hold at most 40 of a-z, 0-9 and -');
const path = z.string().regex(/^\/[^\0]*[^\0/]$/, 'must be an absolute path without a trailing slash');
const host = z.string().min(1).max(253);
const port = z.int().min(1).max(65_535);
const secret = z
  .string()
  .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+)$/, 'name the secret as `env:NAME` or `file:/path`; its value never stands here');
const json: z.ZodType<Json> = z.json();

const command = z.array(z.string().min(1)).min(1, 'write the command as a list of words');

const hostSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('local') }),
  z.strictObject({
    kind: z.literal('ssh'),
    address: host,
    port: port.default(22),
    user: z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'is not a user’s name'),
    identityFile: path.nullable().default(null),
    knownHosts: path.nullable().default(null),
  }),
  z.strictObject({
    kind: z.literal('docker'),
    socket: path.default('/var/run/docker.sock'),
    container: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'is not a container’s name'),
  }),
]);

const agentSchema = z
  .strictObject({
    find: command,
    start: command,
    logFile: path.optional(),
    journal: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,255}$/, 'is not the name of a systemd unit')
      .optional(),
  })
  .refine(({ logFile, journal }) => logFile === undefined || journal === undefined, {
    path: ['journal'],
    error: 'the agent’s log is a file (`logFile`) or a unit’s journal (`journal`), not both',
  });

const nodeSchema = z.strictObject({
  name,
  host,
  port: port.default(5432),
  dataDir: path,
  binDir: path,
  osUser: z.string().min(1).nullable().default(null),
  runsOn: hostSchema.default({ kind: 'local' }),
  agent: agentSchema.nullable().default(null),
  logFile: path,
  site: z.string().min(1).max(63).optional(),
  upstream: name.optional(),
});

const serviceSchema = z.strictObject({
  name,
  kind: z.enum(['dcs', 'monitor', 'router', 'pooler']),
  host,
  port,
  runsOn: hostSchema.default({ kind: 'local' }),
  osUser: z.string().min(1).nullable().default(null),
  find: command,
  start: command,
  leaveDown: command.nullable().default(null),
});

const linkSchema = z.strictObject({
  name,
  from: name,
  to: name,
  listenHost: host,
  listenPort: port,
  upstreamHost: host,
  upstreamPort: port,
  speaks: z.enum(['postgresql', 'http']).default('postgresql'),
});

const linksSchema = z.strictObject({
  api: z.url({ protocol: /^https?$/, error: 'must be the base URL of Toxiproxy’s API, e.g. http://127.0.1.30:8474' }),
  restart: z.array(z.string().min(1)).min(1, 'name the command that restarts Toxiproxy, as a list of words'),
  list: z.array(linkSchema),
});

const routerSchema = z.strictObject({
  kind: z.enum(['haproxy', 'none']),
  socket: z.string().default(''),
  backend: z.string().default(''),
  stateFile: z.string().default(''),
});

const nativeArchiveSchema = z.strictObject({
  kind: z.literal('native'),
  endpoint: z.url({ protocol: /^https?$/, error: 'must be the S3 endpoint’s URL' }),
  region: z.string().min(1).default('us-east-1'),
  bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'is not the name of an S3 bucket'),
  prefix: z.string().regex(/^[^/].*[^/]$|^[^/]$/, 'must not be empty, nor start or end with a slash'),
  accessKey: secret,
  secretKey: secret,
  restoreKeys: z.strictObject({ accessKey: secret, secretKey: secret }).optional(),
  spoolDir: path,
  gate: z.strictObject({ socket: path, map: path }).optional(),
});

/** By the extension WAL-G knows the format; with another one it reads nothing and says that no storage is configured. */
const walGConfig = path
  .regex(
    /\.(json|ya?ml|toml|env|dotenv|properties)$/,
    'must end in .json, .yaml, .env or another extension by which WAL-G knows the format',
  )
  .regex(/^[^#]*$/, 'must not hold a #');

const archiveSchema = z.discriminatedUnion('kind', [
  nativeArchiveSchema,
  z.strictObject({
    kind: z.literal('pgbackrest'),
    stanza: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'is not the name of a stanza'),
    config: path.default('/etc/pgbackrest/pgbackrest.conf'),
    nodeConfig: path.nullable().default(null),
    program: path.default('/usr/bin/pgbackrest'),
    keys: z
      .record(
        name.refine((word) => word !== WRONG_KEY, { error: `"${WRONG_KEY}" is what a restore calls a key that opens nothing` }),
        secret,
      )
      .optional(),
  }),
  z.strictObject({
    kind: z.literal('barman-cloud'),
    source: z
      .string()
      .regex(
        /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[^/]+)*$/,
        'must be the URL that barman-cloud is given, e.g. s3://bucket/path, without a slash at its end',
      ),
    server: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'is not the name of a server in Barman'),
    endpoint: z
      .url({ protocol: /^https?$/, error: 'must be the S3 endpoint’s URL' })
      .nullable()
      .default(null),
    region: z.string().min(1).default('us-east-1'),
    credentials: path.regex(/^[^#]*$/, 'must not hold a #'),
    profile: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'is not the name of a profile')
      .default('default'),
    awsConfig: path.nullable().default(null),
    nodeCredentials: path.nullable().default(null),
    compression: z.enum(['gzip', 'bzip2', 'snappy', 'none']).default('gzip'),
    programs: path.default('/usr/bin'),
  }),
  z.strictObject({
    kind: z.literal('wal-g'),
    config: walGConfig,
    nodeConfig: walGConfig.nullable().default(null),
    program: path.default('/usr/local/bin/wal-g'),
  }),
]);

const roleSchema = z.strictObject({
  user: z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/, 'is not a plain role name'),
  password: secret.nullable().default(null),
});

const permitSchema = z.strictObject({
  fault: z.string().min(1),
  maxMs: duration.nullable().default(null),
  maxNodes: z.int().min(0).max(16).nullable().default(null),
});

/** Nothing may be broken, and nothing lost, unless the file says so. */
const policySchema = z.strictObject({
  allowFaults: z.array(z.union([z.string().min(1), permitSchema])).default([]),
  maxNodesAtOnce: z.int().min(0).max(16).default(DEFAULT_MAX_NODES_AT_ONCE),
  allowQuorumLoss: z.boolean().default(false),
  approvers: path.nullable().default(null),
  acceptDataLoss: z.boolean().default(false),
  maxFaultMs: duration.default(DEFAULT_FAULT_MAX_MS),
  maxDrillMs: duration.default(4 * 3_600_000),
  maxArchiveAgeMs: duration.default(5 * 60_000),
  minFreeDiskBytes: size.default(1024 ** 3),
  maxRestoreBytes: size.nullable().optional(),
});

const systemIdentifier = z.union([z.string(), z.number()]).transform((value, context) => {
  if (typeof value === 'string' && /^[0-9]{1,20}$/.test(value)) return value;
  const message =
    typeof value === 'number'
      ? 'write the system identifier in quotes: as a number its last digits are lost'
      : `"${value}" is not a system identifier (pg_controldata prints it)`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const syncStandbys = z.int().min(0).max(16);

const controllerSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('standalone'), stateDir: path, syncStandbys, syncOrder: z.enum(['any', 'first']).optional() }),
  z.strictObject({
    kind: z.literal('patroni'),
    scope: z.string().min(1),
    syncStandbys,
    api: z.record(name, z.url({ protocol: /^https?$/, error: 'must be the base URL of the node’s Patroni, e.g. http://10.0.0.11:8008' })),
    auth: roleSchema.nullable().default(null),
    dcs: z.array(z.strictObject({ name, host, port })).default([]),
  }),
  z.strictObject({
    kind: z.literal('pg-auto-failover'),
    syncStandbys,
    formation: z.string().min(1).max(63).default('default'),
    monitor: z.strictObject({
      host,
      port: port.default(5432),
      database: z.string().min(1).default('pg_auto_failover'),
      user: z.string().min(1).default('autoctl_node'),
      password: secret.nullable().default(null),
    }),
  }),
  z.strictObject({
    kind: z.literal('command'),
    syncStandbys,
    status: command.nullable().default(null),
    failover: command,
    rejoin: command.nullable().default(null),
    expectedMs: duration.nullable().default(null),
  }),
  z.strictObject({
    kind: z.literal('repmgr'),
    syncStandbys,
    config: z.record(name, path),
    program: path.nullable().default(null),
    metadata: z
      .strictObject({
        database: z.string().min(1).default('repmgr'),
        user: z.string().min(1).default('repmgr'),
        password: secret.nullable().default(null),
      })
      .prefault({}),
  }),
]);

const shape = z.strictObject({
  name,
  kind: z.enum(['lab', 'staging', 'production']),
  systemIdentifier,
  site: name.default('local'),
  controller: controllerSchema,
  nodes: z.array(nodeSchema).min(1).max(16),
  links: linksSchema.nullable().default(null),
  router: routerSchema.default({ kind: 'none', socket: '', backend: '', stateFile: '' }),
  entry: z.strictObject({ host, port, database: z.string().min(1).default('gameday') }),
  paths: z
    .array(
      z.strictObject({
        name: name.refine((value) => value !== 'entry', 'the name "entry" is taken by the main entry'),
        kind: z.enum(['router', 'pooler', 'direct']),
        hosts: z.array(z.strictObject({ host, port })).min(1).max(16),
        database: z.string().min(1).default('gameday'),
      }),
    )
    .max(8)
    .default([]),
  services: z.array(serviceSchema).max(16).optional(),
  archive: archiveSchema.nullable().default(null),
  roles: z.strictObject({ operate: roleSchema, observe: roleSchema, probe: roleSchema, replicate: roleSchema }),
  sandbox: z
    .strictObject({
      dir: path,
      osUser: z.string().min(1).nullable().default(null),
      binDir: path,
      hosts: z.array(z.string().min(1)).max(64).optional(),
      memoryBytes: size.optional(),
    })
    .nullable()
    .default(null),
  policy: policySchema.prefault({}),
  quarantine: z.strictObject({ certificate: path }).optional(),
  runDir: path,
  labels: z.record(z.string(), json).default({}),
  incidents: z
    .array(
      z.strictObject({
        name: z.string().trim().min(1, 'must not be empty').max(80),
        on: z.iso.date({ error: 'must be a day like 2026-08-14, in quotes' }),
        faults: z.array(z.string().min(1)).min(1, 'must name at least one kind of fault: what comes closest to what broke').max(20),
      }),
    )
    .max(100)
    .optional(),
});

type Problem = { readonly at: (string | number)[]; readonly message: string };

function repeated(values: readonly string[], at: (index: number) => (string | number)[], what: string): Problem[] {
  return values.flatMap((value, index) =>
    values.indexOf(value) === index ? [] : [{ at: at(index), message: `${what} "${value}" is used twice` }],
  );
}

/** Two nodes may lie at the same path, but not on the same machine. */
function findSharedDirectories({ nodes }: z.infer<typeof shape>): Problem[] {
  const places = nodes.map(({ runsOn, dataDir }) => `${machineOf(runsOn)} ${dataDir}`);
  return nodes.flatMap(({ dataDir }, index) =>
    places.indexOf(places[index] ?? '') === index
      ? []
      : [{ at: ['nodes', index, 'dataDir'], message: `data directory "${dataDir}" is used twice` }],
  );
}

function machineOf(runsOn: z.infer<typeof shape>['nodes'][number]['runsOn']): string {
  switch (runsOn.kind) {
    case 'local':
      return 'local';
    case 'ssh':
      return `ssh ${runsOn.address}:${runsOn.port}`;
    case 'docker':
      return `docker ${runsOn.socket} ${runsOn.container}`;
  }
}

/**
 * A standby that streams from a standby ends at one that streams from the primary. Our own runbook points nodes where this file says; Patroni by tags of its
 * own, which the file repeats.
 */
function findUpstreamProblems({ nodes, controller }: z.infer<typeof shape>): Problem[] {
  const upstreamOf = (of: string): string | undefined => nodes.find((node) => node.name === of)?.upstream;
  const isCircle = (start: string): boolean => {
    let at = upstreamOf(start);
    for (let steps = 0; at !== undefined && steps < nodes.length; steps += 1) at = upstreamOf(at);
    return at !== undefined;
  };
  return nodes.flatMap(({ name: own, upstream }, index) => {
    if (upstream === undefined) return [];
    const problem = (message: string): Problem[] => [{ at: ['nodes', index, 'upstream'], message }];
    if (controller.kind !== 'standalone' && controller.kind !== 'patroni')
      return problem(`who streams from whom is up to ${controller.kind}, not to this file`);
    if (!nodes.some((node) => node.name === upstream)) return problem(`there is no node "${upstream}"`);
    return isCircle(own) ? problem(`"${own}" would stream from itself in the end`) : [];
  });
}

function findLinkProblems(target: z.infer<typeof shape>): Problem[] {
  const list = target.links?.list ?? [];
  const members = bookKeepers(target.controller);
  const ends = new Set([...target.nodes.map((node) => node.name), ...members, 'client', 'router', 's3']);
  const unknown = (end: 'from' | 'to'): Problem[] =>
    list.flatMap((link, index) =>
      ends.has(link[end])
        ? []
        : [
            {
              at: ['links', 'list', index, end],
              message: `"${link[end]}" is neither a node${members.length === 0 ? '' : ', nor a member of the DCS'} nor one of client, router, s3`,
            },
          ],
    );
  return [
    ...repeated(
      list.map((link) => link.name),
      (index) => ['links', 'list', index, 'name'],
      'link name',
    ),
    ...repeated(
      list.map((link) => `${link.listenHost}:${link.listenPort}`),
      (index) => ['links', 'list', index, 'listenPort'],
      'listen address',
    ),
    ...unknown('from'),
    ...unknown('to'),
  ];
}

/** Faults, limits and links speak of members of the store and of nodes by name: a name means one thing. */
function findServiceProblems({ services = [], nodes, controller }: z.infer<typeof shape>): Problem[] {
  const members = bookKeepers(controller);
  const taken = nodes.map((node) => node.name);
  const wrong = ({ name: own, kind }: (typeof services)[number]): string | null => {
    if (taken.includes(own)) return `"${own}" is a node’s name`;
    const isKeeper = members.includes(own);
    if (kind === 'dcs' || kind === 'monitor')
      return isKeeper && (kind === 'monitor') === (controller.kind === 'pg-auto-failover')
        ? null
        : `"${own}" is no ${kind === 'dcs' ? 'member in `controller.dcs`' : 'monitor: only pg_auto_failover has one, called `monitor`'}`;
    return isKeeper ? `"${own}" is a member of the store, not a ${kind}` : null;
  };
  return [
    ...repeated(
      services.map((service) => service.name),
      (index) => ['services', index, 'name'],
      'service name',
    ),
    ...services.flatMap((service, index) => {
      const message = wrong(service);
      return message === null ? [] : [{ at: ['services', index, 'name'], message }];
    }),
  ];
}

/** Each node once, and nobody else. */
function findNodeProblems(target: z.infer<typeof shape>, key: string, named: Readonly<Record<string, string>>): Problem[] {
  const nodes = target.nodes.map((node) => node.name);
  return [
    ...nodes.filter((each) => !(each in named)).map((each) => ({ at: ['controller', key], message: `node "${each}" is missing here` })),
    ...Object.keys(named)
      .filter((each) => !nodes.includes(each))
      .map((each) => ({ at: ['controller', key, each], message: `there is no node "${each}"` })),
  ];
}

/** Names that a command asks for in vain. */
function findCommandProblems({ controller }: z.infer<typeof shape>): Problem[] {
  if (controller.kind !== 'command') return [];
  const unknown = { status: ['node', 'candidate', 'primary'], failover: ['node'], rejoin: ['candidate'] } as const;
  return (['status', 'failover', 'rejoin'] as const).flatMap((key) =>
    unknown[key]
      .filter((word) => controller[key]?.some((each) => each.includes(`{${word}}`)) === true)
      .map((word) => ({ at: ['controller', key], message: `{${word}} is not known here` })),
  );
}

/** What one field cannot tell by itself. */
function findProblems(target: z.infer<typeof shape>): Problem[] {
  const problems = [
    ...repeated(
      target.nodes.map((node) => node.name),
      (index) => ['nodes', index, 'name'],
      'node name',
    ),
    ...repeated(
      target.nodes.map((node) => `${node.host}:${node.port}`),
      (index) => ['nodes', index, 'host'],
      'address',
    ),
    ...findSharedDirectories(target),
    ...findLinkProblems(target),
    ...findUpstreamProblems(target),
    ...findServiceProblems(target),
    ...repeated(
      (target.incidents ?? []).map((incident) => incident.name),
      (index) => ['incidents', index, 'name'],
      'incident name',
    ),
    ...repeated(
      target.policy.allowFaults.map((permit) => (typeof permit === 'string' ? permit : permit.fault)),
      (index) => ['policy', 'allowFaults', index],
      'fault',
    ),
  ];
  if (target.controller.syncStandbys >= target.nodes.length) {
    problems.push({
      at: ['controller', 'syncStandbys'],
      message: `${target.controller.syncStandbys} synchronous standbys need more than ${target.nodes.length} nodes: every commit would wait for ever`,
    });
  }
  if (target.controller.kind === 'patroni') problems.push(...findNodeProblems(target, 'api', target.controller.api));
  if (target.controller.kind === 'repmgr') problems.push(...findNodeProblems(target, 'config', target.controller.config));
  problems.push(...findCommandProblems(target));
  if (target.router.kind === 'haproxy') {
    // Under a controller of its own HAProxy is steered by health checks: gameday reads there, and writes no state.
    const needed =
      target.controller.kind === 'standalone' ? (['socket', 'backend', 'stateFile'] as const) : (['socket', 'backend'] as const);
    for (const key of needed) {
      if (target.router[key] === '') problems.push({ at: ['router', key], message: `a haproxy router needs \`${key}\`` });
    }
  }
  return problems;
}

/** Durations may be written as `30s`, sizes as `16MB`; numbers are milliseconds and bytes, so that a parsed target parses again. */
export const targetSchema = shape.superRefine((target, context) => {
  for (const problem of findProblems(target)) context.addIssue({ code: 'custom', path: problem.at, message: problem.message });
});

type DeepReadonly<T> = Json extends T
  ? T
  : T extends readonly (infer Item)[]
    ? readonly DeepReadonly<Item>[]
    : T extends object
      ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
      : T;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
/** Fails to compile when schema and model part ways. */
const SAME_AS_MODEL: Same<DeepReadonly<z.infer<typeof shape>>, Target> = true;
void SAME_AS_MODEL;
