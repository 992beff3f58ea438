/** The guardian's chained events across restarts and torn lines. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findChainBreak } from '../../core/event-chain';
import { openJournal } from './journal';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-journal-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const entry = (kind: string) => ({ drill: 'drill-000007', step: 's', kind, actor: 'guardian', text: kind, facts: {} });

test('events chain on over a restart, and a line torn by a crash is dropped', () => {
  openJournal(dir).append(entry('armed'));
  appendFileSync(join(dir, 'drill-000007.ndjson'), '{"drill":"drill-0000');
  const journal = openJournal(dir);
  expect(journal.events('drill-000007')).toHaveLength(1);
  journal.append(entry('gone'));
  const events = openJournal(dir).events('drill-000007');
  expect(events.map((event) => event.kind)).toEqual(['armed', 'gone']);
  expect(findChainBreak(events)).toBeNull();
  expect(readFileSync(join(dir, 'drill-000007.ndjson'), 'utf8').split('\n')).toHaveLength(3);
});

test('the same kind again is another attempt, so that no key is written twice', () => {
  const journal = openJournal(dir);
  journal.append(entry('undo-failed'));
  journal.append(entry('undo-failed'));
  expect(journal.events('drill-000007').map((event) => event.attempt)).toEqual([1, 2]);
});

test('a drill’s name never leads out of the directory', () => {
  openJournal(dir).append({ ...entry('x'), drill: '../../etc/passwd' });
  expect(openJournal(dir).events('../../etc/passwd')).toHaveLength(1);
});
