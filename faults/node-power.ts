/**
 * Stops a node's server in good order and starts it again, for faults that need it restarted. Who may write after a start is the controller's decision,
 * never ours.
 */
import { join } from 'node:path';
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { LiveTarget } from '../targets/ports';
import { askNode } from './link-traffic';
import { describeNode } from './node-process';

const FAST_S = 15;
const UP_WITHIN_MS = 45_000;
/** Of a new connection to a node that was held a moment ago. */
const ANSWERS_WITHIN_MS = 10_000;

/** It answers a session. */
export async function isUp(live: LiveTarget, node: string): Promise<boolean> {
  return live
    .sql(node, 'observe', (sql) => sql.query('SELECT 1'))
    .then(
      () => true,
      () => false,
    );
}

/** `fast`: connected standbys receive everything first; `immediate`: as a crash. Throws `step_failed` when it does not end; nobody is killed. */
export async function stopInOrder(live: LiveTarget, node: string, mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
  const host = live.host(node);
  if ((await host.postmaster()) === null) return;
  const { binDir, dataDir } = describeNode(live.target, node);
  const argv = [join(binDir, 'pg_ctl'), 'stop', '-s', '-w', '-m', mode, '-t', String(FAST_S), '-D', dataDir];
  const result = await host.exec(argv, { asNode: true, timeoutMs: (FAST_S + 3) * 1_000 });
  if (result.code !== 0 && (await host.postmaster()) !== null)
    throw new GamedayError('step_failed', `node ${node} does not stop: ${result.stderr.trim()}`);
}

/** As `stopInOrder`; a server that does not end so is killed with its whole tree, because healing must not wait for it. */
export async function stopForHealing(live: LiveTarget, node: string): Promise<void> {
  const postmaster = await live.host(node).postmaster();
  if (postmaster === null) return;
  try {
    await stopInOrder(live, node);
  } catch {
    await live.host(node).killTree(postmaster);
  }
}

/** As `bringUp`, of a node that was held: one that only has to catch up is given the time for it. */
export async function bringBack(live: LiveTarget, node: string): Promise<void> {
  if (!(await askNode(describeNode(live.target, node), ANSWERS_WITHIN_MS)).answered) await bringUp(live, node);
}

/** Returns when the node answers sessions; has the controller start it, in the role that it decides, as often as it is found stopped. */
export async function bringUp(live: LiveTarget, node: string): Promise<void> {
  await until(
    async () => {
      if (await isUp(live, node)) return true;
      if ((await live.host(node).postmaster()) === null) await live.controller.startNode(node);
      return null;
    },
    {
      timeoutMs: UP_WITHIN_MS,
      onTimeout: (last) =>
        new GamedayError('undo_failed', `${node} does not come up: ${last === null ? 'it does not answer' : messageOf(last)}`),
    },
  );
}
