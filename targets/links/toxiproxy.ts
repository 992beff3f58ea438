/**
 * Links through Toxiproxy's HTTP API. Every request has a deadline, because removing a toxic, reading back and disabling can all block on one lock
 * inside Toxiproxy; the last rung restarts its process. Never uses `/reset` or `/populate`: they would clear what others hold.
 */
import { Proxy, Toxic as ToxicHandle, Toxiproxy } from 'toxiproxy-node-client';
import type { IGetProxyResponse } from 'toxiproxy-node-client/dist/interfaces';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { run } from '../../core/process';
import type { TargetLink, TargetLinks } from '../../model/target';
import type { Links, Toxic } from '../ports';
import { BoundedHttp, Refused } from './bounded-http';

const RESTART_TIMEOUT_MS = 15_000;
const NOT_FOUND = 404;
const CONFLICT = 409;

type ProxyView = Omit<IGetProxyResponse, 'toxics'> & { readonly toxics: readonly Toxic[] };

const listenOf = (link: TargetLink): string => `${link.listenHost}:${link.listenPort}`;
const upstreamOf = (link: TargetLink): string => `${link.upstreamHost}:${link.upstreamPort}`;

/** The work's result, or `null` where Toxiproxy answered `status`; any other refusal becomes `link_unreachable` that says what was tried. */
async function except<T>(status: number, what: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === status) return null;
    throw new GamedayError(
      'link_unreachable',
      `${what}: ${error.message}`,
      'check the link’s addresses in the target, and Toxiproxy’s log.',
      { cause: error },
    );
  }
}

/** Links of one target over one Toxiproxy. Opening touches nothing. Every method throws `link_unreachable` within 2 s a request. */
export function openToxiproxyLinks(links: TargetLinks): Links {
  const client = new Toxiproxy(links.api.replace(/\/+$/, ''));
  client.api = new BoundedHttp();
  const proxyOf = (link: TargetLink): Proxy =>
    new Proxy(client, {
      name: encodeURIComponent(link.name),
      listen: listenOf(link),
      upstream: upstreamOf(link),
      enabled: true,
      toxics: [],
    });

  const view = (link: TargetLink): Promise<ProxyView | null> =>
    except(NOT_FOUND, `link ${link.name}`, async () => (await client.api.get<ProxyView>(proxyOf(link).getPath())).data);

  async function update(
    link: TargetLink,
    change: { readonly enabled: boolean } | { readonly listen: string; readonly upstream: string },
  ): Promise<void> {
    // The server takes partial updates; the client's type asks for all three.
    await except(0, `link ${link.name}`, () => client.api.post(proxyOf(link).getPath(), change));
  }

  async function ensure(link: TargetLink): Promise<void> {
    const wanted = { name: link.name, listen: listenOf(link), upstream: upstreamOf(link) };
    // A conflict: another process created it since we looked; its addresses are then checked like any other's.
    if (
      (await view(link)) === null &&
      (await except(CONFLICT, `link ${link.name}`, () => client.createProxy({ ...wanted, enabled: true }))) !== null
    )
      return;
    const found = await view(link);
    if (found === null) throw new GamedayError('link_unreachable', `link ${link.name} vanished while it was being created`);
    if (found.listen === wanted.listen && found.upstream === wanted.upstream) return;
    await update(link, { listen: wanted.listen, upstream: wanted.upstream });
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
      const what = `toxic ${toxic.name} on ${link.name}`;
      if ((await except(CONFLICT, what, () => proxyOf(link).addToxic({ ...toxic }))) !== null) return;
      await except(0, what, () => handleOf(link, toxic).update({ ...toxic }));
    },
    async removeToxic(link, name) {
      const named: Toxic = { name, type: 'latency', stream: 'downstream', toxicity: 1, attributes: {} };
      await except(NOT_FOUND, `toxic ${name} on ${link.name}`, () => handleOf(link, named).remove());
    },
    setEnabled: (link, enabled) => update(link, { enabled }),
    async restartProxy() {
      const restarted = await run(links.restart, { timeoutMs: RESTART_TIMEOUT_MS });
      if (restarted.code !== 0) {
        throw new GamedayError(
          'link_unreachable',
          `\`${links.restart.join(' ')}\` ended with ${restarted.code}: ${restarted.stderr.trim().slice(0, 300)}`,
          'restart Toxiproxy by hand, then `gameday lab up`.',
        );
      }
      await until(async () => ((await client.getVersion()) === '' ? null : true), {
        timeoutMs: RESTART_TIMEOUT_MS,
        onTimeout: (last) =>
          new GamedayError('link_unreachable', `Toxiproxy does not answer ${RESTART_TIMEOUT_MS} ms after its restart: ${messageOf(last)}`),
      });
      for (const link of links.list) await ensure(link);
    },
  };

  function handleOf(link: TargetLink, toxic: Toxic): ToxicHandle<Toxic['attributes']> {
    return new ToxicHandle(client.api, proxyOf(link).getPath(), { ...toxic, name: encodeURIComponent(toxic.name) });
  }
}
