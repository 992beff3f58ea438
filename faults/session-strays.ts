/** Sessions named as gameday names them, on every node that answers: what a guardian behind a cut network may have left open. Reads only. */
import type { LiveTarget } from '../targets/ports';
import { OUR_LABEL, type Stray } from './contract';
import { endSessions } from './labelled-sessions';

export async function findSessions(live: LiveTarget): Promise<readonly Stray[]> {
  const found: Stray[] = [];
  for (const { name: node } of live.target.nodes) {
    if ((await live.host(node).postmaster()) === null) continue;
    const rows = await live.sql(node, 'operate', (sql) =>
      sql.query(
        `SELECT application_name AS label, count(*)::text AS n FROM pg_stat_activity WHERE application_name LIKE 'gd-drill-%' GROUP BY 1`,
      ),
    );
    for (const { label, n } of rows) {
      if (label === null || label === undefined || !OUR_LABEL.test(label)) continue;
      found.push({ what: `${n ?? '0'} sessions named ${label} on ${node}`, labels: [label], remove: () => endSessions(live, node, label) });
    }
  }
  return found;
}
