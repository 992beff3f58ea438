/**
 * How long Patroni takes to replace a lost primary, from its live settings: a band, because the phase of its loop is random. Pure.
 * Sources: Patroni's documentation of ttl, loop_wait, retry_timeout (dynamic configuration), its FAQ on failover time, and what we measured (docs/BENCHMARKS.md).
 */
import type { JsonObject } from '../../model/json';
import type { PredictedFailover, PredictedSegment } from '../../model/measurement';
import type { Timers } from '../../model/plan';

/** Patroni's own defaults, in seconds. */
const DEFAULTS = { ttl: 30, loop_wait: 10, retry_timeout: 10 } as const;

/** The etcd server looks for leases that ran out twice a second; other stores are not faster. */
const EXPIRY_CHECK_MS = 1_000;
/** The race: positions are asked of every member with a timeout of 2 s, and a dead one uses it up; then the key is taken. */
const RACE_MS = { lowMs: 0, highMs: 3_000 };
/** From the key to accepting writes. */
const PROMOTION_MS = { lowMs: 50, highMs: 3_000 };
/** Health checks of routers: a second apart, two in a row; none where clients try the nodes themselves. */
const ROUTING_MS = { lowMs: 0, highMs: 3_000 };
const RECONNECT_MS = 5_000;

function seconds(config: JsonObject, name: keyof typeof DEFAULTS): number {
  const value = Number(config[name]);
  return Number.isFinite(value) && value > 0 ? value : DEFAULTS[name];
}

/** Its timers by name, defaults where the configuration is silent. */
export function patroniTimers(config: JsonObject): Timers {
  const ms = (name: keyof typeof DEFAULTS): number => seconds(config, name) * 1_000;
  return { ttl: ms('ttl'), loop_wait: ms('loop_wait'), retry_timeout: ms('retry_timeout') };
}

/** For the loss of the node that holds the key. `config`: the dynamic configuration; `hasRouter`: health checks lead clients. */
export function patroniBand(config: JsonObject, hasRouter: boolean): PredictedFailover {
  const [ttlMs, loopMs] = [seconds(config, 'ttl') * 1_000, seconds(config, 'loop_wait') * 1_000];
  const segments: readonly PredictedSegment[] = [
    {
      name: 'detection',
      lowMs: Math.max(0, ttlMs - loopMs),
      highMs: ttlMs + EXPIRY_CHECK_MS,
      formula: `the key lives ttl ${ttlMs} ms from its last renewal, which is up to loop_wait ${loopMs} ms old, + up to ${EXPIRY_CHECK_MS} ms until the store notices`,
    },
    {
      name: 'decision',
      ...RACE_MS,
      formula: 'standbys wake by their watch, compare positions (2 s timeout for the dead member), one takes the key',
    },
    { name: 'promotion', ...PROMOTION_MS, formula: 'end of recovery of a standby that has replayed all it received' },
    {
      name: 'routing',
      lowMs: 0,
      highMs: hasRouter ? ROUTING_MS.highMs : 0,
      formula: hasRouter ? 'two health checks a second apart' : 'clients try the nodes themselves',
    },
    { name: 'client recovery', lowMs: 0, highMs: RECONNECT_MS, formula: `reconnecting up to ${RECONNECT_MS} ms` },
  ];
  return {
    lowMs: segments.reduce((sum, each) => sum + each.lowMs, 0),
    highMs: segments.reduce((sum, each) => sum + each.highMs, 0),
    formula: `loss of the node with the key: ${segments.map(({ name, formula }) => `${name}: ${formula}`).join('; ')}`,
    segments,
  };
}
