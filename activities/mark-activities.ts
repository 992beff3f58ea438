/** Marks: the primary of this moment gets a restore point, stamped by the prober just before and just after, for the ledger to be held against. */
import { activityInfo } from '@temporalio/activity';
import { GamedayError } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import { recordMark } from '../targets/archives/proof/mark';
import { openTarget } from '../targets/open-target';
import { withSql } from '../targets/sql';
import type { MarkResult, SiteActivities } from './contract';
import { requirePrimary } from './failover-activities';
import { stamp } from './open-drill';

const READ_LIMIT_MS = 120_000;

export async function mark({ plan, drill, step, probe }: Parameters<SiteActivities['mark']>[0]): Promise<MarkResult> {
  const { target } = plan;
  const primary = requirePrimary(await openTarget(target).controller.topology());
  const node = target.nodes.find(({ name }) => name === primary);
  if (node === undefined) throw new GamedayError('step_failed', `target ${target.name} has no node "${primary}"`);
  const { attempt } = activityInfo();
  // Recovery stops at the first point of a name: each try of each drill has one of its own.
  const name = `gd-${drill.drill}-${step.name}${attempt === 1 ? '' : `-${attempt}`}`;
  const { user, password } = target.roles.operate;
  const secret = password === null ? null : resolveSecret(password);
  let aboutToNs: string | null = null;
  const facts = await withSql(
    { host: node.host, port: node.port, user, password: secret, database: target.entry.database },
    (sql) =>
      recordMark(sql, name, step.tables, async () => {
        aboutToNs = await stamp(probe, 'step', 'about-to', step.id);
      }),
    { queryTimeoutMs: READ_LIMIT_MS, applicationName: 'gameday mark' },
  );
  return { facts, aboutToNs, doneNs: await stamp(probe, 'step', 'done', step.id) };
}
