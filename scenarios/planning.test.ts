/** What a scenario says for its record beside what it does: read, refused with its place, and kept by a plan's file. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../core/files';
import { sampleTarget } from '../test/sample-plan';
import { buildPlan, type BuiltPlan } from './build-plan';
import { loadScenario } from './load-scenario';

const HEAD = 'name: x\ntitle: X\nhypothesis: h\nobjectives: { rto: 30s }\n';
const STEPS = 'steps:\n  - { wait: 10s, takes: 12s }\n  - note: n\n';
const SAID = `rationale: because
assumptions: [a weekday]
exclusions: [the replica]
runbook: books/failover.md
roles: [commander, { role: DBA, absent: true }]
`;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-planning-'));
  mkdirSync(join(dir, 'books'));
  writeFileSync(join(dir, 'books', 'failover.md'), '# Fail over\n');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function build(text: string): BuiltPlan {
  writeFileSync(join(dir, 's.yaml'), text);
  const target = { target: sampleTarget(), source: '', sha256: sha256Hex(''), file: 'lab.yaml' };
  return buildPlan({ scenario: loadScenario(join(dir, 's.yaml')), target });
}

test('a plan holds what the scenario says, and the digest of the runbook as it stands beside it', () => {
  const { plan } = build(HEAD + SAID + STEPS);
  expect(plan.scenario).toMatchObject({
    rationale: 'because',
    assumptions: ['a weekday'],
    exclusions: ['the replica'],
    runbook: { file: 'books/failover.md', sha256: sha256Hex('# Fail over\n') },
    roles: [
      { role: 'commander', absent: false },
      { role: 'DBA', absent: true },
    ],
  });
  expect(plan.steps.map(({ plannedMs }) => plannedMs)).toEqual([12_000, undefined]);
});

test('a plan of a scenario that says none of it holds no trace of it', () => {
  const { plan } = build(HEAD + STEPS.replace(', takes: 12s', ''));
  for (const name of ['rationale', 'assumptions', 'exclusions', 'runbook', 'roles']) expect(plan.scenario).not.toHaveProperty(name);
  expect(plan.steps.every((step) => !('plannedMs' in step))).toBe(true);
});

test('another edition of the runbook is another plan', () => {
  const before = build(HEAD + SAID + STEPS).planSha256;
  writeFileSync(join(dir, 'books', 'failover.md'), '# Fail over, second edition\n');
  expect(build(HEAD + SAID + STEPS).planSha256).not.toBe(before);
});

test.each([
  ['books/failover.md', 'books/gone.md', /s\.yaml:8:\d+: runbook: .*gone\.md cannot be read/],
  ['[a weekday]', '[]', /s\.yaml:6:\d+: assumptions: must hold at least one, or be left out/],
  ['absent: true', 'missing: true', /s\.yaml:9:\d+: roles\[1\]/],
  ['takes: 12s', 'takes: soon', /takes/],
])('%s written as %s is shown where it stands', (right, wrong, message) => {
  expect(() => build((HEAD + SAID + STEPS).replace(right, wrong))).toThrow(message);
});
