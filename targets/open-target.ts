/**
 * From a target's plain data to its live adapters. Opening is cheap and touches nothing; every adapter is made when first asked for.
 * The only place that knows which file implements which kind.
 */
import { unreachable } from '../core/assert';
import { GamedayError } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import type { Target, TargetNode, TargetService } from '../model/target';
import { openBarmanCloudArchive } from './archives/barman-cloud';
import { openNativeArchive } from './archives/native';
import { openPgbackrestArchive } from './archives/pgbackrest';
import { openWalGArchive } from './archives/wal-g';
import { openCommandController } from './controllers/command';
import { openPatroniController } from './controllers/patroni';
import { openPgAutoFailoverController } from './controllers/pg-auto-failover';
import { openRepmgrController } from './controllers/repmgr';
import { openStandaloneController } from './controllers/standalone';
import { openDockerHost } from './hosts/docker';
import { openLocalHost } from './hosts/local';
import { openSshHost } from './hosts/ssh';
import { openToxiproxyLinks } from './links/toxiproxy';
import type { Archive, Controller, Host, Links, LiveTarget, Router } from './ports';
import { openHaproxyRouter, openNoRouter } from './routers/haproxy';
import { withSql } from './sql';

/** What a restore from the target's archive would move, and why it would be refused: for whoever has the live target and nothing else of this room. */
export { costOfRestore, refuseCost } from './archives/restore-cost';

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}

function findNode(target: Target, name: string): TargetNode {
  const node = target.nodes.find((candidate) => candidate.name === name);
  if (node === undefined)
    throw new GamedayError(
      'setting_invalid',
      `target ${target.name} has no node "${name}"`,
      `its nodes are ${target.nodes.map((n) => n.name).join(', ')}.`,
    );
  return node;
}

function openHost(node: TargetNode, runDir: string): Host {
  const { runsOn } = node;
  switch (runsOn.kind) {
    case 'local':
      return openLocalHost(node);
    case 'ssh':
      return openSshHost(node, runsOn, runDir);
    case 'docker':
      return openDockerHost(node, runsOn);
    default:
      return unreachable(runsOn, 'kind of host');
  }
}

function findService(target: Target, name: string): TargetService {
  const service = target.services?.find((candidate) => candidate.name === name);
  if (service === undefined)
    throw new GamedayError(
      'setting_invalid',
      `target ${target.name} has no service "${name}"`,
      'name it under `services` in the target file.',
    );
  return service;
}

/** Hosts act for a node; to them a service is the agent of one that has neither data nor log. */
function asNode({ name, host, port, runsOn, osUser, find, start }: TargetService): TargetNode {
  return {
    name,
    host,
    port,
    runsOn,
    osUser,
    agent: { find, start },
    dataDir: '/nonexistent',
    binDir: '/nonexistent',
    logFile: '/nonexistent/log',
  };
}

function openRouter(target: Target): Router {
  switch (target.router.kind) {
    case 'haproxy':
      return openHaproxyRouter(target.router, target.controller.kind !== 'standalone');
    case 'none':
      return openNoRouter();
    default:
      return unreachable(target.router.kind, 'kind of router');
  }
}

function openController(live: LiveTarget): Controller {
  const { controller } = live.target;
  switch (controller.kind) {
    case 'standalone':
      return openStandaloneController(live);
    case 'patroni':
      return openPatroniController(live, controller);
    case 'pg-auto-failover':
      return openPgAutoFailoverController(live, controller);
    case 'command':
      return openCommandController(live, controller);
    case 'repmgr':
      return openRepmgrController(live, controller);
    default:
      return unreachable(controller, 'kind of controller');
  }
}

function openArchive(live: LiveTarget): Archive | null {
  const { target } = live;
  const { archive } = target;
  switch (archive?.kind) {
    case undefined:
      return null;
    case 'native':
      return openNativeArchive(target);
    case 'pgbackrest':
      return openPgbackrestArchive(target, archive, (node) => live.host(node));
    case 'barman-cloud':
      return openBarmanCloudArchive(target, archive, (node) => live.host(node));
    case 'wal-g':
      return openWalGArchive(target, archive, (node) => live.host(node));
  }
}

/** The live target. No I/O happens before a method of one of its adapters is called. */
export function openTarget(target: Target): LiveTarget {
  const hosts = new Map<string, Host>();
  const controller = once((): Controller => openController(live));
  const router = once((): Router => openRouter(target));
  const links = once((): Links | null => (target.links === null ? null : openToxiproxyLinks(target.links)));
  const archive = once((): Archive | null => openArchive(live));
  const live: LiveTarget = {
    target,
    get controller() {
      return controller();
    },
    get router() {
      return router();
    },
    get links() {
      return links();
    },
    get archive() {
      return archive();
    },
    host(name) {
      const node = findNode(target, name);
      const host = hosts.get(name) ?? openHost(node, target.runDir);
      hosts.set(name, host);
      return host;
    },
    service: (name) => openHost(asNode(findService(target, name)), target.runDir),
    sql(name, purpose, work) {
      const node = findNode(target, name);
      const role = target.roles[purpose];
      const password = role.password === null ? null : resolveSecret(role.password);
      return withSql({ host: node.host, port: node.port, user: role.user, password, database: target.entry.database }, work, {
        applicationName: `gameday ${purpose}`,
      });
    },
  };
  return live;
}
