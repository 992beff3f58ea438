/**
 * The lab in containers: brought up and taken down through docker-compose.yml, with gameday's own processes on this machine as in every lab.
 * Everything made on the engine carries the lab's label, and goes by it.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { sha256Hex } from '../../core/files';
import type { Target } from '../../model/target';
import { openLabelled, type Labelled, type LabelledContainer } from '../../targets/hosts/docker-labelled';
import { MARKS } from '../../targets/hosts/docker-marks';
import { openTarget } from '../../targets/open-target';
import { ensureSupervisor } from '../supervisor/client';
import { confirmStays } from './confirm-stays';
import { compose } from './docker-compose';
import {
  checkDockerNet,
  containerOf,
  DEFAULT_DOCKER_NET,
  DEFAULT_SOCKET,
  dockerTarget,
  dockerTemporal,
  LAB_LABEL,
  type DockerPlan,
} from './docker-topology';
import { heldDown } from './held-down';
import { writeAllowFile, writeLabFile, writeTarget, type LabFile } from './lab-file';
import { awaitPrimary, awaitStandbys, furnishCluster } from './agents';
import { ensureSecrets } from './secrets';
import { chooseReplication, setPatroniReplication, type Replication } from './replication';
import { ownProcesses } from './servers';
import { DCS_NAMES, NODE_NAMES } from './topology';

/** The first time the images are built, Temporal among them. */
const BUILD_MS = 45 * 60_000;
const STOP_MS = 5 * 60_000;
const HEALTHY_MS = 180_000;

export const DOCKER_SERVICES = [...DCS_NAMES, 'toxiproxy', 'router', 'pooler', 's3', 'temporal-db', 'temporal', ...NODE_NAMES];

export interface DockerLabOptions {
  readonly home: string;
  readonly lab: string;
  readonly net: string | undefined;
  readonly socket: string | undefined;
  readonly replication?: Replication | undefined;
  readonly syncStandbys: number | undefined;
  readonly before: LabFile | null;
}

/** What is asked for, else what it was before. Throws `setting_invalid` for what can't be changed under a lab with data. */
export function dockerPlan({ home, lab, net, socket, replication, syncStandbys, before }: DockerLabOptions): DockerPlan {
  if (before !== null && before.docker === undefined)
    throw new GamedayError(
      'setting_invalid',
      'the lab here is one of processes',
      '`gameday lab down --purge` removes it; or set GAMEDAY_HOME for a second one.',
    );
  const plan = {
    home,
    lab,
    net: checkDockerNet(net ?? before?.net ?? DEFAULT_DOCKER_NET),
    project: before?.docker?.project ?? `gameday-${sha256Hex(home).slice(0, 8)}`,
    socket: socket ?? before?.docker?.socket ?? DEFAULT_SOCKET,
    // The Patroni in its images is the distribution's.
    ...chooseReplication({ topology: 'patroni', patroni: null, standbys: NODE_NAMES.length - 1, replication, syncStandbys, before }),
  };
  if (before !== null && (before.net !== plan.net || before.docker?.socket !== plan.socket))
    throw new GamedayError(
      'setting_invalid',
      'network and engine of a lab in containers stay as it was made',
      '`gameday lab down --purge` first.',
    );
  return plan;
}

const labelled = ({ socket, project }: Pick<DockerPlan, 'socket' | 'project'>): Labelled => openLabelled(socket, `${LAB_LABEL}=${project}`);

/** Containers of the lab by service; those that do not exist are missing. */
export async function labContainers(docker: NonNullable<LabFile['docker']>): Promise<ReadonlyMap<string, LabelledContainer>> {
  const all = await labelled(docker).containers();
  return new Map(
    DOCKER_SERVICES.flatMap((service) =>
      all.filter(({ name }) => name === containerOf(docker.project, service)).map((each) => [service, each] as const),
    ),
  );
}

async function awaitHealthy(plan: DockerPlan, services: readonly string[]): Promise<void> {
  let waiting: readonly string[] = services;
  await until(
    async () => {
      const containers = await labContainers(plan);
      waiting = services.filter((service) => containers.get(service)?.health !== 'healthy');
      return waiting.length === 0 ? true : null;
    },
    {
      timeoutMs: HEALTHY_MS,
      everyMs: 500,
      onTimeout: (last) =>
        new GamedayError(
          'lab_failed',
          `not healthy after ${HEALTHY_MS} ms: ${waiting.join(', ')}${last === null ? '' : `: ${messageOf(last)}`}`,
          `\`docker logs ${containerOf(plan.project, waiting[0] ?? 'n1')}\` says why.`,
        ),
    },
  );
}

/** Returns what starts the worker, which a lab has last. */
async function startGuardian(home: string, file: LabFile, { site }: Target): Promise<() => Promise<void>> {
  const supervisor = await ensureSupervisor(home);
  const { guardian, worker } = ownProcesses(home, file, site);
  await supervisor.start(guardian);
  return async () => confirmStays(supervisor, await supervisor.start(worker));
}

/** Idempotent: starts what is missing, but nodes that a standing fault holds down. */
export async function dockerUp(plan: DockerPlan, before: LabFile | null, say: (text: string) => void): Promise<Target> {
  const { home, lab, net, socket, project } = plan;
  ensureSecrets(lab);
  mkdirSync(join(lab, 'router'), { recursive: true, mode: 0o700 });
  const file: LabFile = {
    formatVersion: 1,
    net,
    temporalAddress: dockerTemporal(net),
    temporalNamespace: 'default',
    temporalUi: null,
    topology: 'patroni',
    docker: { socket, project },
    replication: plan.replication,
    syncStandbys: plan.syncStandbys,
    postgresBin: '/usr/lib/postgresql/15/bin',
    systemIdentifier: before?.systemIdentifier ?? null,
  };
  // Before anything is made: `lab down` must find it.
  if (before === null) writeLabFile(home, file);
  // What outlived the last guardian is undone by the next one, and holds nodes down until then: compose starts none of these.
  if (before?.systemIdentifier != null) await startGuardian(home, file, dockerTarget(plan, before.systemIdentifier));
  const held = before === null ? new Set<string>() : await heldDown(home, say);
  const services = DOCKER_SERVICES.filter((service) => !held.has(service));
  say(`containers of ${project}: ${services.join(', ')} (images are built the first time, which takes minutes)`);
  // Every service by name: a node that is held down is left out, and nothing depends on one.
  await compose(plan, ['up', '--detach', '--no-recreate', ...services], BUILD_MS);
  await awaitHealthy(plan, services);
  const live = openTarget(dockerTarget(plan, file.systemIdentifier ?? '0'));
  await awaitPrimary(live);
  // Its roles first: one of them asks whether Patroni's settings are in force.
  const systemIdentifier = file.systemIdentifier ?? (await furnishCluster(live));
  await setPatroniReplication(live, plan);
  if (held.size === 0) await awaitStandbys(live, NODE_NAMES.length - 1);
  const target = dockerTarget(plan, systemIdentifier);
  writeLabFile(home, { ...file, systemIdentifier });
  writeTarget(home, target);
  writeAllowFile(home, target);
  const startWorker = await startGuardian(home, file, target);
  await startWorker();
  say(`lab is up on ${net}.x`);
  return target;
}

/** Compose first, which stops them in good order, unless their data goes too; then whatever else carries the label, by the engine itself. */
export async function dockerDown(plan: DockerPlan, { purge }: { readonly purge: boolean }, say: (text: string) => void): Promise<void> {
  say(`stopping the containers of ${plan.project}`);
  // Good order is for data that stays; it would wake a paused one, which wrote for seconds more. Without it the engine kills them, paused or not.
  const failed = purge
    ? null
    : await compose(plan, ['stop', '--timeout', '20'], STOP_MS).then(
        () => null,
        (error: unknown) => error,
      );
  if (failed !== null) say(`compose: ${messageOf(failed)}`);
  const removed = await labelled(plan).remove({ data: purge });
  if (removed.length > 0) say(`removed ${removed.length} containers, networks and volumes labelled ${LAB_LABEL}=${plan.project}`);
  // What stood on a container that is gone stands no more.
  for (const name of NODE_NAMES)
    await openLabelled(plan.socket, `${MARKS.container}=${containerOf(plan.project, name)}`).remove({ data: true });
  rmSync(join(plan.lab, 'router', 'router.sock'), { force: true });
  const left = await labelled(plan).containers();
  if (left.length > 0)
    throw new GamedayError('lab_failed', `still there: ${left.map(({ name }) => name).join(', ')}`, 'run `gameday lab down` again.');
}
