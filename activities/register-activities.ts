/** Registration before anything is touched, and the workflow's own chain of events. */
import { nowUtc } from '../core/clock';
import { recordIn, registerIn } from '../evidence/drill-evidence';
import { bundlePrefix } from '../evidence/register';
import type { ControlActivities, RegistrationRef } from './contract';
import { evidenceOf, type Hand } from './open-drill';

export async function register(
  hand: Hand,
  { plan, planSha256, owner, startedBy }: Parameters<ControlActivities['register']>[0],
): Promise<RegistrationRef> {
  const { key: _key, ...registered } = await registerIn(evidenceOf(hand, plan), { plan, planSha256, owner, startedBy, at: nowUtc() });
  return registered;
}

export async function recordEvents(hand: Hand, { plan, drill, events }: Parameters<ControlActivities['recordEvents']>[0]): Promise<void> {
  await recordIn(evidenceOf(hand, plan), bundlePrefix(plan.target.name, drill), 'workflow', events);
}
