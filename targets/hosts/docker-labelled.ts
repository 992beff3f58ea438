/**
 * Everything on a Docker engine that carries a label of ours: what there is of it, and its removal. Never touches what does not carry exactly that label and
 * value, whatever its name.
 */
import Dockerode from 'dockerode';
import { GamedayError, messageOf } from '../../core/errors';

const ANSWER_MS = 60_000;

export interface LabelledContainer {
  readonly name: string;
  readonly running: boolean;
  /** Null for one without a health check. */
  readonly health: 'starting' | 'healthy' | 'unhealthy' | null;
  /** As the engine says it, e.g. `Up 2 minutes (healthy)`. */
  readonly status: string;
}

export interface Labelled {
  containers(): Promise<readonly LabelledContainer[]>;
  /** Removes containers and networks, and where `data` says so the volumes; returns what was there, in words. Idempotent. */
  remove(options: { readonly data: boolean }): Promise<readonly string[]>;
}

async function answered<T>(what: string, request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    throw new GamedayError('host_unreachable', `Docker: ${what} failed: ${messageOf(error)}`, null, { cause: error });
  }
}

/** Somebody else removed it first. */
const unlessGone = (error: unknown): void => {
  if ((error as { readonly statusCode?: number }).statusCode !== 404) throw error;
};

/** `label`: name=value. The engine is asked over this socket alone, whatever DOCKER_HOST says. Opening touches nothing. */
export function openLabelled(socket: string, label: string): Labelled {
  const engine = new Dockerode({ socketPath: socket, timeout: ANSWER_MS });
  const filters = { label: [label] };
  const all = (): Promise<readonly Dockerode.ContainerInfo[]> =>
    answered('listing containers', engine.listContainers({ all: true, filters }));
  return {
    containers: async () =>
      (await all()).map(({ Names, State, Status }) => ({
        name: (Names[0] ?? '').replace(/^\//, ''),
        running: State === 'running',
        health: (/\((?:health: )?(starting|healthy|unhealthy)\)/.exec(Status)?.[1] as LabelledContainer['health'] | undefined) ?? null,
        status: Status,
      })),
    async remove({ data }) {
      const removed: string[] = [];
      for (const { Id, Names } of await all()) {
        await answered('removing a container', engine.getContainer(Id).remove({ force: true }).catch(unlessGone));
        removed.push(`container ${(Names[0] ?? Id).replace(/^\//, '')}`);
      }
      for (const { Id, Name } of await answered('listing networks', engine.listNetworks({ filters }))) {
        await answered('removing a network', engine.getNetwork(Id).remove().catch(unlessGone));
        removed.push(`network ${Name}`);
      }
      if (!data) return removed;
      for (const { Name } of (await answered('listing volumes', engine.listVolumes({ filters }))).Volumes) {
        await answered('removing a volume', engine.getVolume(Name).remove().catch(unlessGone));
        removed.push(`volume ${Name}`);
      }
      return removed;
    },
  };
}
