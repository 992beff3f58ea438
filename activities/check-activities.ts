/** Checks that scenarios ask for: SQL, read-only, as role observe, against the primary, every node, or the newest restore. */
import { until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import type { CheckResult } from '../model/record';
import { answerText, firstAnswer } from '../targets/first-answer';
import { openTarget } from '../targets/open-target';
import { withSql, type Sql } from '../targets/sql';
import type { SiteActivities } from './contract';
import { requirePrimary } from './failover-activities';
import { cancellable } from './open-drill';

/** Port of a sandbox's unix socket (the archive starts every restored server on it). */
const SANDBOX_PORT = 5432;

export async function check({ plan, check: spec, sandbox }: Parameters<SiteActivities['check']>[0]): Promise<CheckResult> {
  const live = openTarget(plan.target);
  const ask = (sql: Sql): Promise<string> => firstAnswer(sql, spec.sql);
  const found = async (): Promise<readonly string[]> => {
    switch (spec.on) {
      case 'primary':
        return [await live.sql(requirePrimary(await live.controller.topology()), 'observe', ask)];
      case 'every-node':
        return Promise.all(plan.target.nodes.map((node) => live.sql(node.name, 'observe', ask)));
      case 'sandbox': {
        if (sandbox === null) throw new GamedayError('step_failed', 'a check on the sandbox needs a restore step before it');
        const user = plan.target.roles.observe.user;
        return [await withSql({ host: sandbox, port: SANDBOX_PORT, user, password: null, database: plan.target.entry.database }, ask)];
      }
    }
  };
  let last: readonly string[] = ['(not asked)'];
  const holds = async (): Promise<true | null> => {
    const values = await found();
    last = values.map((value) => answerText(value, spec.expect));
    return values.every((value) => value === spec.expect) ? true : null;
  };
  const ok = await cancellable((signal) =>
    until(holds, {
      timeoutMs: spec.withinMs,
      everyMs: 250,
      signal,
      onTimeout: (error) => (error instanceof Error ? error : new GamedayError('step_failed', 'not as expected')),
    }),
  ).catch((error: unknown) => {
    if (!(error instanceof GamedayError && error.message === 'not as expected')) last = [messageOf(error)];
    return false;
  });
  return { name: `SQL on ${spec.on}: ${spec.sql}`, ok, found: [...new Set(last)].join(', '), expected: spec.expect, hint: null };
}
