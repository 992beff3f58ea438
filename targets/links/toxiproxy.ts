/**
 * Links through Toxiproxy's HTTP API. Every request has a deadline, because removing a toxic, reading back and disabling can all block on one lock
 * inside Toxiproxy; the last rung restarts its process. Never uses `/reset` or `/populate`: they would clear what others hold.
 */
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { run } from '../../core/process';
import type { TargetLink, TargetLinks } from '../../model/target';
import type { Links, Toxic } from '../ports';

/** Two seconds in all, then the caller climbs the ladder (design: "after 2 s in all restarts the Toxiproxy process"). */
const REQUEST_TIMEOUT_MS = 2_000;
const RESTART_TIMEOUT_MS = 15_000;

interface ProxyView {
  readonly name: string;
  readonly listen: string;
  readonly upstream: string;
  readonly enabled: boolean;
  readonly toxics: readonly Toxic[];
}

type Answer = { readonly status: number; readonly body: string };
type Method = 'GET' | 'POST' | 'DELETE';

function openApi(base: string): (method: Method, path: string, body?: object) => Promise<Answer> {
  return async (method, path, body) => {
    const url = new URL(path, base);
    try {
      const response = await fetch(url, {
        method,
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        headers: { 'user-agent': 'gameday', connection: 'close' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: await response.text() };
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : '';
      throw new GamedayError('link_unreachable', `${method} ${url.href}: ${messageOf(error)}${cause}`, null, { cause: error });
    }
  };
}

function expectStatus(answer: Answer, allowed: readonly number[], what: string): Answer {
  if (allowed.includes(answer.status)) return answer;
  throw new GamedayError(
    'link_unreachable',
    `${what}: Toxiproxy answered ${answer.status} ${answer.body.trim().slice(0, 300)}`,
    'check the link’s addresses in the target, and Toxiproxy’s log.',
  );
}

const listenOf = (link: TargetLink): string => `${link.listenHost}:${link.listenPort}`;
const upstreamOf = (link: TargetLink): string => `${link.upstreamHost}:${link.upstreamPort}`;
const pathOf = (link: TargetLink, rest = ''): string => `/proxies/${encodeURIComponent(link.name)}${rest}`;

/** Links of one target over one Toxiproxy. Opening touches nothing. Every method throws `link_unreachable` within 2 s a request. */
export function openToxiproxyLinks(links: TargetLinks): Links {
  const call = openApi(links.api);

  async function view(link: TargetLink): Promise<ProxyView | null> {
    const answer = expectStatus(await call('GET', pathOf(link)), [200, 404], `link ${link.name}`);
    return answer.status === 404 ? null : (JSON.parse(answer.body) as ProxyView);
  }

  async function ensure(link: TargetLink): Promise<void> {
    const wanted = { name: link.name, listen: listenOf(link), upstream: upstreamOf(link) };
    if ((await view(link)) === null) {
      // 409: another process created it since we looked; its addresses are then checked like any other's.
      const created = expectStatus(await call('POST', '/proxies', { ...wanted, enabled: true }), [201, 409], `link ${link.name}`);
      if (created.status === 201) return;
    }
    const found = await view(link);
    if (found === null) throw new GamedayError('link_unreachable', `link ${link.name} vanished while it was being created`);
    if (found.listen === wanted.listen && found.upstream === wanted.upstream) return;
    expectStatus(await call('POST', pathOf(link), wanted), [200], `link ${link.name}`);
  }

  return {
    list: () => links.list,
    find: (from, to) => links.list.find((link) => link.from === from && link.to === to) ?? null,
    ensure,
    async state(link) {
      const found = await view(link);
      return found === null
        ? { exists: false, enabled: false, toxics: [] }
        : { exists: true, enabled: found.enabled, toxics: found.toxics };
    },
    async addToxic(link, toxic) {
      const answer = expectStatus(await call('POST', pathOf(link, '/toxics'), toxic), [200, 409], `toxic ${toxic.name} on ${link.name}`);
      if (answer.status === 200) return;
      const change = { toxicity: toxic.toxicity, attributes: toxic.attributes };
      expectStatus(
        await call('POST', pathOf(link, `/toxics/${encodeURIComponent(toxic.name)}`), change),
        [200],
        `toxic ${toxic.name} on ${link.name}`,
      );
    },
    async removeToxic(link, name) {
      expectStatus(await call('DELETE', pathOf(link, `/toxics/${encodeURIComponent(name)}`)), [204, 404], `toxic ${name} on ${link.name}`);
    },
    async setEnabled(link, enabled) {
      expectStatus(await call('POST', pathOf(link), { enabled }), [200], `link ${link.name}`);
    },
    async restartProxy() {
      const restarted = await run(links.restart, { timeoutMs: RESTART_TIMEOUT_MS });
      if (restarted.code !== 0) {
        throw new GamedayError(
          'link_unreachable',
          `\`${links.restart.join(' ')}\` ended with ${restarted.code}: ${restarted.stderr.trim().slice(0, 300)}`,
          'restart Toxiproxy by hand, then `gameday lab up`.',
        );
      }
      await until(async () => ((await call('GET', '/version')).status === 200 ? true : null), {
        timeoutMs: RESTART_TIMEOUT_MS,
        onTimeout: (last) =>
          new GamedayError('link_unreachable', `Toxiproxy does not answer ${RESTART_TIMEOUT_MS} ms after its restart: ${messageOf(last)}`),
      });
      for (const link of links.list) await ensure(link);
    },
  };
}
