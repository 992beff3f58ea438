/**
 * Patroni's REST API, 3.x and 4.x: the cluster as the DCS knows it, its configuration, and the orders that it takes. Every request has a deadline; what
 * any member can answer is asked of all, and the first answer counts, because the one that is down is often the one asked first.
 */
import { GamedayError, messageOf } from '../../core/errors';
import { resolveSecret } from '../../core/secrets';
import type { JsonObject } from '../../model/json';
import type { TargetController } from '../../model/target';

export type PatroniController = Extract<TargetController, { kind: 'patroni' }>;

const READ_TIMEOUT_MS = 2_000;
/** A switchover answers when it is over; Patroni itself gives up before that. */
const ORDER_TIMEOUT_MS = 60_000;

/** `standby`: any kind of replica; `leader`: holds the key, whatever its version calls that. */
export interface PatroniMember {
  readonly name: string;
  readonly role: 'leader' | 'standby';
  readonly synchronous: boolean;
  /** As Patroni words it: `running`, `streaming`, `starting`, `crashed`, `stopped`, … */
  readonly state: string;
  readonly timeline: number | null;
  readonly tags: PatroniTags;
}

/** What a member's tags say of its part in replication. */
export interface PatroniTags {
  /** Member that it streams from while that one is there; null: the leader. */
  readonly upstream: string | null;
  /** It never becomes leader. */
  readonly neverLeads: boolean;
}

export interface PatroniCluster {
  readonly members: readonly PatroniMember[];
  /** Member that holds the leader's key; null when nobody does. */
  readonly leader: string | null;
  readonly paused: boolean;
}

export interface PatroniRest {
  /** Throws `controller_unreachable` when no member answers. */
  cluster(): Promise<PatroniCluster>;
  /** The dynamic configuration, as `patronictl show-config` prints it. */
  config(): Promise<JsonObject>;
  switchover(leader: string, candidate: string | null): Promise<OrderAnswer>;
  /** Without a leader, or with automation paused. */
  failover(candidate: string): Promise<OrderAnswer>;
  reinitialize(node: string): Promise<OrderAnswer>;
  /** Changes dynamic configuration, as `patronictl edit-config` does; null removes a setting. */
  configure(settings: JsonObject): Promise<OrderAnswer>;
  /** Maintenance mode: nothing is promoted or restarted by itself. */
  setPaused(paused: boolean): Promise<OrderAnswer>;
  /** What each member goes by, asked one by one; null: it does not answer. Members learn of an order by their next loop only. */
  pausedMembers(): Promise<{ readonly [node: string]: boolean | null }>;
}

/** What Patroni said to an order; `ok` for a 2xx. */
export interface OrderAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly text: string;
}

const isLeader = (role: unknown): boolean => role === 'leader' || role === 'standby_leader';

/** `tags` of a member in any answer; missing where none is set. From 4.0 on a priority of 0 says what `nofailover` does, unless that is said itself. */
export function readTags(tags: unknown): PatroniTags {
  const { replicatefrom, nofailover, failover_priority: priority } = (tags ?? {}) as { readonly [name: string]: unknown };
  return {
    upstream: typeof replicatefrom === 'string' && replicatefrom !== '' ? replicatefrom : null,
    neverLeads: nofailover === undefined ? priority !== undefined && Number(priority) <= 0 : Boolean(nofailover),
  };
}

/** Members and leader from `GET /cluster`. Exported for its test against recorded answers of both generations. */
export function parseCluster(answer: unknown): PatroniCluster {
  const { members, pause } = (answer ?? {}) as { members?: unknown; pause?: unknown };
  if (!Array.isArray(members))
    throw new GamedayError('controller_unreachable', `this is no answer of Patroni’s /cluster: ${JSON.stringify(answer).slice(0, 120)}`);
  const parsed = (members as readonly { [key: string]: unknown }[]).map((member): PatroniMember => {
    const timeline = Number(member['timeline']);
    return {
      name: String(member['name']),
      role: isLeader(member['role']) ? 'leader' : 'standby',
      synchronous: member['role'] === 'sync_standby' || member['role'] === 'quorum_standby',
      state: typeof member['state'] === 'string' ? member['state'] : 'unknown',
      timeline: Number.isSafeInteger(timeline) && timeline > 0 ? timeline : null,
      tags: readTags(member['tags']),
    };
  });
  return { members: parsed, leader: parsed.find(({ role }) => role === 'leader')?.name ?? null, paused: pause === true };
}

/** The API of all members of this target. Opening touches nothing. */
export function openPatroniRest(controller: PatroniController): PatroniRest {
  const urls = Object.values(controller.api).map((url) => url.replace(/\/$/, ''));
  const urlOf = (node: string): string => {
    const url = controller.api[node];
    if (url === undefined) throw new GamedayError('setting_invalid', `node "${node}" has no address of a Patroni API in the target file`);
    return url.replace(/\/$/, '');
  };
  const headers = (): Record<string, string> => {
    const { auth } = controller;
    if (auth === null) return { 'content-type': 'application/json' };
    const password = auth.password === null ? '' : resolveSecret(auth.password);
    return {
      'content-type': 'application/json',
      authorization: `Basic ${Buffer.from(`${auth.user}:${password}`).toString('base64')}`,
    };
  };

  async function read(path: string): Promise<JsonObject> {
    try {
      return await Promise.any(
        urls.map(async (url) => {
          const answer = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(READ_TIMEOUT_MS) });
          if (!answer.ok) throw new Error(`${url}${path}: HTTP ${answer.status}`);
          return (await answer.json()) as JsonObject;
        }),
      );
    } catch (error) {
      const reasons = error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : messageOf(error);
      throw new GamedayError('controller_unreachable', `no Patroni answers ${path}: ${reasons.slice(0, 400)}`, null, { cause: error });
    }
  }

  async function order(url: string, method: 'POST' | 'PATCH', path: string, body: JsonObject): Promise<OrderAnswer> {
    try {
      const answer = await fetch(`${url}${path}`, {
        method,
        headers: headers(),
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(ORDER_TIMEOUT_MS),
      });
      return { ok: answer.ok, status: answer.status, text: (await answer.text()).trim().slice(0, 300) };
    } catch (error) {
      throw new GamedayError('controller_unreachable', `${method} ${url}${path}: ${messageOf(error)}`, null, { cause: error });
    }
  }

  /** Asked of the members in turn until one takes it: any of them may. */
  async function orderAny(method: 'POST' | 'PATCH', path: string, body: JsonObject): Promise<OrderAnswer> {
    let last: unknown = null;
    for (const url of urls) {
      try {
        return await order(url, method, path, body);
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  return {
    cluster: async () => parseCluster(await read('/cluster')),
    config: () => read('/config'),
    switchover: (leader, candidate) => orderAny('POST', '/switchover', candidate === null ? { leader } : { leader, candidate }),
    failover: (candidate) => orderAny('POST', '/failover', { candidate }),
    reinitialize: (node) => order(urlOf(node), 'POST', '/reinitialize', { force: true }),
    configure: (settings) => orderAny('PATCH', '/config', settings),
    setPaused: (paused) => orderAny('PATCH', '/config', { pause: paused ? true : null }),
    async pausedMembers() {
      // A member whose server does not run says 503, and its state all the same.
      const ask = async (node: string): Promise<boolean | null> => {
        const answer = await fetch(`${urlOf(node)}/patroni`, { signal: AbortSignal.timeout(READ_TIMEOUT_MS) });
        return ((await answer.json()) as { pause?: unknown }).pause === true;
      };
      const asked = Object.keys(controller.api).map(async (node) => [node, await ask(node).catch(() => null)] as const);
      return Object.fromEntries(await Promise.all(asked));
    },
  };
}
