/**
 * Fuzzed plans: random faults that overlap on random nodes and links, random deaths in their midst, and a random end. Whatever a plan does, nothing of it
 * may be left. A fault that is refused (its node is down already) or not confirmed is part of the game.
 */
import { join } from 'node:path';
import { sleep, until } from '../../core/clock';
import { messageOf } from '../../core/errors';
import { identify, signal } from '../../core/process';
import { cleanUpDrillTables } from '../../faults/drill-table';
import { openGuardian } from '../../faults/guardian/client';
import { repairLab } from '../../infra/lab/repair';
import { labUp } from '../../infra/lab/up';
import { openSupervisorClient } from '../../infra/supervisor/client';
import type { LeaseKey } from '../../model/fault';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import { seeded } from '../calibration/calibrate';
import { DirectRun, type Wanted } from './direct';
import { findResidue } from './residue';

/** Long enough for five faults to be injected before the first runs out; what outlives it anyway has expired in the midst, which is a case too. */
const TTL_MS = 12_000;
const SETTLES_WITHIN_MS = 90_000;
/** Asking the lab to be up looks at everything of it: not with every look for residue. */
const TIDIES_EVERY_MS = 5_000;

const ENDS = ['undo', 'undo together', 'halt', 'expire'] as const;
const DEATHS = ['nothing', 'nothing', 'guardian', 'toxiproxy', 'a node', 'the archiver'] as const;

export interface Fuzzed {
  readonly seed: number;
  readonly faults: readonly Wanted[];
  readonly death: (typeof DEATHS)[number];
  /** Behind how many faults it strikes. */
  readonly after: number;
  readonly end: (typeof ENDS)[number];
}

/** The plan of this seed, always the same. */
export function fuzzPlan(seed: number): Fuzzed {
  const random = seeded(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const node = (): string => pick(['n1', 'n2', 'n3', 'primary', 'any-standby']);
  const link = (): { from: string; to: string } =>
    pick([
      { from: 'client', to: 'router' },
      { from: 'standbys', to: 'primary' },
      { from: node(), to: 's3' },
    ]);
  const makers: readonly (() => Wanted)[] = [
    () => ({ fault: 'link-latency', with: { ...link(), latency: pick(['20ms', '100ms']) } }),
    () => ({ fault: 'link-cut', with: { ...link(), direction: pick(['both', 'up', 'down']) } }),
    () => ({ fault: 'link-bandwidth', with: { ...link(), rate: pick(['64kB', '1MB']) } }),
    () => ({ fault: 'link-reset', with: link() }),
    () => ({ fault: 'link-drip', with: link() }),
    () => ({ fault: 'link-flap', with: { ...link(), up: '400ms', down: '300ms' } }),
    () => ({ fault: 'process-kill', with: { node: node(), scope: pick(['tree', 'postmaster']) } }),
    () => ({ fault: 'process-freeze', with: { node: node(), scope: pick(['tree', 'postmaster']) } }),
    () => ({ fault: 'process-restart', with: { node: node(), mode: pick(['fast', 'immediate']) } }),
    () => ({ fault: 'sync-standby-loss', with: { count: pick([1, 'all']) } }),
    () => ({ fault: 'promote-behind-back', with: { node: pick(['any-standby', 'n2', 'n3']) } }),
    () => ({ fault: 'drop-table', with: { rows: pick([1, 100]) } }),
    () => ({ fault: 'mass-update', with: { rows: 50 } }),
    () => ({ fault: 'lock-held', with: { table: 'own' } }),
    () => ({ fault: 'long-transaction', with: { node: node() } }),
    () => ({ fault: 'connections-exhausted', with: { node: node(), leave: 5 } }),
    () => ({ fault: 'connection-storm', with: { rate: 20 } }),
    () => ({ fault: 'credentials-rotated', with: { role: 'replicate' } }),
    () => ({ fault: 'archive-unavailable', with: { how: pick(['down', 'error-503', 'denied-403']) } }),
    () => ({ fault: 'archive-object-lost', with: {} }),
  ];
  const faults = Array.from({ length: 1 + Math.floor(random() * 5) }, () => pick(makers)());
  return { seed, faults, death: pick(DEATHS), after: 1 + Math.floor(random() * faults.length), end: pick(ENDS) };
}

export interface FuzzResult {
  readonly stood: number;
  readonly refused: readonly string[];
  readonly residue: readonly string[];
}

/** Runs one plan on a lab that is whole, and leaves it whole. */
export async function runFuzzed(home: string, target: Target, sequence: number, plan: Fuzzed): Promise<FuzzResult> {
  const run = new DirectRun(target, sequence);
  const keys: LeaseKey[] = [];
  const refused: string[] = [];
  for (const [at, wanted] of plan.faults.entries()) {
    await run.stand(`f${at}`, wanted, { ttlMs: TTL_MS }).then(
      (key) => keys.push(key),
      (error: unknown) => refused.push(`${wanted.fault}: ${messageOf(error)}`),
    );
    if (at + 1 === plan.after) await strike(home, target, plan);
  }
  await finish(run, keys, plan);
  const residue = await settledResidue(home, target, run.drill);
  if (residue.length > 0) await labUp({ home });
  await repairLab(home, target, () => undefined);
  return { stood: keys.length, refused, residue };
}

async function strike(home: string, target: Target, { death, seed }: Fuzzed): Promise<void> {
  if (death === 'nothing') return;
  if (death === 'a node') {
    const node = target.nodes[seed % target.nodes.length];
    const live = openTarget(target);
    const postmaster = node === undefined ? null : await live.host(node.name).postmaster();
    // Nobody's fault, and nobody's to undo: the next `lab up` starts it.
    if (node !== undefined && postmaster !== null) await live.host(node.name).killTree(postmaster);
    return;
  }
  const name = death === 'the archiver' ? 'archiver' : death;
  const { children } = await openSupervisorClient(join(home, 'run')).status();
  const pid = children.find((child) => child.name === name)?.pid ?? null;
  const id = pid === null ? null : identify(pid);
  if (id !== null) signal(id, 'SIGKILL');
  // The supervisor starts it again; without a guardian nothing would be injected at all.
  const guardian = openGuardian(join(target.runDir, 'guardian.sock'));
  await until(() => guardian.status(), { timeoutMs: 30_000, onTimeout: () => new Error('no guardian answers') });
}

/** A guardian that was killed is back in a moment; whoever asks it asks again, as activities do. */
async function finish(run: DirectRun, keys: readonly LeaseKey[], { end, seed }: Fuzzed): Promise<void> {
  const random = seeded(seed + 1);
  const by = 'fuzz';
  const again = (work: () => Promise<unknown>): Promise<true> =>
    until(async () => (await work(), true as const), {
      timeoutMs: 30_000,
      everyMs: 200,
      onTimeout: (last) => new Error(`no end: ${messageOf(last)}`),
    });
  switch (end) {
    case 'undo':
      for (const key of [...keys].sort(() => random() - 0.5)) await again(() => run.guardian.undo({ key, by }));
      return;
    case 'undo together': {
      const [first] = keys;
      if (first !== undefined)
        await again(() =>
          run.guardian.undoSteps({ workflowId: first.workflowId, runId: first.runId, steps: keys.map(({ step }) => step), by }),
        );
      return;
    }
    case 'halt':
      await again(() => run.guardian.haltAll({ by, reason: 'fuzzed' }));
      await again(() => run.guardian.release({ by, reason: 'fuzzed' }));
      return;
    case 'expire':
      await sleep(TTL_MS);
  }
}

/**
 * What heals behind the end has as long as the guardian's longest pause. A node that a plan killed by itself is started first: it is no fault's. What could
 * not be looked at until the end counts as left.
 */
async function settledResidue(home: string, target: Target, drill: string): Promise<readonly string[]> {
  let last: readonly string[] = ['nobody could look'];
  const guardian = openGuardian(join(target.runDir, 'guardian.sock'));
  const standing = async (): Promise<number> => (await guardian.list()).filter(({ state }) => state !== 'gone').length;
  let tidiedMs = -Infinity;
  const isDue = async (): Promise<boolean> => {
    if (Date.now() - tidiedMs <= TIDIES_EVERY_MS) return false;
    return tidiedMs === -Infinity || (await standing()) === 0;
  };
  return until(
    async () => {
      if (await isDue()) {
        await labUp({ home });
        if ((await standing()) === 0) {
          await guardian.removeStrays();
          // A drill does so when its evidence is sealed.
          await cleanUpDrillTables(openTarget(target), drill);
        }
        tidiedMs = Date.now();
      }
      last = await findResidue(home, target);
      return last.length === 0 ? last : null;
    },
    { timeoutMs: SETTLES_WITHIN_MS, everyMs: 300, onTimeout: (error) => new Error(messageOf(error)) },
  ).catch((error: unknown) => (last.length === 0 ? [messageOf(error)] : last));
}
