/**
 * The Patroni topology of a lab: three members of etcd, and one of Patroni for each node, as supervised processes, with the files they read. Known traps are solved here:
 * etcd only by the v3 API and without discovery past the links, one socket directory a node, Python as the distribution's package has it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Document } from 'yaml';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { packageRoot } from '../../core/files';
import { resolveSecret } from '../../core/secrets';
import type { JsonObject } from '../../model/json';
import type { Target, TargetNode } from '../../model/target';
import { accessRules, identRule, nodeSettings, nodeSocketDir, passFilePath } from '../../targets/controllers/standalone-config';
import type { ChildSpec } from '../supervisor/contract';
import { withHosts, writeOwn } from './agents';
import type { PatroniProgram } from './patroni-program';
import { makeServerDir } from './places';
import { patroniReplication } from './replication';
import {
  agentChild,
  DCS_NAMES,
  DCS_PEER_PORT,
  DCS_PORT,
  etcdChild,
  etcdDir,
  labAddresses,
  nodeNames,
  PATRONI_PORT,
  patroniFile,
  secretFile,
  watchdogChild,
  watchdogPipe,
  type LabPlan,
} from './topology';

const ETCD = '/usr/bin/etcd';
const ETCD_MS = 30_000;
const SHUT_DOWN_MS = 30_000;

/** Absolute path of the program. Throws `tool_missing` with the command that installs it. */
export function locateEtcd(): string {
  if (!existsSync(ETCD))
    throw new GamedayError('tool_missing', `etcd is not at ${ETCD}`, '`apt-get install etcd-server`; set-up does it when it runs as root.');
  return ETCD;
}

/** The members of etcd. They are started together: none is ready before two of them have met. */
export function etcdServers(plan: LabPlan, program: string): readonly ChildSpec[] {
  const at = labAddresses(plan.net);
  const peer = (name: string): string => `http://${at.dcs(name)}:${DCS_PEER_PORT}`;
  return DCS_NAMES.map((name) => {
    const dir = etcdDir(plan.lab, name);
    makeServerDir(join(plan.lab, 'etcd'), plan.user);
    makeServerDir(dir, plan.user, 0o700);
    const client = `http://${at.dcs(name)}:${DCS_PORT}`;
    const flags = {
      '--name': name,
      '--data-dir': dir,
      '--listen-client-urls': client,
      '--advertise-client-urls': client,
      '--listen-peer-urls': peer(name),
      '--initial-advertise-peer-urls': peer(name),
      '--initial-cluster': DCS_NAMES.map((each) => `${each}=${peer(each)}`).join(','),
      '--initial-cluster-token': 'gameday-lab',
      '--initial-cluster-state': 'new',
      '--log-level': 'warn',
    };
    return {
      name: etcdChild(name),
      argv: [program, ...Object.entries(flags).flat()],
      env: { HOME: dir },
      cwd: dir,
      user: plan.user,
      restart: true,
      readyWhen: { kind: 'tcp', host: at.dcs(name), port: DCS_PORT },
      stopGraceMs: 3_000,
    };
  });
}

/** Members that just met have not agreed on their version yet, and Patroni does not start before they have. `leaveAlone`: those that are down on purpose. */
export async function awaitEtcd(plan: LabPlan, leaveAlone: ReadonlySet<string>): Promise<void> {
  const at = labAddresses(plan.net);
  await Promise.all(
    DCS_NAMES.filter((name) => !leaveAlone.has(name)).map((name) =>
      until(
        async () => {
          const answer = await fetch(`http://${at.dcs(name)}:${DCS_PORT}/version`, { signal: AbortSignal.timeout(2_000) });
          const { etcdcluster } = (await answer.json()) as { etcdcluster?: string };
          return /^[0-9]/.test(etcdcluster ?? '') ? true : null;
        },
        {
          timeoutMs: ETCD_MS,
          everyMs: 100,
          onTimeout: (last) =>
            new GamedayError(
              'lab_failed',
              `etcd ${name} has joined no cluster after ${ETCD_MS} ms${last === null ? '' : `: ${messageOf(last)}`}`,
            ),
        },
      ),
    ),
  );
}

/** Faster than Patroni's defaults (30/10/10), within its rule loop_wait + 2 × retry_timeout ≤ ttl. */
const TIMERS = { ttl: 20, loop_wait: 5, retry_timeout: 5 } as const;

/**
 * Who streams from a standby is never promoted, and never waited for: Patroni (3.0.2, postgresql/sync.py) would make it synchronous where it streams from the
 * primary for want of its upstream, and then nobody could take over. It serves reads as any other.
 */
export function memberTags({ upstream }: TargetNode): JsonObject {
  const isLast = upstream !== undefined;
  return { nofailover: isLast, noloadbalance: false, clonefrom: false, nosync: isLast, ...(isLast ? { replicatefrom: upstream } : {}) };
}

/** The configuration of one member. Names of the others are looked up in a hosts file of its own, which leads through the links. */
export function patroniConfig(plan: LabPlan, target: Target, node: TargetNode): string {
  const secret = (name: string): string => resolveSecret(`file:${secretFile(plan.lab, name)}`);
  const { replicate } = target.roles;
  const { parameters, cluster } = nodeSettings(target, node);
  const config = {
    scope: target.controller.kind === 'patroni' ? target.controller.scope : 'gameday-lab',
    namespace: '/gameday/',
    name: node.name,
    log: { level: 'INFO', format: '%(asctime)s %(levelname)s: %(message)s' },
    restapi: {
      listen: `${node.host}:${PATRONI_PORT}`,
      connect_address: `${node.host}:${PATRONI_PORT}`,
      authentication: { username: 'gameday', password: secret('patroni-api') },
    },
    // use_proxies: Patroni would ask etcd for its members and talk to them past the links.
    etcd3: {
      hosts: (target.links?.list ?? [])
        .filter((link) => link.from === node.name && (DCS_NAMES as readonly string[]).includes(link.to))
        .map((link) => `${link.listenHost}:${link.listenPort}`),
      use_proxies: true,
    },
    bootstrap: {
      dcs: {
        ...TIMERS,
        ...patroniReplication(plan),
        postgresql: { use_pg_rewind: true, use_slots: true, parameters: cluster },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C.UTF-8' }, 'data-checksums', { 'auth-local': 'peer' }, { 'auth-host': 'scram-sha-256' }],
    },
    postgresql: {
      listen: `${node.host}:${node.port}`,
      connect_address: `${node.name}:${node.port}`,
      data_dir: node.dataDir,
      bin_dir: node.binDir,
      pgpass: passFilePath(node),
      // A copy that waits for a spread checkpoint takes minutes.
      basebackup: [{ checkpoint: 'fast' }],
      authentication: {
        superuser: { username: 'postgres', password: secret('postgres') },
        replication: { username: replicate.user, password: replicate.password === null ? '' : resolveSecret(replicate.password) },
        rewind: { username: 'gameday_rewind', password: secret('gameday_rewind') },
      },
      parameters: { ...parameters, unix_socket_directories: nodeSocketDir(node) },
      pg_hba: [
        ...accessRules(target).split('\n').filter(Boolean),
        'host all postgres,gameday_rewind 127.0.0.0/8 scram-sha-256',
        'host replication postgres 127.0.0.0/8 scram-sha-256',
      ],
      pg_ident: [identRule(node)],
    },
    // Patroni's own harness speaks to a pipe what it would say to a device. Without a watchdog it would go on all the same: not here.
    ...(plan.watchdog ? { watchdog: { mode: 'required', driver: 'testing', device: watchdogPipe(plan.lab, node.name) } } : {}),
    tags: memberTags(node),
  };
  return `# written by gameday; changed by its next \`lab up\`\n${new Document(config).toString({ lineWidth: 140 })}`;
}

/** One a node, where the lab has them; they must be there before Patroni looks for its own. */
export function watchdogServers(plan: LabPlan, { nodes }: Target): readonly ChildSpec[] {
  if (!plan.watchdog) return [];
  makeServerDir(join(plan.lab, 'patroni'), plan.user, 0o700);
  return nodes.map((node) => ({
    name: watchdogChild(node.name),
    argv: [
      process.execPath,
      join(packageRoot(), 'dist', 'infra', 'lab', 'watchdog.js'),
      ...['--pipe', watchdogPipe(plan.lab, node.name)],
      ...(plan.user === null ? [] : ['--owner', plan.user]),
      ...['--node', JSON.stringify(node)],
    ],
    cwd: '/',
    restart: true,
  }));
}

function hostsFile(plan: LabPlan, name: string): string {
  const at = labAddresses(plan.net);
  const lines = nodeNames(plan.topology).map((other) => `${other === name ? at.node(name) : at.pair(name, other)} ${other}`);
  return ['127.0.0.1 localhost', ...lines, ''].join('\n');
}

/** The members of Patroni, each in a mount namespace with a hosts file of its own. Not started again by themselves: as a packaged unit behaves. */
export function patroniServers(plan: LabPlan, target: Target, patroni: PatroniProgram): readonly ChildSpec[] {
  const dir = join(plan.lab, 'patroni');
  makeServerDir(dir, plan.user, 0o700);
  return target.nodes.map((node) => {
    const [file, hosts] = [patroniFile(plan.lab, node.name), join(dir, `${node.name}.hosts`)];
    writeOwn(file, patroniConfig(plan, target, node), plan.user, 0o600);
    writeOwn(hosts, hostsFile(plan, node.name), plan.user, 0o644);
    makeServerDir(nodeSocketDir(node), plan.user);
    const command = [...patroni.argv, file];
    return {
      name: agentChild('patroni', node.name),
      argv: withHosts(hosts, plan.user, command),
      // libpq of the server and of Patroni must not be led elsewhere by anybody's settings.
      env: { HOME: dir, LC_ALL: 'C.UTF-8', PYTHONUNBUFFERED: '1' },
      cwd: '/',
      user: null,
      restart: false,
      readyWhen: { kind: 'tcp', host: node.host, port: PATRONI_PORT },
      readyTimeoutMs: 30_000,
      stopGraceMs: SHUT_DOWN_MS,
    };
  });
}
