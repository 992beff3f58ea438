/**
 * The configuration of a standalone node as files: settings, access rules, and in a file of its own what changes with its role.
 * fsync and full_page_writes stay on, and no password is ever written here: the WAL receiver reads its password from a file of mode 0600.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { present } from '../../core/assert';
import { GamedayError } from '../../core/errors';
import { resolveSecret } from '../../core/secrets';
import { nativeArchiveOf, type Target, type TargetNode } from '../../model/target';
import { archiveCommand } from '../archives/native-push';
import type { Host } from '../ports';

/** Longest path that fits into sockaddr_un with its closing zero byte (Linux: 108 bytes). */
const SOCKET_PATH_LIMIT = 107;
const ROLE_FILE = 'gameday-role.conf';

/** `follow`: stream from the upstream, whatever its timeline. `alone`: stay in recovery on the own timeline, receive from nobody. */
export type NodeRole = { readonly kind: 'primary' } | { readonly kind: 'follow'; readonly upstream: string } | { readonly kind: 'alone' };

export function requireNode(target: Target, name: string): TargetNode {
  const node = target.nodes.find((each) => each.name === name);
  if (node === undefined) throw new GamedayError('setting_invalid', `target ${target.name} has no node "${name}"`);
  return node;
}

/** Whom `name` follows while `primary` leads: the upstream that the target names for it, where `isUsable` says that it is a standby that runs. */
export function upstreamOf(target: Target, name: string, primary: string, isUsable: (node: string) => boolean): string {
  const { upstream } = requireNode(target, name);
  return name !== primary && upstream !== undefined && upstream !== primary && isUsable(upstream) ? upstream : primary;
}

/** Upstreams between a node and the primary, as the target names them: who starts and is cloned after whom. */
export function depthOf(target: Target, name: string): number {
  const { upstream } = requireNode(target, name);
  return upstream === undefined ? 0 : 1 + depthOf(target, upstream);
}

/** Nodes that stream straight from `primary`, and so can confirm its commits. */
export function confirmersOf(target: Target, primary: string): readonly string[] {
  return target.nodes.filter(({ name, upstream = primary }) => name !== primary && upstream === primary).map(({ name }) => name);
}

/** Directory of the node's unix socket: beside its data directory, or under /tmp where that path would be too long for a socket. */
export function nodeSocketDir(node: TargetNode): string {
  const beside = `${node.dataDir}.run`;
  if (Buffer.byteLength(`${beside}/.s.PGSQL.${node.port}.lock`) <= SOCKET_PATH_LIMIT) return beside;
  return `/tmp/gameday-${createHash('sha256').update(node.dataDir).digest('hex').slice(0, 12)}`;
}

export const passFilePath = (node: TargetNode): string => `${node.dataDir}.pgpass`;

const quote = (value: string): string => `'${value.replaceAll("'", "''")}'`;

/** `ANY n (others)` or `FIRST n (others)`, or nothing for asynchronous replication. */
export function synchronousStandbyNames(target: Target, node: TargetNode): string {
  const others = confirmersOf(target, node.name).map((name) => `"${name}"`);
  const { controller } = target;
  const word = controller.kind === 'standalone' && controller.syncOrder === 'first' ? 'FIRST' : 'ANY';
  return controller.syncStandbys === 0 ? '' : `${word} ${controller.syncStandbys} (${others.join(', ')})`;
}

/** How `node` reaches `upstream` for replication: through its link where one is declared. libpq's keyword form, without a password. */
export function upstreamConninfo(target: Target, node: TargetNode, upstream: string): string {
  const link = target.links?.list.find((each) => each.from === node.name && each.to === upstream);
  const direct = requireNode(target, upstream);
  const words = {
    host: link?.listenHost ?? direct.host,
    port: String(link?.listenPort ?? direct.port),
    user: target.roles.replicate.user,
    application_name: node.name,
    passfile: passFilePath(node),
    connect_timeout: '2',
    keepalives_idle: '2',
    keepalives_interval: '1',
    keepalives_count: '3',
  };
  return Object.entries(words)
    .map(([key, value]) => `${key}='${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`)
    .join(' ');
}

function settings(target: Target, node: TargetNode): Readonly<Record<string, string>> {
  const archiving =
    nativeArchiveOf(target) === null
      ? { archive_mode: 'off' }
      : { archive_mode: 'on', archive_command: archiveCommand(target, node.name), archive_timeout: '10s' };
  return {
    listen_addresses: node.host,
    port: String(node.port),
    unix_socket_directories: nodeSocketDir(node),
    cluster_name: node.name,
    max_connections: '100',
    shared_buffers: '64MB',
    wal_level: 'replica',
    hot_standby: 'on',
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    synchronous_standby_names: synchronousStandbyNames(target, node),
    max_wal_senders: '10',
    max_replication_slots: '10',
    wal_keep_size: '512MB',
    wal_retrieve_retry_interval: '500ms',
    wal_receiver_timeout: '5s',
    wal_receiver_status_interval: '1s',
    wal_sender_timeout: '5s',
    password_encryption: 'scram-sha-256',
    log_destination: 'stderr',
    logging_collector: 'off',
    log_line_prefix: '%m [%p] ',
    log_timezone: 'UTC',
    timezone: 'UTC',
    lc_messages: 'C',
    ...archiving,
  };
}

/** What must be equal on every member, and what Patroni sets itself. */
const CLUSTER_WIDE = ['max_connections', 'wal_level', 'max_wal_senders', 'max_replication_slots', 'hot_standby'];
const NOT_OURS = ['listen_addresses', 'port', 'unix_socket_directories', 'cluster_name', 'synchronous_standby_names'];

/** The same settings for a node whose configuration Patroni writes: `cluster` belongs into the store, `parameters` into the member's own file. */
export function nodeSettings(
  target: Target,
  node: TargetNode,
): { readonly parameters: Readonly<Record<string, string>>; readonly cluster: Readonly<Record<string, string>> } {
  const own = Object.entries(settings(target, node)).filter(([name]) => !NOT_OURS.includes(name));
  return {
    parameters: Object.fromEntries(own.filter(([name]) => !CLUSTER_WIDE.includes(name))),
    cluster: { ...Object.fromEntries(own.filter(([name]) => CLUSTER_WIDE.includes(name))), wal_log_hints: 'on' },
  };
}

/** Peers by the node's user on the socket, scram for the target's roles on loopback, nothing else. */
export function accessRules(target: Target): string {
  const { operate, observe, probe, replicate } = target.roles;
  const people = [...new Set([operate.user, observe.user, probe.user])].join(',');
  return [
    'local all postgres peer map=gameday',
    `local all ${people} scram-sha-256`,
    `host all ${people} 127.0.0.0/8 scram-sha-256`,
    `host replication ${replicate.user} 127.0.0.0/8 scram-sha-256`,
    '',
  ].join('\n');
}

/** The node's operating system user is `postgres` on its socket. */
export function identRule(node: TargetNode): string {
  return `gameday ${userName(node)} postgres`;
}

function userName(node: TargetNode): string {
  return node.osUser ?? process.env['USER'] ?? present(process.env['LOGNAME'], 'the name of the user who runs gameday');
}

/** Writes all static configuration into `dataDir` (which may be a directory still to be renamed), the password file, and the socket's directory. */
export async function writeConfig(host: Host, target: Target, node: TargetNode, dataDir: string): Promise<void> {
  const lines = Object.entries(settings(target, node)).map(([key, value]) => `${key} = ${quote(value)}`);
  await host.writeFile(
    join(dataDir, 'postgresql.conf'),
    `# written by gameday; changed by its next rebuild\n${lines.join('\n')}\ninclude_if_exists = '${ROLE_FILE}'\n`,
  );
  await host.writeFile(join(dataDir, 'pg_hba.conf'), accessRules(target));
  await host.writeFile(join(dataDir, 'pg_ident.conf'), `${identRule(node)}\n`);
  const { user, password } = target.roles.replicate;
  const secret = password === null ? '' : resolveSecret(password).replace(/[\\:]/g, '\\$&');
  await host.writeFile(passFilePath(node), `*:*:*:${user}:${secret}\n`);
  await ensureDirectory(host, nodeSocketDir(node));
  await ensureDirectory(host, dirname(node.logFile));
}

async function ensureDirectory(host: Host, path: string): Promise<void> {
  // Written and removed again: the host creates missing directories as the node's user.
  if (await host.exists(path)) return;
  await host.writeFile(join(path, '.gameday'), '');
  await host.remove(join(path, '.gameday'));
}

export function roleSettings(target: Target, node: TargetNode, role: NodeRole): string {
  switch (role.kind) {
    case 'primary':
      return '# primary: receives from nobody\n';
    case 'alone':
      // Timeline "current": a diverged node that finds its successor's history file would refuse to start at all.
      return "# fenced: in recovery, receives from nobody\nrecovery_target_timeline = 'current'\n";
    case 'follow':
      return `primary_conninfo = ${quote(upstreamConninfo(target, node, role.upstream))}\nrecovery_target_timeline = 'latest'\n`;
  }
}

/** Writes the role's file; true if it changed. Takes effect at start, or at reload as far as PostgreSQL allows (`primary_conninfo`). */
export async function writeRole(host: Host, target: Target, node: TargetNode, role: NodeRole, dataDir = node.dataDir): Promise<boolean> {
  const path = join(dataDir, ROLE_FILE);
  const text = roleSettings(target, node, role);
  if ((await host.readFile(path)) === text) return false;
  await host.writeFile(path, text);
  return true;
}
