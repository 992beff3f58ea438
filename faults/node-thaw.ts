/**
 * May a node that stood still wake up as it was? One that lost its role meanwhile must never act on what it had begun: it is ended where it stands, unless a
 * lab's drill wants to know whether its agent makes it step down.
 */
import { GamedayError } from '../core/errors';
import type { CheckResult } from '../model/record';
import type { LiveTarget } from '../targets/ports';
import type { ProcessHandle } from './node-process';

export const THAW =
  'true: it wakes up as it was even where it lost its role meanwhile, instead of being killed; in labs, where an agent runs beside it';
const EXPECTED = 'a lab, and an agent beside it';
const WITHOUT_THAW = 'leave `thaw` out: a node that lost its role meanwhile is then killed, and started in the role that is left for it.';

function thawProblem({ target }: LiveTarget, node: string, agent: ProcessHandle | null): string | null {
  if (target.kind !== 'lab') return `thaw: true may lose what clients were told is safe, and target ${target.name} is no lab`;
  return agent === null ? `no controller’s agent runs beside ${node}: once replaced, nobody would make it step down` : null;
}

/** Throws `fault_refused` where it must not wake up as it was. */
export function refuseThaw(live: LiveTarget, node: string, agent: ProcessHandle | null): void {
  const problem = thawProblem(live, node, agent);
  if (problem !== null) throw new GamedayError('fault_refused', problem, WITHOUT_THAW);
}

export function checkThaw(live: LiveTarget, node: string, agent: ProcessHandle | null): CheckResult {
  const problem = thawProblem(live, node, agent);
  return {
    name: `${node} may wake up as it was`,
    ok: problem === null,
    found: problem ?? EXPECTED,
    expected: EXPECTED,
    hint: problem === null ? null : WITHOUT_THAW,
  };
}
