/** OSCAL against NIST's own JSON schema, which set-up brings from a package registry: of whole records, poor ones, and the file in a sealed bundle. */
import Ajv, { type ErrorObject } from 'ajv';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';
import { loadControls } from '../../evidence/controls';
import type { ControlEvidence, DrillRecord, RecordFinding } from '../../model/record';
import { renderOscal } from '../../report/oscal';
import { sampleRecord } from '../fixtures/record';
import { sealedDrill } from '../fixtures/sealed-drill';

const setup = (name: string): string => JSON.stringify(join(packageRoot(), 'infra', 'setup', name));
let validate: (document: unknown) => readonly string[];

beforeAll(() => {
  const program = `import { ensureOscalSchema } from ${setup('oscal-schema.mjs')}; import { cacheRoot } from ${setup('places.mjs')}; console.log(await ensureOscalSchema(cacheRoot()));`;
  const path = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }).trim();
  const schema = JSON.parse(readFileSync(path, 'utf8')) as { readonly $id: string };
  expect(schema.$id).toMatch(/\/oscal\/1\.2\.3\/oscal-ar-schema\.json$/);
  const known = (pattern: RegExp) => (text: string) => pattern.test(text);
  const ajv = new Ajv({
    strict: false,
    allErrors: true,
    formats: {
      'date-time': known(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$/),
      uri: (text: string) => URL.canParse(text),
      'uri-reference': (text: string) => URL.canParse(text, 'file:///bundle/'),
      email: known(/^[^@\s]+@[^@\s]+$/),
    },
  });
  const compiled = ajv.compile(schema);
  validate = (document) =>
    compiled(document) ? [] : (compiled.errors ?? []).map(({ instancePath, message = '' }: ErrorObject) => `${instancePath} ${message}`);
}, 180_000);

const of = (record: DrillRecord): readonly string[] => validate(JSON.parse(renderOscal(record, { digest: 'ab'.repeat(32) })));

test('a whole record, with every control that is mapped and findings of every kind', () => {
  const controls = loadControls().map(({ framework, title, control, name, evidences, not }): ControlEvidence => ({
    framework,
    title,
    control,
    name,
    evidences,
    not,
    limits: [],
  }));
  expect(controls.length).toBeGreaterThan(15);
  const finding: RecordFinding = {
    id: 'F1',
    rule: 'check-failed: a b',
    severity: 'high',
    text: ' x\n',
    since: null,
    owner: null,
    due: null,
    accepted: null,
  };
  const findings = [
    finding,
    { ...finding, id: 'F2', owner: 'jo', due: '2026-12-31', accepted: 'mira until 2027-01-01: known', since: 'drill-000001' },
  ];
  expect(of(sampleRecord({ controls, findings }))).toEqual([]);
});

test.each<readonly [string, Partial<DrillRecord>]>([
  [
    'a refused drill',
    { state: 'refused', verdict: 'inconclusive', phases: [], steps: [], faults: [], restores: [], people: [], controls: [], findings: [] },
  ],
  [
    'nothing recorded',
    { rto: { notRecorded: 'x' }, rpo: { notRecorded: 'x' }, judgement: { verdict: 'inconclusive', objectives: [], reasons: [] } },
  ],
  [
    'strange names',
    { drill: 'drill-000001', startedBy: 'Jo  "x" <y>', scenario: { ...sampleRecord().scenario, title: ' ', hypothesis: '\n' } },
  ],
])('%s', (_what, changes) => {
  expect(of(sampleRecord(changes))).toEqual([]);
});

test('the validator is no rubber stamp', () => {
  const broken = JSON.parse(renderOscal(sampleRecord(), { digest: 'ab'.repeat(32) })) as { 'assessment-results': { uuid: string } };
  broken['assessment-results'].uuid = 'x';
  expect(validate(broken).join()).toMatch(/uuid/);
});

test('the file that a bundle was sealed with', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'gameday-oscal-test-'));
  try {
    const { dir: bundle } = await sealedDrill(dir);
    expect(validate(JSON.parse(readFileSync(join(bundle, 'oscal-assessment-results.json'), 'utf8')))).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}, 60_000);
