/** Settings and toxics of link-bandwidth; bytes are counted in test/live/faults.test.ts. */
import { linkBandwidth } from './link-bandwidth';
import { paperContext } from './paper-target.test-data';

const settings = (more: object): object => ({ from: 'n2', to: 'n1', ...more });

test('answers are bound unless said otherwise, in thousands of bytes a second', async () => {
  const context = paperContext('slow');
  const resolved = await linkBandwidth.resolve(linkBandwidth.schema.parse(settings({ rate: '64kB' })), context);
  expect(resolved).toMatchObject({ direction: 'down', detail: { perSecond: 66_000 } });
  expect(linkBandwidth.preview(resolved)).toBe('n2-n1: at most 64.5 kB a second (answers only)');
  expect(linkBandwidth.manualUndo(resolved, context.live.target)[0]).toBe(
    'curl -sS -m 5 -X DELETE http://127.0.66.30:8474/proxies/n2-n1/toxics/gd-drill-000042-slow-downstream || :',
  );
  expect(linkBandwidth.reach(resolved)).toEqual({ nodes: ['n2'] });
});

test.each([{}, { rate: '64' }, { rate: '1kB' }, { rate: '1GB' }, { rate: '64kB', direction: 'left' }])('refuses %j', (more) => {
  expect(linkBandwidth.schema.safeParse(settings(more)).success).toBe(false);
});

test('a bound on requests to the store alone could not be proven, and is refused', async () => {
  const up = linkBandwidth.schema.parse({ from: 'primary', to: 's3', rate: '64kB', direction: 'up' });
  await expect(linkBandwidth.resolve(up, paperContext('slow'))).rejects.toMatchObject({ code: 'fault_refused' });
});
