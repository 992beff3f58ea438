/** Has a process that answers nowhere really started? Looks at the supervisor's word for a while; changes nothing. */
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { logTail } from '../supervisor/children';
import type { SupervisorClient } from '../supervisor/client';
import type { ChildView } from '../supervisor/contract';

const STAYS_MS = 1_500;

/** A process that answers nowhere counts as started when it has stayed up for a while: one that cannot run ends within its first second. */
export async function confirmStays(supervisor: SupervisorClient, child: ChildView): Promise<void> {
  const problem = (what: string): GamedayError =>
    new GamedayError('lab_failed', `${child.name} ${what}: ${logTail(child.logFile)}`, `read ${child.logFile}.`);
  const outcome = await until(
    async () => {
      const now = (await supervisor.status()).children.find((each) => each.name === child.name);
      if (now === undefined || now.pid !== child.pid) return now?.lastEnd ?? 'gone';
      return now.startedAt !== null && Date.now() - Date.parse(now.startedAt) >= STAYS_MS ? 'stays' : null;
    },
    { timeoutMs: STAYS_MS * 5, onTimeout: () => problem(`was not seen to stay up for ${STAYS_MS} ms`) },
  );
  if (outcome !== 'stays') throw problem(`ended right after its start (${outcome})`);
}
