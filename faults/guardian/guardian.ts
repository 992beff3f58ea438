/**
 * The guardian process: alone injects and undoes faults on this machine, by calls over a unix socket and by itself when a lease expires.
 * Started and kept by the supervisor, never by a worker: `node dist/faults/guardian/guardian.js --home HOME`. It must not end by an error of one fault.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bootId, nowUtc } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { gamedayHome, homePaths } from '../../core/home';
import { answers, serveRpc, type RpcServer } from '../../core/rpc';
import type { LeaseKey } from '../../model/fault';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import { findFault } from '../registry';
import { openGuardian, type ArmRequest, type SandboxRequest } from './client';
import { openJournal } from './journal';
import { KEEPER_LIMITS, LeaseKeeper } from './lease-keeper';
import { openLeaseStore } from './lease-store';
import { knownTargets, rememberTarget, removeStrays } from './reconcile';
import { SandboxKeeper } from './sandbox-keeper';

const log = (text: string): void => void process.stderr.write(`${nowUtc()} guardian: ${text}\n`);

/** Serves until closed. The socket is taken first: two guardians must never hold the same leases. */
export async function startGuardian(home: string): Promise<RpcServer> {
  const paths = homePaths(home);
  const targetsDir = join(paths.guardian, 'targets');
  mkdirSync(targetsDir, { recursive: true, mode: 0o700 });
  const journal = openJournal(join(paths.guardian, 'events'));
  const sandboxes = new SandboxKeeper({ dir: join(paths.guardian, 'sandboxes'), journal, log });
  let keeper: LeaseKeeper | null = null;
  const ready = (): LeaseKeeper => {
    if (keeper === null) throw new GamedayError('guardian_unreachable', 'the guardian is still starting');
    return keeper;
  };
  const server = await serveRpc(join(paths.run, 'guardian.sock'), {
    requirePermitted: (request: { systemIdentifier: string; faults: string[] }) => {
      ready().requirePermitted(request);
      return null;
    },
    arm: async (request: ArmRequest) => {
      const lease = await ready().arm(request);
      rememberTarget(targetsDir, request.target);
      return lease;
    },
    inject: (key: LeaseKey) => ready().inject(key),
    undo: (request: { key: LeaseKey; by: string }) => ready().undo(request.key, request.by),
    undoSteps: (request: { workflowId: string; runId: string; steps: string[]; by: string }) => ready().undoSteps(request),
    renew: (request: { workflowId: string; runId: string; ttlMs: number }) => {
      sandboxes.renew(request);
      return ready().renew(request);
    },
    holdSandbox: async (request: SandboxRequest) => {
      ready();
      rememberTarget(targetsDir, request.target);
      return sandboxes.hold(request);
    },
    removeSandbox: (request: { target?: Target; dir: string; by: string }) => sandboxes.remove(request),
    sandboxes: () => sandboxes.list(),
    list: () => ready().list(),
    heldDown: () => ready().heldDown(),
    describe: (key: LeaseKey) => ready().describe(key),
    haltAll: (request: { by: string; reason: string }) => ready().haltAll(request.by, request.reason),
    release: (request: { by: string; reason: string }) => ready().release(request.by, request.reason),
    standingHalt: () => ready().standingHalt(),
    removeStrays: async () => [
      ...(await sweepStrays(targetsDir, ready())),
      ...(await sandboxes.removeStrays(knownTargets(targetsDir, log))),
    ],
    events: (request: { drill: string }) => journal.events(request.drill),
    status: () => ({ pid: process.pid, bootId: bootId(), ...ready().status() }),
  });
  const started = new LeaseKeeper({
    store: openLeaseStore(join(paths.guardian, 'leases')),
    journal,
    allowFile: join(paths.guardian, 'allow.json'),
    haltFile: join(paths.guardian, 'halt.json'),
    activeDir: paths.home,
    open: openTarget,
    find: findFault,
    log,
    limits: KEEPER_LIMITS,
  });
  keeper = started;
  started.start();
  sandboxes.start();
  log(`serves ${join(paths.run, 'guardian.sock')} (pid ${process.pid}, ${started.live().length} live leases)`);
  await sweepStrays(targetsDir, started);
  await sandboxes.removeStrays(knownTargets(targetsDir, log));
  return {
    async close() {
      started.stop();
      sandboxes.stop();
      await server.close();
    },
  };
}

/** Every target of earlier drills, place by place. Returns what was removed. */
async function sweepStrays(targetsDir: string, keeper: LeaseKeeper): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const target of knownTargets(targetsDir, log)) removed.push(...(await removeStrays(openTarget(target), () => keeper.live(), log)));
  for (const what of removed) log(`removed what no lease holds: ${what}`);
  return removed;
}

const OWN_SOCKET_EVERY_MS = 1_000;

/**
 * Two that start in the same instant both find nobody, and the later one takes the socket: the other must not go on holding the same leases. One whose
 * socket was removed can be reached by nobody, and ends so that its supervisor starts one that can.
 */
async function endWhenReplaced(socket: string): Promise<void> {
  const status = await openGuardian(socket)
    .status()
    .catch(() => null);
  if (status === null ? await answers(socket) : status.pid === process.pid) return;
  log(`${socket} is ${status === null ? 'gone' : `served by process ${status.pid}`}: this guardian ends; its leases are on disk`);
  process.exit(70);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { home: { type: 'string' } } });
  const home = values.home === undefined ? gamedayHome() : resolve(values.home);
  const server = await startGuardian(home);
  const watching = setInterval(() => void endWhenReplaced(join(homePaths(home).run, 'guardian.sock')), OWN_SOCKET_EVERY_MS);
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    // Leases stay on disk: the next guardian takes them up, and their deadlines do not move.
    process.once(name, () => {
      clearInterval(watching);
      void server.close().then(() => process.exit(0));
    });
  }
}

if (require.main === module) {
  process.on('unhandledRejection', (error) => log(`unhandled: ${messageOf(error)}`));
  main().catch((error: unknown) => {
    log(messageOf(error));
    process.exit(70);
  });
}
