/** Every fault there is. A new one is a file, its test, a line here and a line in docs/WRITING-A-FAULT.md. */
import type { ZodType } from 'zod';
import { GamedayError } from '../core/errors';
import type { JsonObject } from '../model/json';
import type { Fault } from './contract';
import { dropTable } from './drop-table';
import { linkCut } from './link-cut';
import { linkLatency } from './link-latency';
import { noop } from './noop';
import { processKill } from './process-kill';

/** A fault whose settings and handle are known only to itself; `schema.parse` makes what `resolve` takes. */
export type AnyFault = Fault<unknown, JsonObject>;

// Method parameters are bivariant, so each entry fits AnyFault; what reaches them was made by their own schema and resolve.
export const FAULTS: readonly AnyFault[] = [
  noop,
  linkLatency,
  linkCut,
  processKill,
  dropTable,
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
