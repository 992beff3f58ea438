/**
 * Makes a lab whole after what no drill will put right any more: one that was halted behind a failover, terminated, or lost with the machine.
 * Never while a drill runs (it restores redundancy itself, and measures that) and never while a fault stands.
 */
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import type { Target } from '../../model/target';
import { openArchiveStore } from '../../targets/archives/archive-store';
import { setAsideLeftTimeline } from '../../targets/archives/left-timeline';
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
  await freeTimeline(live, primary, say);
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

/** After a split brain the archive may hold another branch under the number of the primary's timeline, and refuse the primary's own for ever. */
async function freeTimeline(live: LiveTarget, primary: string, say: (text: string) => void): Promise<void> {
  if (live.archive === null) return;
  const rows = await live.sql(primary, 'operate', (session) =>
    session.query(`WITH own AS (SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS number)
      SELECT number, encode(pg_read_binary_file('pg_wal/' || number || '.history', 0, 1000000, true), 'base64') AS history FROM own`),
  );
  const { number = null, history = null } = rows[0] ?? {};
  // The first timeline has no history.
  if (number === null || history === null) return;
  const moved = await setAsideLeftTimeline(openArchiveStore(live.target, null), parseInt(number, 16), Buffer.from(history, 'base64'));
  if (moved > 0) say(`${moved} archived files of another timeline ${number}, which the cluster has left, are below forks/ now`);
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
