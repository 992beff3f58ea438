/**
 * The processes behind a target's services, as handles that travel; whether they serve, asked in their own protocol; and how they are had back. For the
 * faults service-kill and service-freeze alone: no node's server or agent is touched here.
 */
import { until } from '../core/clock';
import { GamedayError } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import type { Target, TargetService } from '../model/target';
import { commandLine } from '../targets/hosts/shell-words';
import type { LiveTarget } from '../targets/ports';
import { onHost, switchOn } from './by-hand';
import { askService, type RoundTrip } from './link-traffic';
import { isSameServer, type ProcessHandle } from './node-process';
import { resolveServices } from './resolve-service';

const ANSWER_MS = 1_500;
const COMMAND_MS = 30_000;
const SERVES_WITHIN_MS = 20_000;

export type Victim = { readonly name: string; readonly process: ProcessHandle };

/** Throws `fault_refused` for a name that the target does not have. */
export function describeService(target: Target, name: string): TargetService {
  const service = target.services?.find((each) => each.name === name);
  if (service === undefined) throw new GamedayError('fault_refused', `target ${target.name} has no service "${name}"`);
  return service;
}

async function findProcess(live: LiveTarget, name: string): Promise<ProcessHandle | null> {
  const found = await live.service(name).agent();
  return found === null ? null : { pid: found.pid, startTicks: found.startTicks, bootId: found.bootId };
}

/** What a word stands for now, each with its process. Throws `fault_refused` when one does not run. */
export async function resolveVictims(live: LiveTarget, word: string): Promise<readonly Victim[]> {
  const victims: Victim[] = [];
  for (const { name } of await resolveServices(live, word)) {
    const process = await findProcess(live, name);
    if (process === null)
      throw new GamedayError('fault_refused', `${name} does not run`, 'start it, or correct `find` of the service in the target file.');
    victims.push({ name, process });
  }
  return victims;
}

/** Runs a command that the target names for a service; throws `step_failed` when it does not end well. */
export async function runFor(live: LiveTarget, name: string, argv: readonly string[]): Promise<void> {
  const { code, stderr } = await live.service(name).exec(argv, { asNode: false, timeoutMs: COMMAND_MS });
  if (code !== 0)
    throw new GamedayError('step_failed', `\`${commandLine(argv)}\` for ${name} ended with ${code}: ${stderr.trim().slice(0, 300)}`);
}

/** A router that has no server to lead to ends the connection: that is an answer of its own. A refusal is the kernel's. */
const serves = ({ kind }: TargetService, trip: RoundTrip): boolean =>
  trip.answered || (kind === 'router' && !/ECONNREFUSED|no answer within/.test(trip.reason));

const said = (trip: RoundTrip): string => (trip.answered ? `answers after ${trip.ms.toFixed(1)} ms` : trip.reason);

/** What is seen of a service now. */
export interface Sight {
  readonly name: string;
  /** The very process that was meant is there. */
  readonly same: boolean;
  /** Some process is there and is not stopped. */
  readonly runs: boolean;
  readonly stopped: boolean;
  readonly serves: boolean;
  readonly words: string;
}

async function lookAt(live: LiveTarget, { name, process }: Victim): Promise<Sight> {
  const now = await findProcess(live, name);
  const stopped = now !== null && (await live.service(name).processState(now)) === 'T';
  const service = describeService(live.target, name);
  const trip = await askService(service, ANSWER_MS);
  const what = now === null ? 'no process' : `process ${now.pid}${stopped ? ', stopped' : ''}`;
  return {
    name,
    same: isSameServer(now, process),
    runs: now !== null && !stopped,
    stopped,
    serves: serves(service, trip),
    words: `${name} (${service.host}:${service.port}): ${what}, ${said(trip)}`,
  };
}

/** Holds when it holds of every one of them. */
export async function proveServices(live: LiveTarget, victims: readonly Victim[], holds: (sight: Sight) => boolean): Promise<FaultProof> {
  const sights = await Promise.all(victims.map((each) => lookAt(live, each)));
  return {
    holds: sights.every(holds),
    by: sights.map(({ words }) => words).join('; '),
    facts: { services: sights.map(({ name, runs, serves: answers }) => ({ name, runs, answers })) },
  };
}

export const proveServing = (live: LiveTarget, victims: readonly Victim[]): Promise<FaultProof> =>
  proveServices(live, victims, (sight) => sight.runs && sight.serves);

/** Has all of them run and serve, together: members of a store come up only when enough of them meet. What runs goes on. */
export async function bringBack(live: LiveTarget, victims: readonly Victim[]): Promise<void> {
  await Promise.all(
    victims.map(async ({ name, process }) => {
      const host = live.service(name);
      await host.signal(process, 'SIGCONT');
      await host.wake?.();
      await runFor(live, name, describeService(live.target, name).start);
    }),
  );
  await Promise.all(
    victims.map(({ name }) => {
      const service = describeService(live.target, name);
      return until(async () => (serves(service, await askService(service, ANSWER_MS)) ? true : null), {
        timeoutMs: SERVES_WITHIN_MS,
        everyMs: 50,
        onTimeout: () => new GamedayError('undo_failed', `${name} does not answer ${SERVES_WITHIN_MS} ms after it was started`),
      });
    }),
  );
}

export function howToStartServices(target: Target, victims: readonly Victim[]): readonly string[] {
  return victims.flatMap(({ name }) => {
    const service = describeService(target, name);
    return [`# starts ${name}, where it does not run:`, ...switchOn(service), onHost(service, commandLine(service.start))];
  });
}

/** Pre-flight of each: it runs and serves. Touches nothing. */
export async function checkServices(live: LiveTarget, word: string): Promise<readonly CheckResult[]> {
  return Promise.all(
    (await resolveServices(live, word)).map(async (service) => {
      const process = await findProcess(live, service.name);
      const trip = await askService(service, ANSWER_MS);
      const ok = process !== null && serves(service, trip);
      return {
        name: `${service.name} serves`,
        ok,
        found: process === null ? 'no process' : `process ${process.pid}, ${said(trip)}`,
        expected: 'a process that answers',
        hint: ok ? null : 'start it, or correct `find` of the service in the target file.',
      };
    }),
  );
}
