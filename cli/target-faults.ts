/**
 * Each fault of the registry against one target: possible, possible once something is done, or not possible there, each with its reason. Whether it would work
 * is asked of the fault itself (`ready`), with modest settings; nothing is injected.
 */
import { GamedayError, messageOf } from '../core/errors';
import { faultLabel, NO_MEMORY } from '../faults/contract';
import { FAULTS, type AnyFault } from '../faults/registry';
import type { Allow } from '../faults/guardian/allow';
import { nativeArchiveOf, type Target } from '../model/target';
import { permitOf } from '../targets/policy';
import type { LiveTarget } from '../targets/ports';
import { within } from './target-deadline';

export type FaultState = 'possible' | 'once' | 'not';

export interface FaultLine {
  readonly fault: string;
  readonly summary: string;
  readonly state: FaultState;
  /** For `once` what must be done first, for `not` why; empty where it is possible. */
  readonly reasons: readonly string[];
}

const READY_MS = 12_000;
const AT_ONCE = 4;
/** Stands for a drill while there is none. */
const NO_DRILL = 'drill-000000';

/** Link to try: the first that somebody opens between nodes, else any. */
function endsOf(target: Target): { readonly from: string; readonly to: string } {
  const links = target.links?.list ?? [];
  const nodes = new Set(target.nodes.map(({ name }) => name));
  if (links.some(({ from, to }) => nodes.has(from) && nodes.has(to))) return { from: 'standbys', to: 'primary' };
  const [first] = links;
  return first === undefined ? { from: 'client', to: 'router' } : { from: first.from, to: first.to };
}

/** Settings by which a fault is tried here, harmless as all of them are until they are injected. */
export function trialSettings(fault: string, target: Target): object {
  const node = target.nodes.length > 1 ? 'any-standby' : 'primary';
  const ends = endsOf(target);
  switch (fault) {
    case 'link-latency':
      return { ...ends, latency: '100ms' };
    case 'link-bandwidth':
      return { ...ends, rate: '64kB' };
    case 'link-cut':
    case 'link-reset':
    case 'link-drip':
    case 'link-flap':
      return ends;
    case 'process-kill':
    case 'process-freeze':
    case 'process-restart':
    case 'host-stop':
    case 'host-net-cut':
    case 'container-pause':
    case 'container-disconnect':
    case 'disk-full':
      return { node };
    case 'service-kill':
    case 'service-freeze':
      return { service: target.services?.[0]?.name ?? 'router' };
    case 'page-corrupt':
      return { node: 'any-standby' };
    case 'clock-skew':
      return { node, by: '+60s' };
    case 'cpu-starved':
      return { node, share: 20 };
    case 'disk-slow':
      return { node, iops: 20 };
    case 'memory-starved':
      return { node, limit: '64MB' };
    case 'archive-unavailable':
      return target.links === null && nativeArchiveOf(target)?.gate !== undefined ? { how: 'error-503' } : {};
    default:
      return {};
  }
}

/** What this target can never give the fault as it is written; null: nothing of the kind. */
function structural(fault: string, target: Target): string | null {
  if (fault.startsWith('link-') && (target.links === null || target.links.list.length === 0))
    return 'no path leads through Toxiproxy (`links` in the target file)';
  if (fault.startsWith('service-') && (target.services ?? []).length === 0)
    return 'no member of the store, router or pooler is named (`services` in the target file)';
  if (fault.startsWith('archive-') && nativeArchiveOf(target) === null) return 'the target has no archive of gameday’s own';
  if (fault === 'archive-unavailable' && target.links === null && nativeArchiveOf(target)?.gate === undefined)
    return 'neither a link to the store nor a gate in front of it is named';
  if (fault.startsWith('container-') && target.nodes.every(({ runsOn }) => runsOn.kind !== 'docker'))
    return 'no node runs in a container (`runsOn: { kind: docker }` in the target file)';
  if (fault === 'automation-paused' && !['patroni', 'repmgr'].includes(target.controller.kind))
    return 'the controller has no maintenance mode that gameday knows';
  if (['page-corrupt', 'promote-behind-back', 'sync-standby-loss'].includes(fault) && target.nodes.length < 2) return 'there is no standby';
  if (fault === 'sync-standby-loss' && target.controller.syncStandbys === 0) return 'replication is asynchronous: commits wait for nobody';
  return null;
}

/** What the owners of target and machine have not said yet. */
function permissions(fault: AnyFault, target: Target, allow: Allow | string): string[] {
  const reasons: string[] = [];
  if (permitOf(target.policy, fault.name) === null) reasons.push('policy.allowFaults names it');
  if (losesWrites(fault, target) && !target.policy.acceptDataLoss && target.kind !== 'lab')
    reasons.push('policy.acceptDataLoss is true: it may lose acknowledged writes');
  if (typeof allow === 'string') reasons.push('the guardian’s allow file can be read');
  else if (!allow.faults.includes(fault.name)) reasons.push('the guardian’s allow file lists it under `faults`');
  if (target.kind === 'production' && target.policy.approvers === null)
    reasons.push('policy.approvers names who may approve on production');
  return reasons;
}

function losesWrites(fault: AnyFault, target: Target): boolean {
  const settings = fault.schema.safeParse(trialSettings(fault.name, target));
  return settings.success && fault.mayLoseWrites(settings.data);
}

/** One line each, in the registry's order. `unreachable`: why nothing can be asked of the nodes; null: they answer. */
export async function assessFaults(live: LiveTarget, allow: Allow | string, unreachable: string | null): Promise<readonly FaultLine[]> {
  const lines: FaultLine[] = [];
  for (let at = 0; at < FAULTS.length; at += AT_ONCE)
    lines.push(...(await Promise.all(FAULTS.slice(at, at + AT_ONCE).map((fault) => assess(fault, live, allow, unreachable)))));
  return lines;
}

async function assess(fault: AnyFault, live: LiveTarget, allow: Allow | string, unreachable: string | null): Promise<FaultLine> {
  const { target } = live;
  const line = (state: FaultState, reasons: readonly string[]): FaultLine => ({
    fault: fault.name,
    summary: fault.summary,
    state,
    reasons,
  });
  const never = structural(fault.name, target);
  if (never !== null) return line('not', [never]);
  const reasons = [...(unreachable === null ? await askFault(fault, live) : [unreachable]), ...permissions(fault, target, allow)];
  return line(reasons.length === 0 ? 'possible' : 'once', reasons);
}

/** What fails of the fault's own pre-flight, in words. Never rejects. */
async function askFault(fault: AnyFault, live: LiveTarget): Promise<string[]> {
  try {
    const settings = fault.schema.parse(trialSettings(fault.name, live.target));
    const context = { live, drill: NO_DRILL, label: faultLabel(NO_DRILL, 'check'), memory: NO_MEMORY };
    const checks = await within(READY_MS, fault.ready(settings, context));
    return checks
      .filter(({ ok }) => !ok)
      .map(({ name, found, hint }) => `${name} (${found.split('\n')[0] ?? ''})${hint === null ? '' : `; ${hint}`}`);
  } catch (error) {
    return [`${messageOf(error).split('\n')[0] ?? ''}${error instanceof GamedayError ? `; ${error.hint}` : ''}`];
  }
}
