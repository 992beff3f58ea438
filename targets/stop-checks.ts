/**
 * Evaluates one stop condition now: SQL, HTTP, a Prometheus query, or what the nodes say of themselves. Reads only. What cannot be evaluated does not
 * hold, because a drill must not go on blind.
 */
import { messageOf } from '../core/errors';
import { resolveSecret } from '../core/secrets';
import { formatMs } from '../core/units';
import type { StopCheck } from '../model/plan';
import { answerText, firstAnswer } from './first-answer';
import type { LiveTarget, NodeStatus } from './ports';

export interface StopFinding {
  readonly holds: boolean;
  /** In words; never a secret nor a value of a table, and at most 300 characters. */
  readonly found: string;
}

type CheckOf<K extends StopCheck['kind']> = Extract<StopCheck, { readonly kind: K }>;

const writable = (nodes: readonly NodeStatus[]): readonly string[] =>
  nodes.filter((node) => node.up && node.inRecovery === false).map((node) => node.node);

async function evaluateSql(live: LiveTarget, check: CheckOf<'sql'>): Promise<StopFinding> {
  const names = check.on === 'primary' ? writable(await live.controller.status()) : live.target.nodes.map((node) => node.name);
  if (check.on === 'primary' && names.length !== 1) return { holds: false, found: `${names.length} writable nodes to ask` };
  const values = await Promise.all(names.map((name) => live.sql(name, 'observe', (sql) => firstAnswer(sql, check.sql))));
  return {
    holds: values.every((value) => value === check.expect),
    found: names.map((name, at) => `${name} says ${answerText(values[at] ?? '', check.expect)}`).join(', '),
  };
}

async function evaluateHttp(check: CheckOf<'http'>, signal: AbortSignal): Promise<StopFinding> {
  const response = await fetch(check.url, { signal, redirect: 'manual' });
  await response.body?.cancel();
  return { holds: response.status === check.status, found: `status ${response.status}` };
}

/** Instant query of Prometheus’ HTTP API (`/api/v1/query`): a vector of samples or one scalar. */
async function evaluatePrometheus(check: CheckOf<'prometheus'>, signal: AbortSignal): Promise<StopFinding> {
  const url = `${check.url.replace(/\/+$/, '')}/api/v1/query?query=${encodeURIComponent(check.query)}`;
  const headers = check.token === null ? {} : { authorization: `Bearer ${resolveSecret(check.token)}` };
  const response = await fetch(url, { signal, headers });
  if (!response.ok) return { holds: false, found: `Prometheus answered ${response.status}` };
  const body = (await response.json()) as { readonly data?: { readonly resultType?: string; readonly result?: unknown } };
  const values = sampleValues(body.data?.resultType, body.data?.result);
  const within = (value: number): boolean => value >= (check.min ?? -Infinity) && value <= (check.max ?? Infinity);
  return {
    holds: values.length > 0 && values.every(within),
    found: values.length === 0 ? 'the query has no result' : values.slice(0, 5).join(', '),
  };
}

function sampleValues(type: string | undefined, result: unknown): readonly number[] {
  const numberOf = (sample: unknown): number => Number(Array.isArray(sample) ? sample[1] : NaN);
  if (type === 'scalar') return [numberOf(result)];
  if (type !== 'vector' || !Array.isArray(result)) return [];
  return result.map((entry: { readonly value?: unknown }) => numberOf(entry.value));
}

async function evaluateNodes(live: LiveTarget, check: CheckOf<'nodes'>): Promise<StopFinding> {
  const nodes = await live.controller.status();
  const writers = writable(nodes);
  const up = nodes.filter((node) => node.up).length;
  return {
    holds: writers.length <= (check.maxWritable ?? Infinity) && up >= (check.minUp ?? 0),
    found: `${up} nodes up; writable: ${writers.join(', ') || 'none'}`,
  };
}

function evaluate(live: LiveTarget, check: StopCheck, signal: AbortSignal): Promise<StopFinding> {
  switch (check.kind) {
    case 'sql':
      return evaluateSql(live, check);
    case 'http':
      return evaluateHttp(check, signal);
    case 'prometheus':
      return evaluatePrometheus(check, signal);
    case 'nodes':
      return evaluateNodes(live, check);
  }
}

/** Never throws; answers within `timeoutMs`. */
export async function evaluateStop(live: LiveTarget, check: StopCheck, timeoutMs: number): Promise<StopFinding> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<StopFinding>((resolve) => {
    timer = setTimeout(() => resolve({ holds: false, found: `no answer within ${formatMs(timeoutMs)}` }), timeoutMs);
  });
  try {
    return await Promise.race([evaluate(live, check, AbortSignal.timeout(timeoutMs)), late]);
  } catch (error) {
    return { holds: false, found: messageOf(error).slice(0, 300) };
  } finally {
    clearTimeout(timer);
  }
}
