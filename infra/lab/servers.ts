/**
 * The lab's supervised processes: what is written for each before it starts, and how it is started.
 * Servers run as the servers' user and listen on loopback addresses only; gameday's own processes run as whoever runs gameday.
 */
import { chownSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot, writeFileDurably } from '../../core/files';
import { homePaths } from '../../core/home';
import { lookUpUser } from '../../core/process';
import { resolveSecret } from '../../core/secrets';
import { gateConfig } from '../../targets/archives/haproxy-gate';
import type { ChildSpec } from '../supervisor/contract';
import type { Tools } from '../tools';
import { CHECK_ROLE, locatePgAutoFailover, monitorServer } from './pg-auto-failover';
import { etcdServers, locateEtcd } from './patroni';
import type { LabFile } from './lab-file';
import { makeServerDir, reachableProgram } from './places';
import { temporalServer } from './temporal';
import {
  gateMap,
  labAddresses,
  labLinks,
  hasAgents,
  isPatroni,
  NODE_NAMES,
  nodeNames,
  PATRONI_PORT,
  POOLER_PORT,
  ROUTER_PORT,
  secretFile,
  TOXIPROXY_PORT,
  type LabPlan,
} from './topology';

const S3_PORT = 7070;

function writeForServer(path: string, text: string, user: string | null): void {
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileDurably(path, text, 0o600);
  if (user !== null) {
    const { uid, gid } = lookUpUser(user);
    chownSync(path, uid, gid);
  }
}

function s3Server(plan: LabPlan, program: string): ChildSpec {
  const dir = join(plan.lab, 's3');
  const [data, versions] = [join(dir, 'data'), join(dir, 'versions')];
  for (const path of [dir, data, versions]) makeServerDir(path, plan.user, 0o700);
  const host = labAddresses(plan.net).s3;
  return {
    name: 's3',
    argv: [program, '--port', `${host}:${S3_PORT}`, '--quiet', '--keep-alive', 'posix', '--versioning-dir', versions, data],
    secretEnv: {
      ROOT_ACCESS_KEY: `file:${secretFile(plan.lab, 's3-access-key')}`,
      ROOT_SECRET_KEY: `file:${secretFile(plan.lab, 's3-secret-key')}`,
    },
    cwd: dir,
    user: plan.user,
    restart: true,
    readyWhen: { kind: 'tcp', host, port: S3_PORT },
  };
}

function toxiproxyServer(plan: LabPlan, program: string): ChildSpec {
  const dir = join(plan.lab, 'toxiproxy');
  makeServerDir(dir, plan.user);
  const host = labAddresses(plan.net).toxiproxy;
  // With its links from the first moment: one that crashed and was started again carries traffic before anybody asks for it.
  const links = labLinks(plan.net, plan.topology).map((link) => ({
    name: link.name,
    listen: `${link.listenHost}:${link.listenPort}`,
    upstream: `${link.upstreamHost}:${link.upstreamPort}`,
    enabled: true,
  }));
  const file = join(dir, 'links.json');
  writeForServer(file, `${JSON.stringify(links, null, 2)}\n`, plan.user);
  return {
    name: 'toxiproxy',
    argv: [program, '-host', host, '-port', String(TOXIPROXY_PORT), '-config', file],
    cwd: dir,
    user: plan.user,
    restart: true,
    readyWhen: { kind: 'tcp', host, port: TOXIPROXY_PORT },
    // Its stop waits for dials without a timeout.
    stopGraceMs: 300,
  };
}

/** Every server starts in maintenance; only the state file, or the controller over the socket, lets clients through. */
function steeredServers({ net, topology }: LabPlan): string {
  const at = labAddresses(net);
  return `    default-server on-marked-down shutdown-sessions
${nodeNames(topology)
  .map((name) => `    server ${name} ${at.node(name)}:5432 disabled`)
  .join('\n')}`;
}

/**
 * Patroni's own check: who answers 200 to /primary holds the key. Sessions to whoever does not are closed. Members that are never promoted are asked like
 * any other: who may lead is Patroni's to say, and no list's.
 */
function checkedServers({ net, topology }: LabPlan): string {
  const at = labAddresses(net);
  return `    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 1s fastinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
${nodeNames(topology)
  .map((name) => `    server ${name} ${at.node(name)}:5432 check port ${PATRONI_PORT}`)
  .join('\n')}`;
}

const hex = (...parts: readonly (string | readonly number[])[]): string =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part)))).toString('hex');
const int32 = (value: number): readonly number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

/** Asks each server itself whether it takes writes: nothing beside it answers for it. PostgreSQL's protocol, version 3: startup, simple query, terminate. */
function askedServers({ net }: LabPlan): string {
  const at = labAddresses(net);
  const login = `user\0${CHECK_ROLE}\0database\0postgres\0\0`;
  const question = 'SHOW transaction_read_only\0';
  return `    option tcp-check
    tcp-check connect
    tcp-check send-binary ${hex(int32(8 + login.length), int32(196_608), login)}
    tcp-check expect binary ${hex('Z', int32(5), 'I')}
    tcp-check send-binary ${hex('Q', int32(4 + question.length), question)}
    tcp-check expect binary ${hex('D', int32(13), [0, 1], int32(3), 'off')}
    tcp-check send-binary ${hex('X', int32(4))}
    default-server inter 1s fastinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
${NODE_NAMES.map((name) => `    server ${name} ${at.node(name)}:5432 check`).join('\n')}`;
}

const SERVERS_OF = {
  standalone: steeredServers,
  cascade: steeredServers,
  patroni: checkedServers,
  'patroni-cascade': checkedServers,
  'pg-auto-failover': askedServers,
} as const;

export function haproxyConfig(plan: LabPlan): string {
  const at = labAddresses(plan.net);
  const dir = join(plan.lab, 'haproxy');
  const isSteered = !hasAgents(plan.topology);
  return `# written by gameday; ${isSteered ? 'the standalone controller steers this router over its runtime socket' : 'health checks steer this router'}
global
    maxconn 1000
    nbthread 1
    stats socket ${join(dir, 'run.sock')} mode 600 level admin
    stats timeout 10s
${isSteered ? `    server-state-file ${join(dir, 'state')}` : ''}

defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout client-fin 5s
    timeout server-fin 5s
    option clitcpka
    option srvtcpka
    option tcp-smart-accept
    retries 0
${isSteered ? '    load-server-state-from-file global' : ''}

frontend clients
    bind ${at.router}:${ROUTER_PORT}
    default_backend postgres

backend postgres
${SERVERS_OF[plan.topology](plan)}

${gateConfig({ bind: `${at.s3Gate}:${S3_PORT}`, server: `${at.s3}:${S3_PORT}`, map: gateMap(plan.lab) })}`;
}

function haproxyServer(plan: LabPlan, program: string): ChildSpec {
  const dir = join(plan.lab, 'haproxy');
  makeServerDir(dir, plan.user);
  const file = join(dir, 'haproxy.cfg');
  writeForServer(file, haproxyConfig(plan), plan.user);
  writeForServer(gateMap(plan.lab), '', plan.user);
  return {
    name: 'haproxy',
    argv: [program, '-db', '-f', file],
    cwd: dir,
    user: plan.user,
    restart: true,
    readyWhen: { kind: 'socket', path: join(dir, 'run.sock') },
    stopGraceMs: 1_000,
  };
}

/**
 * Transaction mode, as most applications have it; its servers are reached through the router, which closes what leads to a fenced primary.
 * A server that refuses is asked again after 1 s (default 15 s, for which every client would be turned away although the new primary stands), one that
 * accepts and then says nothing is given up after 2 s. The rest keeps a connection from being older than anybody would expect.
 */
export function pgbouncerConfig(plan: LabPlan): string {
  const at = labAddresses(plan.net);
  return `; written by gameday; clients in transaction mode, led to the primary by the router
[databases]
gameday = host=${at.router} port=${ROUTER_PORT} dbname=gameday

[pgbouncer]
listen_addr = ${at.pooler}
listen_port = ${POOLER_PORT}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(plan.lab, 'pgbouncer', 'users.txt')}
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
server_login_retry = 1
server_connect_timeout = 2
server_check_delay = 5
server_lifetime = 300
server_idle_timeout = 60
tcp_keepidle = 2
tcp_keepintvl = 1
tcp_keepcnt = 3
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
log_stats = 0
`;
}

/** PgBouncer's own form: two quoted words a line, quotes doubled. Plain, because it must log in onward with the same password. */
export function pgbouncerUsers(users: readonly (readonly [user: string, password: string])[]): string {
  const quote = (word: string): string => `"${word.replaceAll('"', '""')}"`;
  return users.map(([user, password]) => `${quote(user)} ${quote(password)}\n`).join('');
}

function pgbouncerServer(plan: LabPlan, program: string): ChildSpec {
  const dir = join(plan.lab, 'pgbouncer');
  makeServerDir(dir, plan.user, 0o700);
  const user = 'gameday_probe';
  writeForServer(join(dir, 'users.txt'), pgbouncerUsers([[user, resolveSecret(`file:${secretFile(plan.lab, user)}`)]]), plan.user);
  const file = join(dir, 'pgbouncer.ini');
  writeForServer(file, pgbouncerConfig(plan), plan.user);
  return {
    name: 'pgbouncer',
    argv: [program, file],
    cwd: dir,
    user: plan.user,
    restart: true,
    readyWhen: { kind: 'tcp', host: labAddresses(plan.net).pooler, port: POOLER_PORT },
    stopGraceMs: 1_000,
  };
}

/** Writes what they need and returns how Temporal, S3, Toxiproxy, HAProxy and PgBouncer are started. */
export async function prepareServers(plan: LabPlan, tools: Tools): Promise<readonly ChildSpec[]> {
  const program = (path: string): Promise<string> => reachableProgram(path, plan.lab, plan.user);
  return [
    temporalServer(plan, await program(tools.temporal)),
    s3Server(plan, await program(tools.versitygw)),
    toxiproxyServer(plan, await program(tools.toxiproxy)),
    haproxyServer(plan, await program(tools.haproxy)),
    pgbouncerServer(plan, await program(tools.pgbouncer)),
    ...(isPatroni(plan.topology) ? etcdServers(plan, locateEtcd()) : []),
    ...(plan.topology === 'pg-auto-failover' ? [await monitorServer(plan, locatePgAutoFailover(plan.postgresBin))] : []),
  ];
}

function ownProcess(name: string, parts: readonly string[], args: readonly string[], more: Partial<ChildSpec>): ChildSpec {
  return { name, argv: [process.execPath, join(packageRoot(), 'dist', ...parts), ...args], cwd: '/', restart: true, ...more };
}

/** How the worker prints the report, as whoever starts the lab wants it: nothing else of their environment reaches it. */
function forTheReport(): { readonly [name: string]: string } {
  const names = ['GAMEDAY_REPORT_PDF', 'GAMEDAY_CHROMIUM'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
}

/** gameday's own processes. `socket`: where the process answers once it is ready. */
export function ownProcesses(
  home: string,
  temporal: Pick<LabFile, 'temporalAddress' | 'temporalNamespace'>,
  site: string,
): { readonly archiver: ChildSpec; readonly guardian: ChildSpec; readonly worker: ChildSpec } {
  const paths = homePaths(home);
  const env = { GAMEDAY_HOME: home, TEMPORAL_ADDRESS: temporal.temporalAddress, TEMPORAL_NAMESPACE: temporal.temporalNamespace };
  const targetFile = join(paths.targets, 'lab.yaml');
  return {
    archiver: ownProcess('archiver', ['targets', 'archives', 'native-archiver.js'], ['--home', home, '--target', targetFile], {
      env,
      readyWhen: { kind: 'socket', path: join(paths.run, 'archiver.sock') },
      // A segment on its way is stored first.
      stopGraceMs: 20_000,
    }),
    guardian: ownProcess('guardian', ['faults', 'guardian', 'guardian.js'], ['--home', home], {
      env,
      readyWhen: { kind: 'socket', path: join(paths.run, 'guardian.sock') },
      stopGraceMs: 10_000,
    }),
    worker: ownProcess('worker', ['worker', 'main.js'], ['--home', home, '--site', site], {
      env: { ...env, ...forTheReport() },
      stopGraceMs: 8_000,
    }),
  };
}
