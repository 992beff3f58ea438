/** Stop conditions as written → as planned: ids and counts filled in. Pure. */
import type { StopCheck, StopCondition } from '../model/plan';
import type { ScenarioWritten } from './schema';
import type { YamlProblem } from './yaml-source';

type Written = ScenarioWritten['stop'][number];

function planCheck({ sql, http, prometheus, nodes }: Written): StopCheck {
  if (sql !== undefined) return { kind: 'sql', ...sql };
  if (http !== undefined) return { kind: 'http', ...http };
  if (prometheus !== undefined) {
    const { url, query, min, max, token } = prometheus;
    return { kind: 'prometheus', url, query, min: min ?? null, max: max ?? null, token: token ?? null };
  }
  return { kind: 'nodes', maxWritable: nodes?.maxWritable ?? null, minUp: nodes?.minUp ?? null };
}

/** Without an id: `stop-1`, `stop-2`, … by its place in the file. */
export function planStopConditions(written: ScenarioWritten): readonly StopCondition[] {
  return written.stop.map((each, index) => ({
    id: each.id ?? `stop-${index + 1}`,
    check: planCheck(each),
    everyMs: each.every,
    failures: each.failures,
    of: each.of ?? each.failures,
  }));
}

export function findStopProblems(written: ScenarioWritten): YamlProblem[] {
  const ids = planStopConditions(written).map((condition) => condition.id);
  return ids.flatMap((id, index) =>
    ids.indexOf(id) === index ? [] : [{ path: ['stop', index, 'id'], message: `the id "${id}" is used twice` }],
  );
}
