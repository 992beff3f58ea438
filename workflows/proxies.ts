/**
 * The workflows' hands: one proxy per group of activities, each with timeouts and retries stated. Nothing relies on a default.
 * Undo has a task queue of its own, so that a busy site can never delay healing.
 */
import { proxyActivities } from '@temporalio/workflow';
import type { ActivityOptions, RetryPolicy } from '@temporalio/common';
import type { ControlActivities, SiteActivities, UndoActivities } from '../activities/contract';
import { taskQueues } from '../core/ids';

const QUICK_RETRY: RetryPolicy = { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '5s', maximumAttempts: 5 };
/** A worker that died is noticed by its missed heartbeat; then the activity starts again elsewhere and attaches to what already runs. */
const RESUMED: RetryPolicy = { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '5s', maximumAttempts: 20 };
/** Outlasts a guardian that died and is started again. */
const ONCE_MORE: RetryPolicy = { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '2s', maximumAttempts: 5 };

const HEARTBEAT = '8s';
/** Where nobody serves the undo queue the drill must not go on renewing what it cannot heal: it ends unsafe, and the leases run out. */
const UNDO_STARTS_WITHIN = '3m';

export interface Hands {
  readonly control: ReturnType<typeof proxyActivities<ControlActivities>>;
  /** Registration is tried for 30 s; a store that stays away means the drill does not start. */
  readonly registrar: ReturnType<typeof proxyActivities<Pick<ControlActivities, 'register'>>>;
  /** Events are tried for 20 s at a time; what could not be written is written later. */
  readonly scribe: ReturnType<typeof proxyActivities<Pick<ControlActivities, 'recordEvents'>>>;
  readonly site: ReturnType<typeof proxyActivities<SiteActivities>>;
  /** Long activities with heartbeats; `limitMs` bounds one attempt. */
  long(limitMs: number): ReturnType<typeof proxyActivities<SiteActivities>>;
  /** For what must not be repeated blindly; the activity is idempotent by token, so a few attempts are safe. */
  readonly careful: ReturnType<typeof proxyActivities<SiteActivities>>;
  readonly undo: ReturnType<typeof proxyActivities<UndoActivities>>;
  /** Healing several at once is tried three times: after that each is tried by itself. */
  readonly undoTogether: ReturnType<typeof proxyActivities<Pick<UndoActivities, 'undoFaults'>>>;
}

export function openHands(site: string): Hands {
  const queues = taskQueues(site);
  const at = (taskQueue: string, options: ActivityOptions): ActivityOptions => ({ taskQueue, ...options });
  return {
    control: proxyActivities<ControlActivities>(at(queues.control, { startToCloseTimeout: '2m', heartbeatTimeout: '30s', retry: RESUMED })),
    registrar: proxyActivities<Pick<ControlActivities, 'register'>>(
      at(queues.control, { startToCloseTimeout: '10s', scheduleToCloseTimeout: '30s', retry: QUICK_RETRY }),
    ),
    scribe: proxyActivities<Pick<ControlActivities, 'recordEvents'>>(
      at(queues.control, { startToCloseTimeout: '10s', scheduleToCloseTimeout: '20s', retry: QUICK_RETRY }),
    ),
    site: proxyActivities<SiteActivities>(at(queues.site, { startToCloseTimeout: '45s', heartbeatTimeout: HEARTBEAT, retry: QUICK_RETRY })),
    long: (limitMs) =>
      proxyActivities<SiteActivities>(at(queues.site, { startToCloseTimeout: limitMs, heartbeatTimeout: HEARTBEAT, retry: RESUMED })),
    careful: proxyActivities<SiteActivities>(
      at(queues.site, { startToCloseTimeout: '60s', heartbeatTimeout: HEARTBEAT, retry: ONCE_MORE }),
    ),
    undoTogether: proxyActivities<Pick<UndoActivities, 'undoFaults'>>(
      at(queues.undo, {
        scheduleToStartTimeout: UNDO_STARTS_WITHIN,
        startToCloseTimeout: '90s',
        heartbeatTimeout: HEARTBEAT,
        retry: { initialInterval: '200ms', maximumAttempts: 3 },
      }),
    ),
    undo: proxyActivities<UndoActivities>(
      at(queues.undo, {
        scheduleToStartTimeout: UNDO_STARTS_WITHIN,
        startToCloseTimeout: '90s',
        heartbeatTimeout: HEARTBEAT,
        retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '5s', maximumAttempts: 6 },
      }),
    ),
  };
}
