/** Settings, resolved links and the manual undo of link-latency; bytes are measured in test/live/faults.test.ts. */
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
