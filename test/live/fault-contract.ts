/**
 * The contract of every fault, tried automatically on real servers: it bites and is proven to; nothing is proven while it does not; undo works twice,
 * works when inject never happened, and works after a crash behind any single call that injecting makes to the outside; and what a person would type heals
 * without gameday. Of crashes and of typing `npm test` draws a few, `npm run test:full` tries all.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { run } from '../../core/process';
import { faultLabel, type FaultContext, type FaultMemory } from '../../faults/contract';
import { memoryInMemory } from '../../faults/paper-target.test-data';
import { findFault } from '../../faults/registry';
import { letGo } from '../../faults/residents';
import type { FaultProof } from '../../model/fault';
import type { JsonObject } from '../../model/json';
import { undoScript } from '../../faults/guardian/active-file';
import type { Lease } from '../../faults/guardian/lease-machine';
import type { LiveTarget } from '../../targets/ports';
import { DRAWN, drawRows, tryCrashes } from './drawn';
import { TRIED, type Tried } from './tried';

export const CONTRACT_DRILL = 'drill-000042';
/** Behind calls beyond this many nothing new is crashed: what injects with more calls is polling. */
const MOST_CRASHES = 12;

export class Crash extends Error {}

/**
 * The same target, whose n-th call to the outside is carried out and never answered: as a process that dies right after it. Statements inside a
 * session count each by itself.
 */
export function crashAfter(
  live: LiveTarget,
  n: number,
): { readonly live: LiveTarget; readonly crashed: () => boolean; readonly calls: () => number; readonly death: Promise<never> } {
  let die: (crash: Crash) => void = () => undefined;
  const death = new Promise<never>((_, reject) => (die = reject));
  death.catch(() => undefined);
  let calls = 0;
  let crashed = false;
  const count = (): void => {
    if (crashed) throw new Crash('dead processes call nobody');
    calls += 1;
    if (calls < n) return;
    crashed = true;
    const crash = new Crash(`crashed after call ${n}`);
    die(crash);
    throw crash;
  };
  const wrap = <T extends object>(inner: T): T =>
    new Proxy(inner, {
      get(target, name) {
        const member = Reflect.get(target, name, target) as unknown;
        if (typeof member === 'function')
          return (...args: unknown[]) => {
            if (crashed) throw new Crash('dead processes call nobody');
            const given = args.map((arg) => (typeof arg === 'function' ? around(arg as (...inner: unknown[]) => unknown) : arg));
            const result = (member as (...all: unknown[]) => unknown).apply(target, given);
            if (result instanceof Promise) return result.then((value: unknown) => (count(), value));
            return typeof result === 'object' && result !== null && (name === 'host' || name === 'service') ? wrap(result) : result;
          };
        return typeof member === 'object' &&
          member !== null &&
          ['controller', 'automation', 'links', 'router', 'archive', 'door', 'gate', 'container'].includes(String(name))
          ? wrap(member)
          : member;
      },
    });
  // What a session is handed to: its statements are calls of their own.
  const around =
    (work: (...args: unknown[]) => unknown) =>
    (...args: unknown[]): unknown =>
      work(...args.map((arg) => (typeof arg === 'object' && arg !== null && 'query' in arg ? wrap(arg) : arg)));
  return { live: wrap(live), crashed: () => crashed, calls: () => calls, death };
}

/** As a person would, with nothing of the guardian's environment: the very script that stands beside ACTIVE. Returns what it said of lines that failed. */
export async function typeIn(lines: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  const script = undoScript([{ handle: { preview: 'by hand', manualUndo: lines } } as unknown as Lease]);
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
  const { code, stdout, stderr } = await run(['sh', '-c', script], { timeoutMs: 90_000, env });
  return { code, said: code === 0 ? '' : `${stdout}${stderr}` };
}

/** Rows whose lines need a program that is not gameday's to install. */
const NEEDS: { readonly [fault: string]: string } = {
  'archive-emptied': 'aws',
  'archive-object-lost': 'aws',
  'archive-object-corrupt': 'aws',
};
const isThere = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(':').some((dir) => dir !== '' && existsSync(join(dir, program)));

/** Declares one test for each of this suite's rows. `live`: asked when the test runs. `restore`: makes up for what undo leaves to the drill's later phases. */
export function contractTests(suite: Tried['suite'], live: () => LiveTarget, restore: () => Promise<void> = async () => undefined): void {
  const rows = TRIED.filter((row) => row.suite === suite);
  test.each(rows.map((row, n) => ({ ...row, step: `${suite}-${n}`, what: JSON.stringify(row.with) })))(
    '$fault $what keeps the contract',
    async (row) => {
      const fault = findFault(row.fault);
      const bites = row.fault !== 'noop';
      const lasts = bites && fault.momentary !== true;
      const parsed = fault.schema.parse(row.with);
      const contextOf = (memory: FaultMemory, on = live()): FaultContext => ({
        live: on,
        drill: CONTRACT_DRILL,
        label: faultLabel(CONTRACT_DRILL, row.step),
        memory,
      });
      const context = contextOf(memoryInMemory());
      const gone = (): Promise<boolean> =>
        fault.confirmGone(handle, context).then(
          (proof) => proof.holds,
          () => false,
        );
      expect((await fault.ready(parsed, context)).filter((check) => !check.ok)).toEqual([]);
      // The handle travels as JSON and must still be enough to undo.
      const handle = JSON.parse(JSON.stringify(await fault.resolve(parsed, context))) as JsonObject;
      expect(fault.preview(handle)).not.toBe('');
      const { nodes, services = [] } = live().target;
      const names = [...nodes, ...services].map((each) => each.name);
      for (const node of fault.reach(handle).nodes) expect(names).toContain(node);

      await fault.undo(handle, context);
      expect(await fault.confirmGone(handle, context)).toMatchObject({ holds: true });
      if (bites) expect((await fault.confirm(handle, context)).holds).toBe(false);

      await fault.armOnHost?.(handle, context, 60_000);
      await fault.inject(handle, context);
      await fault.inject(handle, context);
      expect(await fault.confirm(handle, context)).toMatchObject({ holds: true });
      if (lasts) expect(await gone()).toBe(false);
      // Whoever brings the cluster up meanwhile leaves those alone, and no others.
      const held = fault.holdsDown?.(handle) ?? [];
      for (const { name } of nodes) {
        // Nobody answers in a container that is paused.
        const runs = (await live().host(name).container?.state()) !== 'paused' && (await live().host(name).postmaster()) !== null;
        if (!runs) expect(held).toContain(name);
      }
      for (const name of held) expect(names).toContain(name);

      await fault.undo(handle, context);
      await fault.undo(handle, context);
      expect(await fault.confirmGone(handle, context)).toMatchObject({ holds: true });
      if (lasts) expect((await fault.confirm(handle, context)).holds).toBe(false);
      await restore();
    },
    60_000,
  );

  test.each(rows.map((row, n) => ({ ...row, step: `${suite}-crash-${n}`, what: JSON.stringify(row.with) })))(
    `$fault $what comes off after a crash behind any of its calls${DRAWN}`,
    async (row) => {
      const fault = findFault(row.fault);
      const parsed = fault.schema.parse(row.with);
      await tryCrashes(row.step, { first: 1, last: MOST_CRASHES }, async (n) => {
        const step = `${row.step}-${n}`;
        const memory = memoryInMemory();
        const context = { live: live(), drill: CONTRACT_DRILL, label: faultLabel(CONTRACT_DRILL, step), memory };
        const handle = await fault.resolve(parsed, context);
        const dying = crashAfter(live(), n);
        const dead = { ...context, live: dying.live };
        // A dead process does not go on waiting for what would have come next; what it still tries reaches nobody.
        const dies = (async () => {
          await fault.armOnHost?.(handle, dead, 60_000);
          await fault.inject(handle, dead);
        })();
        await Promise.race([dies, dying.death]).catch((error: unknown) => {
          dies.catch(() => undefined);
          if (!dying.crashed()) throw error;
        });
        // What the guardian's own process held ends with it.
        await letGo(context.label);
        await fault.undo(handle, context);
        expect({ after: n, ...(await fault.confirmGone(handle, context)) }).toMatchObject({ after: n, holds: true });
        await restore();
        return { crashed: dying.crashed(), calls: dying.calls() };
      });
    },
    180_000,
  );

  const typed = rows.filter(({ fault }) => fault !== 'noop' && isThere(NEEDS[fault] ?? 'sh'));
  test.each(drawRows(`${suite} by hand`, typed).map((row, n) => ({ ...row, step: `${suite}-hand-${n}`, what: JSON.stringify(row.with) })))(
    `$fault $what comes off by what a person types, with gameday dead${DRAWN}`,
    async (row) => {
      const fault = findFault(row.fault);
      const parsed = fault.schema.parse(row.with);
      const memory = memoryInMemory();
      const context = { live: live(), drill: CONTRACT_DRILL, label: faultLabel(CONTRACT_DRILL, row.step), memory };
      const handle = JSON.parse(JSON.stringify(await fault.resolve(parsed, context))) as JsonObject;
      const lines = fault.manualUndo(handle, live().target);
      try {
        await fault.armOnHost?.(handle, context, 60_000);
        await fault.inject(handle, context);
        expect(await fault.confirm(handle, context)).toMatchObject({ holds: true });
        await letGo(context.label);
        expect(await typeIn(lines)).toEqual({ code: 0, said: '' });
        const proofs: FaultProof[] = [];
        const gone = async (): Promise<FaultProof> => {
          const proof = await fault.confirmGone(handle, context);
          proofs.push(proof);
          return proof;
        };
        await until(async () => ((await gone()).holds ? true : null), {
          timeoutMs: 30_000,
          onTimeout: (last) => new Error([`it still stands: ${proofs.at(-1)?.by ?? String(last)}`, ...lines].join('\n')),
        });
        expect(await typeIn(lines)).toEqual({ code: 0, said: '' });
        expect(await gone()).toMatchObject({ holds: true });
      } finally {
        await fault.undo(handle, context);
        await restore();
      }
    },
    240_000,
  );
}
