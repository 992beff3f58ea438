import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sampleRecord } from '../test/fixtures/record';
import { controlsOf, loadControls } from './controls';

const rules = loadControls();
const names = (record = sampleRecord()): readonly string[] =>
  controlsOf(record, rules).map(({ framework, control }) => `${framework} ${control}`);

test('every control that the contract names has its row, with what it does not show', () => {
  const wanted = [
    ...['A1.2', 'A1.3', 'CC7.5'].map((id) => `soc2 ${id}`),
    ...['A.5.29', 'A.5.30', 'A.8.13', 'A.8.14'].map((id) => `iso27001 ${id}`),
    ...['8.5', '8.6'].map((id) => `iso22301 ${id}`),
    ...['Art. 11', 'Art. 12', 'RTS Art. 25'].map((id) => `dora ${id}`),
    ...['CP-2', 'CP-4', 'CP-4(1)', 'CP-4(2)', 'CP-4(3)', 'CP-4(4)', 'CP-4(5)', 'CP-9', 'CP-10'].map((id) => `nist-800-53 ${id}`),
    'pci-dss 12.10.2',
    'hipaa 164.308(a)(7)(ii)(D)',
    'ffiec VII.K',
  ];
  expect(rules.map(({ framework, control }) => `${framework} ${control}`).sort()).toEqual([...wanted].sort());
});

test('nothing that is said claims compliance', () => {
  const text = JSON.stringify(rules).toLowerCase();
  expect(text).not.toMatch(/complian|certif|conform|satisf/);
});

test('a drill without a restore is not relevant to backups, and one without people not to their coordination', () => {
  expect(names()).toEqual(expect.arrayContaining(['soc2 A1.3', 'iso27001 A.8.13', 'nist-800-53 CP-4(1)']));
  const bare = names(sampleRecord({ restores: [], people: [] }));
  expect(bare).toContain('soc2 A1.3');
  expect(bare).not.toContain('iso27001 A.8.13');
  expect(bare).not.toContain('nist-800-53 CP-4(1)');
});

test('a refused drill touched nothing and is evidence of nothing', () => {
  expect(names(sampleRecord({ state: 'refused' }))).toEqual([]);
});

test('lab, unfinished and missed are said beside every control', () => {
  const [row] = controlsOf(sampleRecord({ verdict: 'fail', state: 'aborted' }), rules);
  expect(row?.limits).toEqual([
    'made in a lab: it says nothing about production',
    'the drill did not run to its end: aborted',
    'its verdict is fail: it shows that the test was made, not that the objectives are met',
  ]);
});

test('a catalog with a wrong key is refused by name', () => {
  const dir = mkdtempSync(join(tmpdir(), 'gameday-controls-'));
  try {
    writeFileSync(
      join(dir, 'own.yaml'),
      'framework: own\ntitle: Own\ncontrols:\n  - { id: X, title: Y, when: [prayer], evidences: a, not: b }\n',
    );
    expect(() => loadControls(dir)).toThrow(/own\.yaml/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
