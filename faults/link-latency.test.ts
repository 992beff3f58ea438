/** Settings, resolved links and the manual undo of link-latency; bytes are measured in test/live/faults.test.ts. */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { present } from '../core/assert';
import type { FaultProof } from '../model/fault';
import { linkLatency } from './link-latency';
import { paperContext } from './paper-target.test-data';

test.each([
  [{ from: 'a', to: 'b', latency: '150' }],
  [{ from: 'a', to: 'b', latency: '1ms' }],
  [{ from: 'a', to: 'b', latency: '2min' }],
  [{ from: 'a', to: 'b', latency: '10ms', jitter: '6ms' }],
  [{ from: 'a', to: 'b', latency: '10ms', speed: 1 }],
  [{ from: 'a', latency: '10ms' }],
])('%j is refused', (settings) => {
  expect(linkLatency.schema.safeParse(settings).success).toBe(false);
});

test('each standby’s link to the primary is slowed, and the undo by hand names every toxic', async () => {
  const context = paperContext('slow');
  const resolved = await linkLatency.resolve(
    linkLatency.schema.parse({ from: 'each-standby', to: 'primary', latency: '150ms', jitter: '10ms' }),
    context,
  );
  expect(resolved.links.map((link) => link.name)).toEqual(['n2-n1', 'n3-n1']);
  expect(linkLatency.preview(resolved)).toBe('slow n2-n1, n3-n1 by 150 ms ± 10 ms a round trip');
  expect(linkLatency.manualUndo(resolved, context.live.target)).toEqual([
    'curl -sS -m 5 -X DELETE http://127.0.66.30:8474/proxies/n2-n1/toxics/gd-drill-000042-slow || :',
    'curl -sS -m 5 -X DELETE http://127.0.66.30:8474/proxies/n3-n1/toxics/gd-drill-000042-slow || :',
    expect.stringMatching(/^# reads back/),
    expect.stringMatching(
      /^\(said=.*'"name":"gd-drill-000042-slow"'.*\) \|\| \(false && for link in '{"name":"client-router","listen":"127.0.66.99:1",/,
    ),
  ]);
});

describe('the proof that it bites, asked of sockets of this test’s own', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  /** Answers every question after what `delayMs` says of its number, from 0. */
  async function answering(delayMs: (n: number) => number): Promise<{ host: string; port: number }> {
    let asked = 0;
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => setTimeout(() => socket.write('N'), delayMs(asked++)));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
  }
  async function confirm(pastMs: (n: number) => number, throughMs: (n: number) => number): Promise<FaultProof> {
    const context = paperContext('slow');
    const resolved = await linkLatency.resolve(
      linkLatency.schema.parse({ from: 'each-standby', to: 'primary', latency: '100ms' }),
      context,
    );
    const [past, through] = [await answering(pastMs), await answering(throughMs)];
    const link = {
      ...present(resolved.links[0], 'link'),
      upstreamHost: past.host,
      upstreamPort: past.port,
      listenHost: through.host,
      listenPort: through.port,
    };
    return linkLatency.confirm({ ...resolved, links: [link] }, context);
  }

  test('a far end that is slow by itself at first is asked until it is not', async () => {
    const slowAtFirst = (n: number): number => (n < 3 ? 90 : 0);
    const proof = await confirm(slowAtFirst, (n) => slowAtFirst(n) + 100);
    expect([proof.holds, proof.by]).toEqual([
      true,
      expect.stringMatching(/^round trip through n2-n1 took 1\d\d\S* ms \(\d+\S* ms past it\)$/),
    ]);
    expect(proof.facts['n2-n1_extra_ms']).toBeGreaterThanOrEqual(80);
  });

  test('a way that is quick but once in a while is not slowed', async () => {
    const proof = await confirm(
      () => 0,
      (n) => (n === 1 ? 0 : 150),
    );
    expect(proof.holds).toBe(false);
  });

  test('a far end that does not answer proves nothing, and is named', async () => {
    const context = paperContext('slow');
    const resolved = await linkLatency.resolve(linkLatency.schema.parse({ from: 'n2', to: 'n1', latency: '10ms' }), context);
    const { port } = await answering(() => 0);
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    const links = resolved.links.map((link) => ({
      ...link,
      upstreamHost: '127.0.0.1',
      upstreamPort: port,
      listenHost: '127.0.0.1',
      listenPort: port,
    }));
    expect(await linkLatency.confirm({ ...resolved, links }, context)).toMatchObject({
      holds: false,
      by: expect.stringMatching(/^the far end of n2-n1 does not answer: connect ECONNREFUSED/) as string,
    });
  });
});
