/**
 * How long pg_auto_failover takes to replace a lost primary, from the monitor's live settings. Pure.
 * Sources: its documentation ("Configuring pg_auto_failover", "Failover State Machine"), and what we measured (docs/BENCHMARKS.md).
 */
import type { PredictedFailover, PredictedSegment } from '../../model/measurement';
import type { MonitorTimers } from './pg-auto-failover-monitor';

/** Keepers report, and are told their next state, once a second; a busy one a little later. */
const BEAT_MS = 1_000;
/** Reporting positions and preparing the promotion: a beat of the slowest keeper each. */
const DECISION_MS = { lowMs: 0, highMs: 5_000 };
const PROMOTION_MS = { lowMs: 0, highMs: 4_000 };
/** Health checks of routers, and the keeper that makes the new primary writable. */
const ROUTING_MS = 5_000;
const RECONNECT_MS = 5_000;

/** For the loss of the whole node, its keeper with it. */
export function pgAutoFailoverBand(timers: MonitorTimers): PredictedFailover {
  const { healthCheckPeriodMs, healthCheckTimeoutMs, healthCheckRetries, healthCheckRetryDelayMs, unhealthyTimeoutMs, demoteTimeoutMs } =
    timers;
  const checksMs = healthCheckPeriodMs + (1 + healthCheckRetries) * healthCheckTimeoutMs + healthCheckRetries * healthCheckRetryDelayMs;
  const segments: readonly PredictedSegment[] = [
    {
      name: 'detection',
      lowMs: Math.max(0, unhealthyTimeoutMs - 2 * BEAT_MS),
      highMs: Math.max(unhealthyTimeoutMs, checksMs) + 2 * BEAT_MS,
      formula: `no report for node_considered_unhealthy_timeout ${unhealthyTimeoutMs} ms and failed health checks, at most ${checksMs} ms, seen by another keeper's next report`,
    },
    { name: 'decision', ...DECISION_MS, formula: 'the standbys report their positions, one is chosen: a beat of a second each' },
    { name: 'promotion', ...PROMOTION_MS, formula: 'end of recovery, at the chosen keeper’s next beat' },
    {
      name: 'routing',
      lowMs: Math.max(0, demoteTimeoutMs - PROMOTION_MS.highMs),
      highMs: demoteTimeoutMs + ROUTING_MS,
      formula: `read-only for primary_demote_timeout ${demoteTimeoutMs} ms, in which the old primary must stop; then health checks`,
    },
    { name: 'client recovery', lowMs: 0, highMs: RECONNECT_MS, formula: `reconnecting up to ${RECONNECT_MS} ms` },
  ];
  return {
    lowMs: segments.reduce((sum, each) => sum + each.lowMs, 0),
    highMs: segments.reduce((sum, each) => sum + each.highMs, 0),
    formula: `loss of the primary's node and keeper: ${segments.map(({ name, formula }) => `${name}: ${formula}`).join('; ')}`,
    segments,
  };
}
