/**
 * What was seen hurt outside the declared reach of a drill's faults: a rule over what the record already holds, each finding with where it is to be seen.
 * That nothing was seen stands beside what was watched; where nothing was, that is said, for then "none" would be a guess. Pure; it judges nothing.
 */
import { formatMs } from '../core/units';
import { SAMPLER_HZ } from '../model/constants';
import type { DrillRecord, FaultReach, ImpactSeen, Maybe, NodeSpan, UnintendedImpact } from '../model/record';

type Facts = Pick<
  DrillRecord,
  'target' | 'nodeSpans' | 'probeEpoch' | 'splitBrain' | 'unlocked' | 'rto' | 'steps' | 'phases' | 'deviations' | 'left'
>;

/** Steps and phases are told by the workflow's clock, nodes by the prober's: what lies so near together may be the same moment. */
const TWO_CLOCKS_MS = 2_000;

export function unintendedImpact(record: Facts, reach: Maybe<readonly FaultReach[]>): Maybe<UnintendedImpact> {
  if ('notRecorded' in reach) return reach;
  const reached = [...new Set(reach.flatMap(({ nodes }) => nodes))].sort();
  const seen = [
    ...silentNodes(record, reached),
    ...changedRoles(record, reached),
    ...otherWriters(record, reached),
    ...lateProber(record),
    ...endedEarly(record),
    ...record.left.map((what): ImpactSeen => ({ kind: 'left behind', subject: record.target.name, what, evidence: 'left' })),
  ];
  if (record.nodeSpans.length === 0 && seen.length === 0)
    return { notRecorded: 'nothing was watched: no prober asked the nodes in this drill' };
  return { basis: basisOf(record), reached, seen };
}

/** On what "none seen" rests. */
function basisOf({ target, nodeSpans }: Facts): string {
  const rest = 'how each fault ended and what was left behind were looked at when the record was made';
  const watched = target.nodes.filter((name) => nodeSpans.some(({ node }) => node === name));
  if (watched.length === 0) return `no prober asked the nodes; ${rest}`;
  const fromMs = Math.min(...nodeSpans.map((span) => span.fromMs));
  const toMs = Math.max(...nodeSpans.map((span) => span.toMs));
  const unseen = target.nodes.filter((name) => !watched.includes(name));
  return `the prober asked ${watched.join(', ')} ${SAMPLER_HZ} times a second what they are, for ${formatMs(toMs - fromMs)}${
    unseen.length === 0 ? '' : ` (not asked: ${unseen.join(', ')})`
  }; ${rest}`;
}

/** One entry a node: a node that flaps must not fill the page. What begins in the drill's own failover or rebuilding is its work, not an accident. */
function silentNodes(record: Facts, reached: readonly string[]): readonly ImpactSeen[] {
  const ours = ownWork(record);
  const silent = record.nodeSpans.filter(
    ({ node, role, fromMs }) =>
      role === 'down' && !reached.includes(node) && !ours.some((span) => fromMs >= span.fromMs && fromMs <= span.toMs),
  );
  return nodesOf(silent).map((node) => {
    const spans = silent.filter((span) => span.node === node);
    const totalMs = spans.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
    return {
      kind: 'node silent',
      subject: node,
      what: `did not answer the prober for ${formatMs(totalMs)} in all, in ${times(spans)}; no fault reached it`,
      evidence: at('nodeSpans', spans),
    };
  });
}

function changedRoles(record: Facts, reached: readonly string[]): readonly ImpactSeen[] {
  const { nodeSpans } = record;
  return nodesOf(nodeSpans).flatMap((node) => {
    if (reached.includes(node)) return [];
    const roles = nodeSpans.filter((span) => span.node === node && span.role !== 'down');
    const changes = roles.filter((span, index) => index > 0 && span.role !== roles[index - 1]?.role && !isExplained(record, reached, span));
    const [first] = changes;
    if (first === undefined) return [];
    const what = `became ${first.role} without a failover step or a lost primary that explains it, in ${times(changes)}; no fault reached it`;
    return [{ kind: 'role changed', subject: node, what, evidence: at('nodeSpans', changes) }];
  });
}

/** By a failover of the drill that had begun, by its rebuilding, or because a primary had been broken or was silent. */
function isExplained(record: Facts, reached: readonly string[], { fromMs }: NodeSpan): boolean {
  const { nodeSpans, steps } = record;
  const hasFailedOver = steps.some(
    ({ kind, startedAt }) => kind === 'failover' && startedAt !== null && since(record, startedAt) <= fromMs,
  );
  if (hasFailedOver || ownWork(record).some((span) => fromMs >= span.fromMs && fromMs <= span.toMs)) return true;
  const primaries = nodesOf(nodeSpans.filter((span) => span.role === 'primary' && span.fromMs < fromMs));
  return primaries.some(
    (primary) =>
      reached.includes(primary) || nodeSpans.some((span) => span.node === primary && span.role === 'down' && span.fromMs < fromMs),
  );
}

function otherWriters({ splitBrain, unlocked }: Facts, reached: readonly string[]): readonly ImpactSeen[] {
  const outside = (nodes: readonly string[]): string => nodes.filter((node) => !reached.includes(node)).join(', ');
  const pairs = [...new Set(splitBrain.map(({ nodes }) => nodes.join(' and ')))].flatMap((subject): ImpactSeen[] => {
    const spans = splitBrain.filter(({ nodes }) => nodes.join(' and ') === subject);
    const hurt = outside(spans[0]?.nodes ?? []);
    if (hurt === '') return [];
    return [
      {
        kind: 'two writers',
        subject,
        what: `took writes at the same time, in ${times(spans)}; no fault reached ${hurt}`,
        evidence: 'splitBrain',
      },
    ];
  });
  const alone = nodesOf(unlocked).flatMap((node): ImpactSeen[] => {
    if (reached.includes(node)) return [];
    const spans = unlocked.filter((span) => span.node === node);
    const what = `took writes while the controller held another for the primary, or nobody, in ${times(spans)}; no fault reached it`;
    return [{ kind: 'writes without the lead', subject: node, what, evidence: 'unlocked' }];
  });
  return [...pairs, ...alone];
}

/** Our own instrument is outside the reach of every fault. */
function lateProber({ rto }: Facts): readonly ImpactSeen[] {
  if ('notRecorded' in rto || rto.starvedMs === 0) return [];
  const what = `was kept from its work for ${formatMs(rto.starvedMs)}: what clients would have seen then is not known`;
  return [{ kind: 'prober late', subject: 'prober', what, evidence: 'rto.starvedMs' }];
}

/** Ended by the guardian, a halt or a worker in the drill's place. */
function endedEarly({ deviations = [] }: Facts): readonly ImpactSeen[] {
  return deviations
    .filter(({ kind }) => kind === 'ended early')
    .map(({ step, planned, actual }) => ({ kind: 'fault ended early', subject: step, what: `${planned}; ${actual}`, evidence: 'faults' }));
}

interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

/** When the drill itself stopped and started nodes. */
function ownWork(record: Facts): readonly Window[] {
  const { steps, phases } = record;
  return [
    ...steps.filter(({ kind }) => kind === 'failover' || kind === 'rebuild'),
    ...phases.filter(({ phase }) => phase === 'restore redundancy'),
  ].flatMap(({ startedAt, endedAt }) =>
    startedAt === null || endedAt === null ? [] : [{ fromMs: since(record, startedAt), toMs: since(record, endedAt) + 2 * TWO_CLOCKS_MS }],
  );
}

/** On the prober's clock, at the earliest. */
function since({ probeEpoch }: Facts, time: string): number {
  return typeof probeEpoch === 'string' ? Date.parse(time) - Date.parse(probeEpoch) - TWO_CLOCKS_MS : NaN;
}

function nodesOf(spans: readonly { readonly node: string }[]): readonly string[] {
  return [...new Set(spans.map(({ node }) => node))].sort();
}

function times(spans: readonly unknown[]): string {
  return spans.length === 1 ? '1 span' : `${spans.length} spans`;
}

function at(field: string, [first]: readonly Window[]): string {
  return first === undefined ? field : `${field}, the first from ${formatMs(first.fromMs)} to ${formatMs(first.toMs)} of the prober’s time`;
}
