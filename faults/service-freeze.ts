/**
 * Stops a service in mid-motion by SIGSTOP: a member of the DCS, the monitor, the router or the pooler. Its port still accepts, connections stay open, and
 * nothing answers: what a dead process never does to clients. Its one process is stopped; whoever supervises it sees it alive.
 */
import { z } from 'zod';
import { signalByHand } from './by-hand';
import type { Fault } from './contract';
import { SERVICE_WORDS } from './resolve-service';
import {
  bringBack,
  checkServices,
  describeService,
  howToStartServices,
  proveServices,
  proveServing,
  resolveVictims,
  type Victim,
} from './service-process';

const schema = z.strictObject({ service: z.string().min(1).max(63).describe(SERVICE_WORDS) });
type Settings = z.infer<typeof schema>;
type Resolved = { readonly services: readonly Victim[] };

export const serviceFreeze: Fault<Settings, Resolved> = {
  name: 'service-freeze',
  summary: 'stops members of the DCS, the monitor, the router or the pooler in mid-motion',
  schema,
  mayLoseWrites: ({ service }) => service !== 'router' && service !== 'pooler',
  async resolve({ service }, { live }) {
    return { services: await resolveVictims(live, service) };
  },
  preview: ({ services }) => `SIGSTOP ${services.map(({ name, process }) => `${name} (process ${process.pid})`).join(' and ')}`,
  reach: ({ services }) => ({ nodes: services.map(({ name }) => name) }),
  holdsDown: ({ services }) => services.map(({ name }) => name),
  manualUndo: ({ services }, target) => [
    ...services.map(({ name, process }) => signalByHand(describeService(target, name), process, 'CONT')),
    ...howToStartServices(target, services),
  ],
  ready: ({ service }, { live }) => checkServices(live, service),
  async inject({ services }, { live }) {
    const stopped = await Promise.all(services.map(({ name, process }) => live.service(name).signal(process, 'SIGSTOP')));
    return { services: services.map(({ name }) => name), stopped: stopped.filter(Boolean).length };
  },
  confirm: ({ services }, { live }) => proveServices(live, services, (sight) => sight.same && sight.stopped && !sight.serves),
  undo: ({ services }, { live }) => bringBack(live, services),
  confirmGone: ({ services }, { live }) => proveServing(live, services),
};
