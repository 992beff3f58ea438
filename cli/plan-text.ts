/** A plan in words: what would be done, in order, to what, and what would judge it. Pure. */
import { formatMs } from '../core/units';
import type { Objective, Plan, PlanStep, RestorePoint, RestoreStep, RtoAbout, StopCheck, StopCondition } from '../model/plan';

const OBJECTIVE: Readonly<Record<Objective['name'], string>> = {
  rto: 'time without writes (RTO)',
  rto_reads: 'time without reads (RTO of reads)',
  rto_beyond_prediction: 'RTO beyond what live settings predict',
  write_stall: 'longest time without an acknowledged write',
  rpo_transactions: 'acknowledged writes lost (RPO)',
  rpo_time: 'age of the oldest lost write (RPO)',
  split_brain: 'time in which two nodes take writes',
  restore_time: 'time to restore',
  rebuild_time: 'time until a standby made anew streams',
  recovery_point_error: 'writes missing or too many after the restore',
  archive_rpo: 'acknowledged writes lost, in time, if only the archive is left',
  commit_p99: 'commit latency p99',
  promotions: 'promotions',
  rejections: 'writes refused by a server',
  time_to_redundancy: 'time until the starting topology stands again',
  replica_staleness: 'age of a replica’s data at worst',
  no_safe_candidate: 'time in which no standby could take over without loss',
};

const RTO_ABOUT: Readonly<Record<RtoAbout, string>> = {
  injection: 'time from the fault until clients are well (RTO)',
  'first-ack': 'time to the first write after the outage (RTO)',
  verified: 'time until verified (RTO)',
  redundant: 'time until redundant again (RTO)',
  declaration: 'time from the declaration until clients are well (RTO)',
};

/** Several lines; steps inside parallel branches are indented. */
export function planText(plan: Plan, planSha256: string, notes: readonly string[], restores: readonly string[] = []): string {
  const { scenario, target, objectives, steps, probe, steady, limits, stop = [] } = plan;
  const writesPerSecond = Math.round((probe.writeStreams * 1_000) / probe.periodMs);
  return [
    `${scenario.title} (${scenario.name}) on ${target.name}, PostgreSQL system ${target.systemIdentifier} (${target.kind})`,
    `hypothesis  ${scenario.hypothesis}`,
    `plan        ${planSha256}`,
    '',
    'objectives',
    ...objectives.map(
      (objective) =>
        `  ${objective.about === undefined ? OBJECTIVE[objective.name] : RTO_ABOUT[objective.about]} ≤ ${amount(objective)}${objective.step === null ? '' : ` (step ${objective.step})`}${objective.path === undefined ? '' : ` (by ${objective.path})`}${objective.source === null ? '' : ` · ${objective.source}`}`,
    ),
    ...liveLines(plan),
    '',
    'first       register, check readiness, then a steady baseline of ' + `${formatMs(steady.windowMs)} under ${writesPerSecond} writes/s`,
    'steps',
    ...steps.flatMap((step, index) => stepLines(step, `  ${String(index + 1).padStart(2)}. `)),
    'last        heal what stands, verify, restore redundancy, judge, seal',
    ...(stop.length === 0
      ? []
      : ['stops       the method ends, and everything heals, when', ...stop.map((each) => `  ${stopWords(each)}`)]),
    ...(restores.length === 0 ? [] : ['', ...restores]),
    '',
    'ways in',
    ...waysIn(plan).map((way) => `  ${way}`),
    '',
    `limits      drill ${formatMs(limits.maxDrillMs)} · one fault ${formatMs(limits.faultMaxMs)} · a fault expires ${formatMs(limits.leaseTtlMs)} after its last renewal`,
    `worst case  ${worstCase(plan)}`,
    ...notes.map((note) => `note        ${note}`),
  ].join('\n');
}

/** Where the probers' clients come in, each measured by itself. */
function waysIn({ target, probe }: Plan): string[] {
  const { entry } = target;
  const further = target.paths.filter(({ name }) => probe.paths.includes(name));
  return [
    `entry              ${entry.host}:${entry.port}/${entry.database}`,
    ...further.map(
      ({ name, kind, hosts, database }) =>
        `${name.padEnd(18)} ${hosts.map(({ host, port }) => `${host}:${port}`).join(',')}/${database} (${kind})`,
    ),
    ...(probe.naive ? ['on each, besides, a client without any deadline'] : []),
  ];
}

function stopWords({ id, check, everyMs, failures, of }: StopCondition): string {
  const often = `${failures} of ${of} times, asked every ${formatMs(everyMs)}`;
  return `${id.padEnd(18)} ${mustHold(check)} does not hold ${often}`;
}

function mustHold(check: StopCheck): string {
  switch (check.kind) {
    case 'sql':
      return `"${check.sql} = ${check.expect}" on ${check.on}`;
    case 'http':
      return `"${check.url} answers ${check.status}"`;
    case 'prometheus':
      return `"${check.query} ${[check.min === null ? '' : `≥ ${check.min}`, check.max === null ? '' : `≤ ${check.max}`].filter(Boolean).join(' and ')}" at ${check.url}`;
    case 'nodes':
      return `"${[check.maxWritable === null ? '' : `at most ${check.maxWritable} writable`, check.minUp === null ? '' : `at least ${check.minUp} up`].filter(Boolean).join(', ')}"`;
  }
}

function amount({ target, unit }: Objective): string {
  return unit === 'ms' ? formatMs(target) : unit === 'count' ? String(target) : `${target} ${unit}`;
}

function stepLines(step: PlanStep, lead: string): string[] {
  const head = `${lead}${step.id.padEnd(18)} ${words(step)}`;
  if (step.kind !== 'parallel') return [head];
  const indent = ' '.repeat(lead.length);
  return [head, ...step.branches.flatMap((branch, at) => branch.map((inner) => stepLines(inner, `${indent}${at + 1}| `)).flat())];
}

function words(step: PlanStep): string {
  switch (step.kind) {
    case 'fault':
      return `${step.title} · ${step.fault} ${JSON.stringify(step.settings)} · comes off after at most ${formatMs(step.maxMs)}`;
    case 'wait':
      return step.wait.kind === 'for'
        ? `wait ${formatMs(step.wait.ms)}`
        : `wait until clients are ${step.wait.kind}, at most ${formatMs(step.wait.timeoutMs)}`;
    case 'failover':
      return `${step.title}, at most ${formatMs(step.timeoutMs)}`;
    case 'restore':
      if (step.expect !== undefined) return `${step.title} · ${restoreWords(step)}: ${refusalWords(step.expect)}`;
      return `${step.title} · ${restoreWords(step)}, at most ${formatMs(step.timeoutMs)} · proof: ${step.proof?.checks.join(', ') ?? 'all'}`;
    case 'rebuild':
      return `${step.title} from a base backup, at most ${formatMs(step.timeoutMs)} · its old data directory is moved aside`;
    case 'mark':
      return `${step.title}${step.tables.length === 0 ? '' : ` · counts and digests of ${step.tables.map(({ schema, table }) => `${schema}.${table}`).join(', ')}`}`;
    case 'check':
      return `${step.title} · ${step.check.sql} = ${step.check.expect}`;
    case 'heal':
      return step.title;
    case 'note':
      return `note: ${step.text}`;
    case 'manual':
      return `${step.owner} does${declaring(step)}: ${step.instruction}`;
    case 'gate':
      return `${step.owner} decides${declaring(step)}: ${step.question}`;
    case 'parallel':
      return step.title;
  }
}

const declaring = ({ declares }: Extract<PlanStep, { kind: 'manual' | 'gate' }>): string =>
  declares === undefined ? '' : ', and so declares the incident';

const refusalWords = ({ refused }: NonNullable<Extract<PlanStep, { kind: 'restore' }>['expect']>): string =>
  `must be refused${refused === null ? '' : ` with ${refused}`} before a byte moves`;

function restoreWords({ to, key }: RestoreStep): string {
  return key === undefined ? pointWords(to) : `${pointWords(to)}, opened by key ${key}`;
}

function pointWords(to: RestorePoint): string {
  switch (to.kind) {
    case 'before-step':
      return `to the transaction before ${to.step}`;
    case 'time':
      return `to ${to.time}`;
    case 'name':
      return `to the restore point ${to.name}`;
    case 'immediate':
      return 'to where the newest backup is consistent';
    case 'latest':
      return 'as far as the archive holds WAL';
    case 'xid':
    case 'lsn':
      return `to ${to.kind} ${to.kind === 'xid' ? to.xid : to.lsn}, ${to.inclusive ? 'included' : 'excluded'}`;
  }
}

/** What could be lost if everything goes wrong, from the target's own settings. */
function worstCase({ target }: Plan): string {
  if (target.kind === 'lab') return 'the lab’s own data; nothing else is reachable from it';
  const sync = target.controller.syncStandbys;
  const risk =
    sync === 0
      ? 'asynchronous replication: acknowledged writes may be lost'
      : `${sync} synchronous standby${sync === 1 ? '' : 's'}: acknowledged writes survive the loss of the primary`;
  return `${risk}; acceptDataLoss is ${target.policy.acceptDataLoss ? 'true' : 'false, faults that may lose writes are refused'}`;
}

/** What was computed from the controller's settings when the plan was made. */
function liveLines({ scenario: { live, variables } }: Plan): readonly string[] {
  if (live === undefined) return [];
  // A setting is exact: 20 s is what was set, 20.0 s would be what was measured.
  const timers = Object.entries(live.timers).map(([name, ms]) => `${name} ${ms % 1_000 === 0 ? `${ms / 1_000} s` : formatMs(ms)}`);
  return [
    `computed    from the controller's settings: ${timers.join(', ')}`,
    ...Object.entries(live.variables).map(([name, formula]) => `  ${name} = ${variables[name] as string} (${formula})`),
  ];
}
