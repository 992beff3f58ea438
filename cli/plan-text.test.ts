import { samplePlan } from '../test/sample-plan';
import { planText } from './plan-text';

const text = (change: object = {}): string => planText({ ...samplePlan([]), ...change }, 'a'.repeat(64), []);

test('where clients come in is said, each way by itself', () => {
  const plan = samplePlan([]);
  const paths = [{ name: 'pooler', kind: 'pooler' as const, hosts: [{ host: '127.0.99.50', port: 6432 }], database: 'gameday' }];
  const with_ = text({ target: { ...plan.target, paths }, probe: { ...plan.probe, paths: ['pooler'], naive: true } });
  expect(with_).toMatch(
    /ways in\n {2}entry +\S+:\d+\/\w+\n {2}pooler +127\.0\.99\.50:6432\/gameday \(pooler\)\n {2}on each, besides, a client/,
  );
  expect(text()).not.toContain('pooler');
});

test('what would end it early is said; a plan without says nothing of it', () => {
  const rates = { everyMs: 1_000, failures: 2, of: 3 };
  const stop = [
    { id: 'locks', check: { kind: 'sql', on: 'primary', sql: 'select 1', expect: '1' }, ...rates },
    { id: 'shop', check: { kind: 'http', url: 'https://shop/health', status: 200 }, ...rates },
    { id: 'errors', check: { kind: 'prometheus', url: 'https://p', query: 'up', min: null, max: 5, token: null }, ...rates },
    { id: 'nodes', check: { kind: 'nodes', maxWritable: 1, minUp: 2 }, ...rates },
  ];
  const said = text({ stop });
  for (const words of [
    '"select 1 = 1" on primary does not hold 2 of 3 times, asked every 1.00 s',
    '"https://shop/health answers 200"',
    '"up ≤ 5" at https://p',
    '"at most 1 writable, at least 2 up"',
  ])
    expect(said).toContain(words);
  expect(text({ stop: [] })).not.toContain('the method ends');
});
