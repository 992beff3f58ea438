import fc from 'fast-check';
import type { ReplicaLag } from '../model/measurement';
import { sampleLag, sampleRecord } from '../test/fixtures/record';
import { renderHtml } from './html';
import { lagChart, thinLag } from './lag-chart';
import { axisOf } from './time-axis';
import { isNotRecorded } from './words';

const draw = (replicaLag: readonly ReplicaLag[]): { readonly html: string; readonly secondsPerPoint: number } => {
  const record = sampleRecord({ replicaLag });
  const drawn = lagChart(record, axisOf(record));
  if (isNotRecorded(drawn)) throw new Error(drawn.notRecorded);
  return { html: drawn.chart.html, secondsPerPoint: drawn.secondsPerPoint };
};
const paths = (html: string, look: string): readonly string[] =>
  [...html.matchAll(new RegExp(`class="${look}" d="([^"]*)"`, 'g'))].map(([, d = '']) => d);

it('draws a lane a standby, and gaps as gaps', () => {
  const { html, secondsPerPoint } = draw([sampleLag('n2', 131), sampleLag('n3', 131)]);
  expect(secondsPerPoint).toBe(1);
  const [n2 = '', n3 = ''] = paths(html, 'lag');
  expect(n2.match(/M/g)).toHaveLength(2);
  // Second 44 has no bound above on n3: the solid line begins a second later, and another line tells of it.
  expect(n3.match(/M/g)).toHaveLength(2);
  expect(n3.match(/L/g)?.length).toBe((n2.match(/L/g)?.length ?? 0) - 1);
  expect(paths(html, 'lag-open')).toHaveLength(1);
  expect(html).toContain('>n2<');
  expect(html).toContain('n3 at worst at least');
});

it('puts every figure between the rules of its lane, however small or large', () => {
  const bins = [0, 1, 10, 1_000, 3_600_000].map((highMs, at) => ({ atMs: at * 1_000, lowMs: highMs / 2, highMs }));
  const [path = ''] = paths(draw([{ node: 'n2', bins }]).html, 'lag');
  const ys = [...path.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y));
  expect(ys).toHaveLength(5);
  for (const y of ys) expect(y >= 14 && y <= 92).toBe(true);
  expect(ys[0]).toBe(92);
  expect([...ys].sort((a, b) => b - a)).toEqual(ys);
});

it('thinned, it keeps the worst of both bounds, and never makes up one', () => {
  const bin = fc.record({ lowMs: fc.nat(1_000), more: fc.option(fc.nat(1_000)) });
  fc.assert(
    fc.property(fc.array(bin, { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 9 }), (raw, every) => {
      const bins = raw.map(({ lowMs, more }, at) => ({ atMs: at * 1_000, lowMs, highMs: more === null ? null : lowMs + more }));
      const thin = thinLag(bins, every);
      expect(thin).toHaveLength(Math.ceil(bins.length / every));
      expect(Math.max(...thin.map(({ lowMs }) => lowMs))).toBe(Math.max(...bins.map(({ lowMs }) => lowMs)));
      for (const [at, { highMs }] of thin.entries()) {
        const group = bins.slice(at * every, (at + 1) * every).map((each) => each.highMs);
        expect(highMs).toBe(group.includes(null) ? null : Math.max(...group.map((each) => each ?? 0)));
      }
    }),
  );
});

it('says why there is none, and what an hour’s points stand for, within 2 MB', () => {
  const options = { digest: 'ab'.repeat(32), keyFingerprint: null };
  const { replicaLag: _kept, ...old } = sampleRecord();
  expect(renderHtml(old, options)).toContain('Not recorded: the version that made this record did not keep it');
  expect(renderHtml(sampleRecord({ replicaLag: [] }), options)).toContain(
    'Not recorded: no standby answered the sampler while a primary did',
  );
  const hour = renderHtml(
    sampleRecord({ replicaLag: ['n2', 'n3', 'n4', 'n5'].map((node) => sampleLag(node, 3_600)), endedAt: '2026-11-23T04:12:09.000Z' }),
    options,
  );
  expect(hour).toContain('Each point is the worst of 4 seconds.');
  expect(Buffer.byteLength(hour)).toBeLessThan(2_000_000);
});
