/** Several labs side by side, each on a network of its own, which take cases from one list until it is empty. */
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { labDown } from '../../infra/lab/down';

export interface Lane {
  /** An empty home for a lab. */
  readonly home: string;
  /** Such as `127.0.200`: the lab's own. */
  readonly net: string;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Runs `work` for each of `cases` on one of `lanes` labs, whose worlds `open` makes; the first lab's network is `net`, the next ones' follow it. All labs are
 * gone when it resolves or rejects; it rejects with the first error, and no lane begins another case then. After SIGINT or SIGTERM the cases that were begun are
 * ended, and it resolves.
 */
export async function overLanes<Case, World>(
  { lanes, net, cases }: { readonly lanes: number; readonly net: string; readonly cases: readonly Case[] },
  open: (lane: Lane) => Promise<World>,
  work: (world: World, one: Case, at: number) => Promise<void>,
): Promise<void> {
  const [, prefix = '', third = ''] = /^(\d+\.\d+)\.(\d+)$/.exec(net) ?? [];
  if (prefix === '' || lanes < 1 || Number(third) + lanes > 256) throw new Error(`${lanes} labs from ${net} on are no networks`);
  let next = 0;
  let stopped = false;
  const stop = (): void => void (stopped = true);
  for (const name of SIGNALS) process.once(name, stop);
  const run = async (lane: number): Promise<void> => {
    const made = mkdtempSync(join(tmpdir(), 'gameday-lane-'));
    chmodSync(made, 0o755);
    const home = realpathSync(made);
    try {
      const world = await open({ home, net: `${prefix}.${Number(third) + lane}` });
      for (let at = next++; at < cases.length && !stopped; at = next++) await work(world, cases[at] as Case, at);
    } catch (error) {
      stopped = true;
      throw error;
    } finally {
      await labDown({ home, purge: true });
      rmSync(home, { recursive: true, force: true });
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: Math.min(lanes, Math.max(1, cases.length)) }, (_, lane) => run(lane)));
  for (const name of SIGNALS) process.off(name, stop);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
