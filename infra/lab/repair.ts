/**
 * Makes a lab whole after what no drill will put right any more: one that was halted behind a failover, terminated, or lost with the machine.
 * Never while a drill runs (it restores redundancy itself, and measures that) and never while a fault stands.
 */
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';
import { standingFaults } from './held-down';

const REJOIN_MS = 5 * 60_000;
const ARCHIVED_MS = 60_000;

/** Rejoins every node that does not stream from the primary, and has the archive follow. Idempotent; touches nothing where all stream. Returns the nodes that it rejoined. */
export async function repairLab(home: string, target: Target, say: (text: string) => void): Promise<readonly string[]> {
  const live = openTarget(target);
  const { controller } = live;
  const { primary, replication } = await controller.topology();
  const alone = target.nodes.map(({ name }) => name).filter((name) => name !== primary && (replication[name] ?? '') === '');
  if (primary === null) return [];
  if (alone.length === 0) {
    // Nobody was lost, or all are back already; the timeline may be a new one all the same.
    if (!(await isArchived(live))) await archiveNow(live, primary);
    return [];
  }
  const standing = await standingFaults(home);
  if (standing.length > 0) {
    say(`${alone.join(', ')} ${alone.length === 1 ? 'does' : 'do'} not stream, and stays so while ${standing.length} faults stand`);
    return [];
  }
  for (const node of alone) {
    await controller.startNode(node);
    const { method, movedAside } = await controller.rejoin(node, { timeoutMs: REJOIN_MS, signal: AbortSignal.timeout(REJOIN_MS) });
    say(`${node} streams from ${primary} again (${method})${movedAside === null ? '' : `; its old data is in ${movedAside}`}`);
  }
  await archiveNow(live, primary);
  return alone;
}

async function isArchived({ archive }: LiveTarget): Promise<boolean> {
  const checks = (await archive?.audit()) ?? [];
  return checks.every(({ name, ok }) => ok || name !== 'newest archived WAL');
}

/** A timeline that nothing was archived of yet could not be restored to, and no drill would be let near it. */
async function archiveNow(live: LiveTarget, primary: string): Promise<void> {
  const { archive } = live;
  if (archive === null) return;
  const segment = await live.sql(primary, 'operate', async (session) => {
    await session.query(`SELECT pg_logical_emit_message(false, 'gameday', 'repaired')`);
    return (await session.query('SELECT pg_walfile_name(pg_switch_wal()) AS name'))[0]?.['name'] ?? '';
  });
  await until(async () => ((await archive.holds(segment)) ? true : null), {
    timeoutMs: ARCHIVED_MS,
    everyMs: 100,
    onTimeout: () =>
      new GamedayError(
        'lab_failed',
        `${segment} was not archived within ${ARCHIVED_MS} ms`,
        '`gameday lab status` shows the archiver and its log.',
      ),
  });
}
