/** The restore section: phases with their speed, what was not checked, first use, how far off, and that the copy is gone. */
import { sampleRecord } from '../test/fixtures/record';
import { restoresSection } from './restores';

const html = (): string => restoresSection(sampleRecord()).html;

test('each phase with bytes and speed, the longest with what would shorten it', () => {
  expect(html()).toMatch(/base 5\.21 s \(25\.0 MB, 4\.8 MB\/s\) · replay 9\.85 s \(112\.0 MB, 11\.4 MB\/s\)/);
  expect(html()).toMatch(/Longest: replay, 54 % of the time; replay waits for WAL: .*prefetch/);
  expect(html()).toMatch(/At twice the size these rates give 33\.3 s/);
});

test('what was not checked is said, with the reason', () => {
  expect(html()).toContain('Not recorded: digests (no mark step recorded counts or digests at this restore point)');
});

test('first use, distance from the target, and the removal', () => {
  for (const words of [
    'read after 12 ms, write after 31 ms; p99 of 300 reads 1.4 ms, warm 0.3 ms',
    '0 transactions, 0.0 ms',
    'no process works in it',
  ])
    expect(html()).toContain(words);
});

test('a record made before these were recorded is read as well', () => {
  const record = sampleRecord();
  const [restore] = record.restores;
  if (restore === undefined) throw new Error('the fixture restores nothing');
  const { proof: _proof, firstUse: _use, landingError: _error, ...old } = restore;
  const section = restoresSection({ ...record, restores: [{ ...old, sandbox: { dir: '/x', removed: true } }] }).html;
  expect(section).toContain('/x, removed<');
  expect(section).not.toContain('Not recorded: ');
});

test('one that had to be refused says so, in the archive’s words; what only the archive gives back stands beside a copy of it', () => {
  const record = sampleRecord();
  const refused = { step: 'gone', requested: 'time 2001', code: 'backup_missing', reason: 'outside retention', ms: 42 } as const;
  const section = restoresSection({ ...record, restores: [], refusedRestores: [refused] }).html;
  for (const words of ['refused', 'before any byte moved', 'time 2001', 'outside retention (backup_missing)'])
    expect(section).toContain(words);
  const restores = record.restores.map((each) => ({ ...each, archiveLoss: { transactions: 12, ms: 2_000 } }));
  expect(restoresSection({ ...record, restores }).html).toContain('12 acknowledged writes, over 2.00 s');
});
