/** Failover and redundancy: asked of the controller, with the prober's receipts around every instant. */
import { askUntil } from '../core/clock';
import { lineageDifferences, readLineage } from '../targets/controllers/lineage';
import { openTarget } from '../targets/open-target';
import type { FailoverResult, NodeStatus, SalvageResult, Topology } from '../targets/ports';
import type { ForkRecord } from '../model/record';
import { GamedayError, messageOf } from '../core/errors';
import { canonicalJson } from '../core/canonical-json';
import type { RedundancyResult, SiteActivities } from './contract';
import { examineFork } from './examine-fork';
import { stamp, stepToken, cancellable } from './open-drill';

export async function failover({ plan, step, probe, since }: Parameters<SiteActivities['failover']>[0]): Promise<FailoverResult> {
  const { controller } = openTarget(plan.target);
  return cancellable((signal) =>
    controller.failover({
      token: stepToken(step.id),
      candidate: step.candidate,
      since: since ?? null,
      timeoutMs: step.timeoutMs,
      signal,
      on: async (name, phase) => {
        await stamp(probe, name, phase, step.id);
      },
    }),
  );
}

const REWOUND = 'the node was rewound by its own controller before anybody could ask it; its WAL is in the quarantine';

/** Rejoins or rebuilds what does not stream, then compares the topology with the one at the start. */
export async function restoreRedundancy({
  plan,
  probe,
  before,
}: Parameters<SiteActivities['restoreRedundancy']>[0]): Promise<RedundancyResult> {
  const live = openTarget(plan.target);
  const { controller } = live;
  return cancellable(async (signal) => {
    await stamp(probe, 'redundant', 'about-to', 'target');
    const rejoined: RedundancyResult['rejoined'][number][] = [];
    const salvages: SalvageResult[] = [];
    const forks: ForkRecord[] = [];
    const failures: string[] = [];
    const now = await controller.topology();
    for (const { name } of plan.target.nodes) {
      if (name === now.primary || ((now.replication[name] ?? '') !== '' && !isLedBack(controller.kind, before, now, name))) continue;
      try {
        const started = await controller.startNode(name);
        if (started.salvage !== null) {
          salvages.push(started.salvage);
          // Before the rebuild below: afterwards nobody can ask the old primary any more.
          if (now.primary !== null) forks.push(await examineFork(live, started.salvage, { plan, probe, survivor: now.primary }));
        }
        const result = await controller.rejoin(name, { timeoutMs: 5 * 60_000, signal });
        rejoined.push({ node: name, method: result.method, movedAside: result.movedAside });
      } catch (error) {
        signal.throwIfAborted();
        failures.push(`${name} could not be rejoined: ${messageOf(error)}`);
      }
    }
    const timelines = before.nodes.map(({ timeline }) => timeline ?? 0);
    for (const saved of (await controller.salvages?.(Math.max(0, ...timelines))) ?? []) {
      if (now.primary === null || salvages.some(({ node }) => node === saved.node)) continue;
      salvages.push(saved);
      forks.push(await examineFork(live, saved, { plan, probe: { notRecorded: REWOUND }, survivor: now.primary }));
    }
    const read = async (): Promise<Topology> => {
      const topology = await controller.topology();
      return { ...topology, lineage: await readLineage(live, topology) };
    };
    const after = await settled(read, before, signal);
    const differences = [...failures, ...topologyDifferences(before, after)];
    await stamp(probe, 'redundant', 'done', 'target', { regained: differences.length === 0 });
    return { regained: differences.length === 0, rejoined, salvages, forks, differences };
  });
}

/** Does a standby that streams have to be led back to whom it streamed from? Who acts by itself does that by itself. */
const isLedBack = (kind: string, before: Topology, now: Topology, name: string): boolean =>
  kind === 'standalone' && strayedFrom(before, now, name) !== null;

/** The standby from which `name` streamed before and could again, since it is one still; null where it does, or did not stream from a standby. */
function strayedFrom(before: Topology, after: Topology, name: string): string | null {
  const of = ({ nodes }: Topology, wanted: string | null): NodeStatus | undefined => nodes.find(({ node }) => node === wanted);
  const upstream = of(before, name)?.streamingFrom ?? null;
  if (upstream === null || upstream === before.primary || name === after.primary) return null;
  const [there, own] = [of(after, upstream), of(after, name)];
  return there?.up === true && there.inRecovery === true && own?.up === true && own.streamingFrom !== upstream ? upstream : null;
}

/** A standby's sync state settles a moment after it streams: the comparison is repeated for at most 20 s. */
async function settled(read: () => Promise<Topology>, before: Topology, signal: AbortSignal): Promise<Topology> {
  return askUntil(read, (now) => topologyDifferences(before, now).length === 0, { timeoutMs: 20_000, everyMs: 500, signal });
}

/**
 * What differs between two topologies, in words. Which node is primary may differ after a failover; that everything is
 * redundant in the same degree, with the same settings and slots, may not.
 */
export function topologyDifferences(before: Topology, after: Topology): string[] {
  const found: string[] = [];
  const count = (topology: Topology): number => Object.keys(topology.replication).length;
  if (after.primary === null) found.push('no primary');
  if (count(after) < count(before)) found.push(`${count(after)} standbys stream, ${count(before)} did at the start`);
  const timeline = after.nodes.find(({ node }) => node === after.primary)?.timeline ?? null;
  for (const node of after.nodes)
    if (node.up && node.timeline !== null && timeline !== null && node.timeline !== timeline)
      found.push(`${node.node} is on timeline ${node.timeline}, the primary on ${timeline}`);
  found.push(...lineageDifferences(before.lineage, after.lineage));
  for (const { node, streamingFrom } of after.nodes) {
    const upstream = strayedFrom(before, after, node);
    if (upstream !== null)
      found.push(`${node} streams from ${streamingFrom ?? 'nobody'}, and did from ${upstream}, which is a standby still`);
  }
  for (const node of after.nodes) if (!node.up) found.push(`${node.node} is down: ${node.error ?? 'no reason given'}`);
  // Where no router is known, it leads nowhere before and after.
  if ((before.routed.length > 0 || after.routed.length > 0) && (after.routed.length !== 1 || after.routed[0] !== after.primary))
    found.push(`the router leads to ${after.routed.join(', ') || 'nobody'}, the primary is ${after.primary ?? 'nobody'}`);
  for (const [node, settings] of Object.entries(before.settings)) {
    for (const [name, value] of Object.entries(settings)) {
      const now = after.settings[node]?.[name];
      if (now !== value) found.push(`${node}: ${name} is ${now ?? 'unknown'}, was ${value}`);
    }
  }
  if (canonicalJson(before.slots) !== canonicalJson(after.slots))
    found.push(`replication slots are ${canonicalJson(after.slots)}, were ${canonicalJson(before.slots)}`);
  return found;
}

export function requirePrimary(topology: Pick<Topology, 'primary'>): string {
  if (topology.primary === null) throw new GamedayError('step_failed', 'no primary is up');
  return topology.primary;
}
