import { patroniBand } from './patroni-band';

test('the key lives between ttl − loop_wait and ttl after the death, and the segments add up', () => {
  const band = patroniBand({ ttl: 20, loop_wait: 5, retry_timeout: 5 }, true);
  expect(band.segments?.[0]).toMatchObject({ name: 'detection', lowMs: 15_000, highMs: 21_000 });
  expect(band.lowMs).toBe(15_050);
  expect(band.highMs).toBe(band.segments?.reduce((sum, { highMs }) => sum + highMs, 0));
  expect(band.formula).toContain('ttl 20000 ms');
});

test('what the configuration leaves out is Patroni’s default, and without a router nothing is waited for there', () => {
  const band = patroniBand({}, false);
  expect(band.segments?.map(({ name, lowMs, highMs }) => [name, lowMs, highMs])).toEqual([
    ['detection', 20_000, 31_000],
    ['decision', 0, 3_000],
    ['promotion', 50, 3_000],
    ['routing', 0, 0],
    ['client recovery', 0, 5_000],
  ]);
});
