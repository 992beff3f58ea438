/**
 * Kills what is no node and what nodes or clients need: members of the store that holds the leader's key, the monitor, the router, the pooler.
 *
 *     back: heal         whoever supervises it is told to leave it down first; healing starts it   ── how long can everybody do without it?
 *     back: supervisor   nobody is told anything; healing only makes sure that it runs              ── how fast does it come back by itself?
 *
 * By SIGKILL, with its children; several at once where a word names several.
 */
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { killIfStopped } from '../targets/hosts/kill-if-stopped';
import type { LiveTarget } from '../targets/ports';
import { endStoppedByHand } from './by-hand';
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
  runFor,
  type Victim,
} from './service-process';

const schema = z.strictObject({
  service: z.string().min(1).max(63).describe(SERVICE_WORDS),
  back: z
    .enum(['heal', 'supervisor'])
    .default('heal')
    .describe('heal: it stays down until it is healed; supervisor: whoever supervises it may start it again at once'),
});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly services: readonly Victim[]; readonly back: Settings['back'] };

function refuseAlone(live: LiveTarget, victims: readonly Victim[]): void {
  const alone = victims.filter(({ name }) => describeService(live.target, name).leaveDown === null).map(({ name }) => name);
  if (alone.length > 0)
    throw new GamedayError(
      'fault_refused',
      `nobody starts ${alone.join(', ')} again, so there is no supervisor to rehearse`,
      'choose back: heal; or say by `leaveDown` of the service how its supervisor is told to leave it down.',
    );
}

export const serviceKill: Fault<Settings, Resolved> = {
  name: 'service-kill',
  summary: 'kills members of the DCS, the monitor, the router or the pooler',
  schema,
  // Without its store a controller may change the primary; what clients come through holds nothing.
  mayLoseWrites: ({ service }) => service !== 'router' && service !== 'pooler',
  async resolve({ service, back }, { live }) {
    const services = await resolveVictims(live, service);
    if (back === 'supervisor') refuseAlone(live, services);
    return { services, back };
  },
  preview: ({ services, back }) =>
    `SIGKILL ${services.map(({ name, process }) => `${name} (process ${process.pid})`).join(' and ')}${back === 'heal' ? ', and keep it down' : ''}`,
  reach: ({ services }) => ({ nodes: services.map(({ name }) => name) }),
  holdsDown: ({ services }) => services.map(({ name }) => name),
  manualUndo: ({ services }, target) => [
    ...services.flatMap(({ name, process }) => endStoppedByHand(describeService(target, name), [process])),
    ...howToStartServices(target, services),
  ],
  ready: ({ service }, { live }) => checkServices(live, service),
  async inject({ services, back }, { live }) {
    for (const { name } of services) {
      const { leaveDown } = describeService(live.target, name);
      if (back === 'heal' && leaveDown !== null) await runFor(live, name, leaveDown);
    }
    const killed = await Promise.all(services.map(({ name, process }) => live.service(name).killTree(process)));
    return { services: services.map(({ name }) => name), killed: killed.flat().length };
  },
  confirm: ({ services, back }, { live }) =>
    proveServices(live, services, (sight) => (back === 'heal' ? !sight.runs && !sight.serves : !sight.same)),
  async undo({ services }, { live }) {
    // A kill that was cut off before it killed: what stands stopped has children that nobody would wake.
    for (const { name, process } of services) await killIfStopped(live.service(name), process);
    await bringBack(live, services);
  },
  confirmGone: ({ services }, { live }) => proveServing(live, services),
};
