/** Every fault there is. A new one is a file, its test, a line here and a line in docs/WRITING-A-FAULT.md. */
import type { ZodType } from 'zod';
import { GamedayError } from '../core/errors';
import type { JsonObject } from '../model/json';
import { archiveEmptied } from './archive-emptied';
import { archiveObjectCorrupt } from './archive-object-corrupt';
import { archiveObjectLost } from './archive-object-lost';
import { archiveUnavailable } from './archive-unavailable';
import { automationPaused } from './automation-paused';
import { containerDisconnect } from './container-disconnect';
import { containerPause } from './container-pause';
import type { Fault } from './contract';
import { clockSkew } from './clock-skew';
import { connectionsExhausted } from './connections-exhausted';
import { connectionStorm } from './connection-storm';
import { credentialsRotated } from './credentials-rotated';
import { cpuStarved } from './cpu-starved';
import { diskFull } from './disk-full';
import { diskSlow } from './disk-slow';
import { dropTable } from './drop-table';
import { hostNetCut } from './host-net-cut';
import { hostStop } from './host-stop';
import { linkBandwidth } from './link-bandwidth';
import { linkCut } from './link-cut';
import { linkDrip } from './link-drip';
import { linkFlap } from './link-flap';
import { linkLatency } from './link-latency';
import { linkReset } from './link-reset';
import { lockHeld } from './lock-held';
import { longTransaction } from './long-transaction';
import { massUpdate } from './mass-update';
import { memoryStarved } from './memory-starved';
import { noop } from './noop';
import { pageCorrupt } from './page-corrupt';
import { processFreeze } from './process-freeze';
import { processKill } from './process-kill';
import { processRestart } from './process-restart';
import { promoteBehindBack } from './promote-behind-back';
import { serviceFreeze } from './service-freeze';
import { serviceKill } from './service-kill';
import { slotBloat } from './slot-bloat';
import { syncStandbyLoss } from './sync-standby-loss';

/** A fault whose settings and handle are known only to itself; `schema.parse` makes what `resolve` takes. */
export type AnyFault = Fault<unknown, JsonObject>;

// Method parameters are bivariant, so each entry fits AnyFault; what reaches them was made by their own schema and resolve.
export const FAULTS: readonly AnyFault[] = [
  noop,
  linkLatency,
  linkCut,
  linkBandwidth,
  linkReset,
  linkDrip,
  linkFlap,
  processKill,
  processFreeze,
  processRestart,
  serviceKill,
  serviceFreeze,
  hostStop,
  hostNetCut,
  containerPause,
  containerDisconnect,
  syncStandbyLoss,
  promoteBehindBack,
  automationPaused,
  dropTable,
  clockSkew,
  cpuStarved,
  diskFull,
  diskSlow,
  memoryStarved,
  pageCorrupt,
  connectionsExhausted,
  connectionStorm,
  longTransaction,
  lockHeld,
  massUpdate,
  slotBloat,
  credentialsRotated,
  archiveUnavailable,
  archiveEmptied,
  archiveObjectLost,
  archiveObjectCorrupt,
] as readonly unknown[] as readonly AnyFault[];

/** The fault of this name; throws `fault_unknown`. */
export function findFault(name: string): AnyFault {
  const fault = FAULTS.find((each) => each.name === name);
  if (fault === undefined)
    throw new GamedayError('fault_unknown', `there is no fault "${name}"`, `faults are ${FAULTS.map((each) => each.name).join(', ')}.`);
  return fault;
}

/** Settings schema by fault name, for scenarios. */
export const faultSchemas: Readonly<Record<string, ZodType>> = Object.fromEntries(FAULTS.map((fault) => [fault.name, fault.schema]));
