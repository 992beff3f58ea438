/**
 * What lab topologies have in common whose nodes come up by an agent beside each server (Patroni, pg_auto_failover): supervised agents with names of their
 * own for the other nodes, started together and stopped with the primary last.
 */
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { writeFileDurably } from '../../core/files';
import { lookUpUser } from '../../core/process';
import type { Target, TargetNode } from '../../model/target';
import { setUpDatabase } from '../../targets/controllers/standalone-cluster';
import { readControlData } from '../../targets/controllers/standalone-server';
import type { LiveTarget } from '../../targets/ports';
import type { SupervisorClient } from '../supervisor/client';
import type { ChildSpec } from '../supervisor/contract';

const LEADER_MS = 90_000;
const STANDBYS_MS = 120_000;

export const isAgent = (child: string): boolean => /^(patroni|pgaf)-n[0-9]+$/.test(child);
const nodeOf = (child: string): string => child.replace(/^[a-z]+-/, '');

export function writeOwn(path: string, text: string, user: string | null, mode: number): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileDurably(path, text, mode);
  chmodSync(path, mode);
  if (user === null) return;
  const { uid, gid } = lookUpUser(user);
  chownSync(path, uid, gid);
}

/** As root the caller becomes the servers' user after the mount; as anybody else a user namespace of its own allows the mount. */
const AS_ROOT =
  'mount --bind "$1" /etc/hosts && user=$2 && shift 2 && exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@"';
const AS_USER = 'mount --bind "$1" /etc/hosts && shift 2 && exec "$@"';

/** The command in a mount namespace of its own, where `hosts` lies over /etc/hosts. To be started by whoever runs gameday; `user`: who it becomes. */
export function withHosts(hosts: string, user: string | null, command: readonly string[]): readonly string[] {
  const namespace = user === null ? ['--user', '--map-current-user', '--keep-caps', '--mount'] : ['--mount'];
  return [
    'unshare',
    ...namespace,
    '--propagation',
    'private',
    'sh',
    '-c',
    user === null ? AS_USER : AS_ROOT,
    'agent',
    hosts,
    user ?? '-',
    ...command,
  ];
}

/**
 * Starts the members that do not run, but those that are down on purpose, and waits until one leads and the others stream. `first` is waited for before the
 * others start: of a new cluster the one that they copy, instead of racing for the key; of one that comes back its leader, where the controller would
 * replace a leader that is merely later than its standbys.
 */
export async function startMembers(
  supervisor: SupervisorClient,
  specs: readonly ChildSpec[],
  live: LiveTarget,
  { isNew, first, leaveAlone }: { readonly isNew: boolean; readonly first: string | null; readonly leaveAlone: ReadonlySet<string> },
): Promise<void> {
  const mine = specs.filter((spec) => !leaveAlone.has(nodeOf(spec.name)));
  const start = async (which: readonly ChildSpec[]): Promise<void> => {
    const started = await Promise.allSettled(which.map((spec) => supervisor.start(spec)));
    const failed = started.find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    await awaitPrimary(live);
  };
  const ahead = mine.filter((spec) => nodeOf(spec.name) === first);
  if (ahead.length > 0) {
    const led = start(ahead);
    // A leader that cannot come back is replaced by the others; a new cluster has no others.
    await (isNew ? led : led.catch(() => undefined));
  }
  await start(mine);
}

/** The node that may write by the controller's book, and does. */
export async function awaitPrimary(live: LiveTarget): Promise<string> {
  return until(
    async () => {
      for (const { name } of live.target.nodes) {
        const control = await readControlData(live.host(name), requireIn(live.target, name)).catch(() => null);
        if (control?.state === 'in production' && (await live.controller.mayWrite(name))) return name;
      }
      return null;
    },
    {
      timeoutMs: LEADER_MS,
      everyMs: 250,
      onTimeout: (last) =>
        new GamedayError(
          'lab_failed',
          `the cluster has no primary after ${LEADER_MS} ms${last === null ? '' : `: ${messageOf(last)}`}`,
          'the logs of its agents are patroni-n1.log, pgaf-n1.log and their like; `gameday lab status` names the directory.',
        ),
    },
  );
}

function requireIn(target: Target, name: string): TargetNode {
  const node = target.nodes.find((each) => each.name === name);
  if (node === undefined) throw new GamedayError('internal', `no node ${name}`);
  return node;
}

/** Roles, database and schema on the primary, then waits until every other node streams. Returns PostgreSQL's system identifier. Idempotent. */
export async function furnishCluster(live: LiveTarget): Promise<string> {
  const primary = requireIn(live.target, await awaitPrimary(live));
  await setUpDatabase(live, primary);
  await awaitStandbys(live, live.target.nodes.length - 1);
  return (await readControlData(live.host(primary.name), primary)).systemIdentifier;
}

export async function awaitStandbys(live: LiveTarget, count: number): Promise<void> {
  await until(
    async () => {
      const { primary, replication } = await live.controller.topology();
      return primary !== null && Object.keys(replication).length >= count ? true : null;
    },
    {
      timeoutMs: STANDBYS_MS,
      everyMs: 500,
      onTimeout: (last) =>
        new GamedayError(
          'lab_failed',
          `not all of ${count} standbys stream after ${STANDBYS_MS} ms${last === null ? '' : `: ${messageOf(last)}`}`,
        ),
    },
  );
}

/** Stops the agents, those of standbys first: a primary that stops before them would only be replaced. Works on what the supervisor still knows. */
export async function stopMembers(supervisor: SupervisorClient, leader: string | null): Promise<void> {
  const running = (await supervisor.status()).children.filter(({ name, running: runs }) => runs && isAgent(name)).map(({ name }) => name);
  const isLast = (name: string): boolean => nodeOf(name) === leader;
  await Promise.all(running.filter((name) => !isLast(name)).map((name) => supervisor.stop(name)));
  await Promise.all(running.filter(isLast).map((name) => supervisor.stop(name)));
}
