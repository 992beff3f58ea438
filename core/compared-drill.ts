/**
 * What of a drill is compared with another one, by what reports call it: kept in the record of the next drill, and made of any record whenever two are laid
 * beside each other. One function, so that both say the same. Pure.
 */
import type { DrillRecord, EarlierDrill } from '../model/record';

export function comparedDrill(record: DrillRecord): EarlierDrill {
  const { drill, startedAt, state, verdict, planSha256, target, scenario, tool, judgement, findings } = record;
  const { name, systemIdentifier, controller, nodes, postgresVersion } = target;
  return {
    drill,
    startedAt,
    state,
    verdict,
    planSha256,
    target: { name, systemIdentifier, controller, nodes, postgresVersion },
    scenario: scenario.name,
    toolVersion: tool.version,
    objectives: judgement.objectives,
    durations: durationsOf(record),
    findings: findings.map(({ id, rule, severity, text }) => ({ id, rule, severity, text })),
  };
}

/** Besides those of the objectives. */
function durationsOf({ rto, redundancy, restores }: DrillRecord): EarlierDrill['durations'] {
  const segments = 'notRecorded' in rto ? [] : rto.segments.map(({ name, ms }) => ({ name: `segment ${name}`, ms }));
  const again = 'notRecorded' in redundancy ? null : redundancy.regainedAfterMs;
  return [
    ...segments,
    ...(again === null ? [] : [{ name: 'redundant again after', ms: again }]),
    ...restores.flatMap(({ step, totalMs, phases }) => [
      { name: `restore ${step}`, ms: totalMs },
      ...phases.map(({ name, ms }) => ({ name: `restore ${step}, ${name}`, ms: { lowMs: ms, highMs: ms } })),
    ]),
  ];
}
