/** Registration before anything is touched, and the workflow's own chain of events. */
import { nowUtc } from '../core/clock';
import { homePaths } from '../core/home';
import { recordEvents as appendEvents } from '../evidence/events';
import { bundlePrefix, registerDrill } from '../evidence/register';
import { openSigner } from '../evidence/signing';
import { openEvidenceStore } from '../evidence/store';
import type { ControlActivities, RegistrationRef } from './contract';
import { drillsDir, type Hand } from './open-drill';

export async function register(
  hand: Hand,
  { plan, planSha256, owner, startedBy }: Parameters<ControlActivities['register']>[0],
): Promise<RegistrationRef> {
  const { drill, sequence, registrationSha256, previousRegistrationSha256, registeredAt } = await registerDrill({
    store: openEvidenceStore(drillsDir(hand)),
    targetName: plan.target.name,
    systemIdentifier: plan.target.systemIdentifier,
    owner,
    planSha256,
    objectives: plan.objectives,
    startedBy,
    at: nowUtc(),
    signer: openSigner(homePaths(hand.home).keys),
  });
  return { drill, sequence, registrationSha256, previousRegistrationSha256, registeredAt };
}

export async function recordEvents(hand: Hand, { plan, drill, events }: Parameters<ControlActivities['recordEvents']>[0]): Promise<void> {
  await appendEvents(openEvidenceStore(drillsDir(hand)), bundlePrefix(plan.target.name, drill), 'workflow', events);
}
