/**
 * How much may be broken at once: policy, the faults that stand, the one to come → nothing, or what forbids it and where that is written. Pure; the
 * guardian's answer at arming is the last word, everybody else asks to be told earlier. It counts by name and reach only, never by settings.
 *
 * ```
 *   n1 ✕ process-kill (stands)      maxNodesAtOnce   |{n1} ∪ {n2}| = 2 > 1
 *   n2 ✕ link-cut     (to come)     majority         3 − 2 = 1 node whole, 2 needed
 *   n3                              synchronous      1 − the primary = 0 standbys whole, 1 waited for
 *   e1 e2 ✕ service-kill            the store        3 − 2 = 1 member whole, 2 needed
 * ```
 */
import { lineOf, type YamlPath } from '../core/yaml-places';
import type { Plan } from '../model/plan';
import { bookKeepers, type Target } from '../model/target';
import { blastLimits, permitOf } from '../targets/policy';

/** A fault as far as limits are concerned. `nodes`: its reach. */
export interface Hurt {
  readonly fault: string;
  readonly nodes: readonly string[];
}

export interface Forbidden {
  /** The key that forbids it, within the target file (`policy.…`) or the allow file. */
  readonly path: YamlPath;
  /** What it says, and what was wanted. */
  readonly why: string;
  readonly hint: string;
}

type Bounds = Pick<Target, 'nodes' | 'controller'> & { readonly policy: Pick<Target['policy'], 'allowFaults'> & Partial<Target['policy']> };

/** Null when it may be armed beside `standing`. What hurts no node is only asked for its permit. */
export function findForbidden(target: Bounds, standing: readonly Hurt[], coming: Hurt): Forbidden | null {
  const permit = permitOf(target.policy, coming.fault);
  if (permit === null)
    return {
      path: ['policy', 'allowFaults'],
      why: `policy.allowFaults does not list ${coming.fault}`,
      hint: 'add it to policy.allowFaults of the target file, if the target’s owner agrees.',
    };
  if (coming.nodes.length === 0) return null;
  const sameKind = union([...standing.filter((each) => each.fault === coming.fault), coming]);
  if (permit.maxNodes !== null && sameKind.length > permit.maxNodes)
    return {
      path: ['policy', 'allowFaults', permit.index, 'maxNodes'],
      why: `policy.allowFaults[${permit.index}].maxNodes is ${permit.maxNodes} for ${coming.fault}, which would hurt ${count(sameKind)}`,
      hint: 'heal the earlier one first, aim at fewer nodes, or ask the target’s owner to raise the limit.',
    };
  return overWhole(target, union([...standing, coming]), coming);
}

function overWhole(target: Bounds, hurt: readonly string[], coming: Hurt): Forbidden | null {
  const { maxNodesAtOnce, allowQuorumLoss } = blastLimits(target.policy);
  const with_ = `with ${coming.fault} the faults that stand would hurt ${count(hurt)}`;
  if (hurt.length > maxNodesAtOnce)
    return {
      path: ['policy', 'maxNodesAtOnce'],
      why: `policy.maxNodesAtOnce is ${maxNodesAtOnce}; ${with_}`,
      hint: 'heal the earlier one first, or ask the target’s owner to raise policy.maxNodesAtOnce.',
    };
  if (allowQuorumLoss) return null;
  const forbidden = (why: string): Forbidden => ({
    path: ['policy', 'allowQuorumLoss'],
    why: `policy.allowQuorumLoss is false; ${with_}, ${why}`,
    hint: 'heal the earlier one first, or ask the target’s owner to say allowQuorumLoss: true.',
  });
  const keepers = bookKeepers(target.controller);
  const left = keepers.length - keepers.filter((name) => hurt.includes(name)).length;
  if (left < keepers.length && 2 * left <= keepers.length)
    return forbidden(`and leave ${left} of ${keepers.length} members of the store whole, which is no majority`);
  const whole = target.nodes.filter(({ name }) => !hurt.includes(name)).length;
  if (2 * whole <= target.nodes.length) return forbidden(`and leave ${whole} of ${target.nodes.length} whole, which is no majority`);
  // One of those left is the primary, or becomes it. Who streams from a standby confirms nothing.
  const waitsFor = target.controller.syncStandbys;
  const first = target.nodes.filter(({ name, upstream }) => !hurt.includes(name) && upstream === undefined).length;
  // Where `upstream` names the primary itself, none may be left: that is no fewer than none.
  const confirming = Math.max(0, first - 1);
  if (confirming < waitsFor)
    return forbidden(`and leave ${confirming} standby${confirming === 1 ? '' : 's'} whole where commits wait for ${waitsFor}`);
  return null;
}

/** `shop.yaml:41: policy.maxNodesAtOnce is 1; …`. */
export function atLine(source: Plan['targetSource'], { path, why }: Pick<Forbidden, 'path' | 'why'>): string {
  return `${source.file ?? 'target file'}:${lineOf(source.source, path)}: ${why}`;
}

function union(faults: readonly Hurt[]): readonly string[] {
  return [...new Set(faults.flatMap(({ nodes }) => nodes))].sort();
}

function count(nodes: readonly string[]): string {
  return `${nodes.length} node${nodes.length === 1 ? '' : 's'} (${nodes.join(', ')})`;
}
