/** Faults put on a lab by the guardian alone, as the activities of a drill would have it do: for whatever tries the guardian more often than drills could. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { drillName, drillWorkflowId } from '../../core/ids';
import { faultLabel, NO_MEMORY } from '../../faults/contract';
import { openGuardian, type GuardianClient } from '../../faults/guardian/client';
import { findFault } from '../../faults/registry';
import type { JsonObject } from '../../model/json';
import type { LeaseKey, LeaseView } from '../../model/fault';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';

export interface Wanted {
  readonly fault: string;
  readonly with: JsonObject;
}

/** One run of faults that belong together: a drill's name and a workflow run that Temporal knows nothing of, so nobody renews for it. */
export class DirectRun {
  readonly drill: string;
  private readonly runId = randomUUID();
  readonly guardian: GuardianClient;

  constructor(
    private readonly target: Target,
    sequence: number,
  ) {
    this.drill = drillName(sequence);
    this.guardian = openGuardian(join(target.runDir, 'guardian.sock'));
  }

  /** Resolves when it stands and is confirmed. Throws what the fault or the guardian refuses with; nothing stands of it then. */
  async stand(
    step: string,
    wanted: Wanted,
    { ttlMs, maxMs = 120_000 }: { readonly ttlMs: number; readonly maxMs?: number },
  ): Promise<LeaseKey> {
    const fault = findFault(wanted.fault);
    const context = { live: openTarget(this.target), drill: this.drill, label: faultLabel(this.drill, step), memory: NO_MEMORY };
    const resolved = await fault.resolve(fault.schema.parse(wanted.with), context);
    const key = { workflowId: drillWorkflowId(this.target.systemIdentifier), runId: this.runId, step };
    const handle = {
      fault: wanted.fault,
      drill: this.drill,
      resolved,
      preview: fault.preview(resolved),
      manualUndo: fault.manualUndo(resolved, this.target),
    };
    await this.guardian.arm({ key, handle, target: this.target, ttlMs, maxMs });
    const { confirmed } = await this.guardian.inject(key);
    if (!confirmed.holds) throw new GamedayError('fault_unconfirmed', `${wanted.fault}: ${confirmed.by}`);
    return key;
  }

  async mine(): Promise<readonly LeaseView[]> {
    return (await this.guardian.list()).filter(({ key }) => key.runId === this.runId);
  }

  /** Resolves when each of this run's leases is proven gone. */
  async untilGone(timeoutMs: number): Promise<readonly LeaseView[]> {
    return until(
      async () => {
        const leases = await this.mine();
        return leases.every(({ state }) => state === 'gone') ? leases : null;
      },
      { timeoutMs, everyMs: 10, onTimeout: () => new Error(`faults of ${this.drill} still stand after ${timeoutMs} ms`) },
    );
  }
}
