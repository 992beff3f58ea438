/** Settings, names and handle of slot-bloat; the WAL it keeps is counted in test/live/faults-data.test.ts. */
import { paperContext } from './paper-target.test-data';
import { slotBloat } from './slot-bloat';
import { labelOfSlot, slotOfLabel } from './slots';

test('the slot is on the primary, named by the label in the letters that slots take', async () => {
  const context = paperContext('old-standby');
  const resolved = await slotBloat.resolve(slotBloat.schema.parse({}), context);
  expect(resolved).toEqual({ node: 'n1', slot: 'gd_drill_000042_old_standby', bytes: 64 * 1024 ** 2 });
  expect(slotBloat.manualUndo(resolved, context.live.target)[0]).toContain('gd_drill_000042_old_standby');
});

test('a label is read back from its slot', () => {
  expect(labelOfSlot(slotOfLabel('gd-drill-000042-a-1'))).toBe('gd-drill-000042-a-1');
});

test('a step whose label does not fit a slot’s name is refused', async () => {
  await expect(slotBloat.resolve(slotBloat.schema.parse({}), paperContext('s'.repeat(48)))).rejects.toMatchObject({
    code: 'fault_refused',
  });
});

test.each([{ bytes: '1MB' }, { bytes: '2GB' }, { bytes: 'much' }, { slot: 'mine' }])('%j is refused', (settings) => {
  expect(slotBloat.schema.safeParse(settings).success).toBe(false);
});
