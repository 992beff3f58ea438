import { appendFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findChainBreak } from '../core/event-chain';
import { ProberJournal, readProberEvents } from './prober-journal';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-journal-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const told = (): readonly string[] => readProberEvents(dir).map(({ step, kind, attempt, n }) => `${n} ${step} ${kind} ${attempt}`);

test('its events are one chain, and the same thing again is another attempt', () => {
  const journal = new ProberJournal(dir, 'drill-000001');
  journal.add('probe', 'started', 'it began', { pid: 1 });
  journal.add('kill', 'inject about-to', 'stamped', {});
  journal.add('kill', 'inject about-to', 'stamped', {});
  expect(told()).toEqual(['0 probe started 1', '1 kill inject about-to 1', '2 kill inject about-to 2']);
  expect(findChainBreak(readProberEvents(dir))).toBeNull();
  expect(readProberEvents(dir)[0]).toMatchObject({ drill: 'drill-000001', writer: 'prober', actor: 'prober', facts: { pid: 1 } });
});

test('a prober that starts again goes on behind the last whole line', () => {
  new ProberJournal(dir, 'drill-000001').add('probe', 'started', 'it began', {});
  appendFileSync(join(dir, readdirSync(dir)[0] ?? ''), '{"drill":"drill-0000');
  expect(told()).toEqual(['0 probe started 1']);
  const again = new ProberJournal(dir, 'drill-000001');
  again.add('probe', 'started', 'it began', {});
  again.add('probe', 'ended', 'it ended', {});
  expect(told()).toEqual(['0 probe started 1', '1 probe started 2', '2 probe ended 1']);
  expect(findChainBreak(readProberEvents(dir))).toBeNull();
});

test('without a prober there is no chain', () => {
  expect(readProberEvents(join(dir, 'nowhere'))).toEqual([]);
});
