import { sampleRecord } from '../test/fixtures/record';
import type { DrillRecord } from '../model/record';
import { renderOscal } from './oscal';

const DIGEST = 'ab'.repeat(32);
interface Results {
  readonly 'assessment-results': {
    readonly uuid: string;
    readonly results: readonly {
      readonly findings?: readonly {
        readonly title: string;
        readonly target: { readonly type: string; readonly status: { readonly state: string; readonly reason: string } };
      }[];
      readonly risks?: readonly { readonly status: string; readonly deadline?: string; readonly statement: string }[];
      readonly observations: readonly { readonly uuid: string; readonly title: string; readonly description: string }[];
      readonly 'reviewed-controls': {
        readonly 'control-selections': readonly { readonly 'include-controls'?: readonly { readonly 'control-id': string }[] }[];
      };
    }[];
    readonly 'back-matter': {
      readonly resources: readonly {
        readonly rlinks: readonly { readonly href: string; readonly hashes?: readonly { readonly value: string }[] }[];
      }[];
    };
  };
}
const read = (record: DrillRecord, digest = DIGEST) => {
  const document = (JSON.parse(renderOscal(record, { digest })) as Results)['assessment-results'];
  const [result] = document.results;
  if (result === undefined) throw new Error('no result');
  return { document, result };
};
const uuidsIn = (text: string): readonly string[] => [...text.matchAll(/"uuid": "([^"]+)"/g)].map(([, uuid]) => uuid ?? '');
const sample = sampleRecord();

test('the same record gives the same bytes, another one other identifiers, and no identifier stands twice', () => {
  const text = renderOscal(sample, { digest: DIGEST });
  expect(renderOscal(sampleRecord(), { digest: DIGEST })).toBe(text);
  const uuids = uuidsIn(text);
  expect(uuids.length).toBeGreaterThan(20);
  expect(new Set(uuids).size).toBe(uuids.length);
  expect(uuids.filter((uuid) => !/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(uuid))).toEqual([]);
  const other = uuidsIn(renderOscal(sample, { digest: 'cd'.repeat(32) }));
  expect(other.filter((uuid) => uuids.includes(uuid))).toEqual([]);
});

test('every reference leads to something in the document', () => {
  const text = renderOscal(sample, { digest: DIGEST });
  const known = new Set(uuidsIn(text));
  const named = [...text.matchAll(/"(?:observation-uuid|subject-uuid|actor-uuid)": "([^"]+)"|"href": "#([^"]+)"/g)].map(
    ([, a, b]) => a ?? b ?? '',
  );
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((uuid) => !known.has(uuid))).toEqual([]);
});

test.each([
  ['pass', 'satisfied', 'pass'],
  ['fail', 'not-satisfied', 'fail'],
  ['marginal', 'not-satisfied', 'other'],
  ['inconclusive', 'not-satisfied', 'other'],
] as const)('an objective that is %s is %s, and only an objective is', (verdict, state, reason) => {
  const [objective] = sample.judgement.objectives;
  if (objective === undefined) throw new Error('the sample has no objective');
  const { result } = read(sampleRecord({ judgement: { ...sample.judgement, objectives: [{ ...objective, verdict }] } }));
  expect(result.findings).toHaveLength(1);
  expect(result.findings?.[0]?.target).toMatchObject({ type: 'objective-id', status: { state, reason } });
});

test('findings are risks, open until somebody accepted them, with their date', () => {
  const finding = {
    id: 'F1',
    rule: 'fork',
    severity: 'high' as const,
    text: 'n1 alone held 3',
    since: null,
    owner: 'jo',
    due: '2026-12-31',
    accepted: null,
  };
  const { result } = read(
    sampleRecord({ findings: [finding, { ...finding, id: 'F2', due: null, accepted: 'mira until 2027-01-01: known' }] }),
  );
  expect(result.risks).toMatchObject([
    { status: 'open', deadline: '2026-12-31T23:59:59Z', statement: 'n1 alone held 3' },
    { status: 'deviation-approved' },
  ]);
});

test('controls of NIST SP 800-53 carry the identifiers of its catalog, and nothing is said to be satisfied', () => {
  const control = { framework: 'nist-800-53', title: 'NIST', control: 'CP-4(1)', name: 'x', evidences: 'a', not: 'b', limits: [] };
  const { result } = read(
    sampleRecord({ controls: [control, { ...control, control: 'CP-9' }, { ...control, framework: 'dora', control: 'Art. 11' }] }),
  );
  expect(
    result['reviewed-controls']['control-selections'].map((each) => each['include-controls']?.map((one) => one['control-id'])),
  ).toEqual([['cp-4.1', 'cp-9'], ['dora-art-11']]);
});

test('the files of the bundle are named with their digests', () => {
  const { document } = read(sample);
  const links = document['back-matter'].resources.flatMap(({ rlinks }) => rlinks);
  expect(links.find(({ href }) => href === 'record.json')?.hashes?.[0]?.value).toBe(DIGEST);
  expect(links.find(({ href }) => href === 'plan.json')?.hashes?.[0]?.value).toBe(sample.planSha256);
});

test('what is not recorded is said to be, with the reason', () => {
  const gone = { notRecorded: 'the prober never started' };
  const { result } = read(
    sampleRecord({ rpo: gone, rto: gone, phases: [], steps: [], faults: [], restores: [], findings: [], controls: [] }),
  );
  expect(result.observations.find(({ title }) => title === 'What clients saw')?.description).toBe('Not recorded: the prober never started');
});
