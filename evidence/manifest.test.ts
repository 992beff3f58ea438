/** What a drill must have left: a chain that holds together may still lack what was never written. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChainedEvent, EventBody } from '../model/event';
import type { Plan, PlanStep } from '../model/plan';
import type { StepRecord } from '../model/record';
import { sealedDrill } from '../test/fixtures/sealed-drill';
import { samplePlan } from '../test/sample-plan';
import type { KeptFacts } from './kept-facts';
import { checkManifest, expectedEvents, manifestOf, type ManifestEntry } from './manifest';
import { verifyBundle } from './verify';

const root = mkdtempSync(join(tmpdir(), 'gameday-manifest-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const note = (id: string): PlanStep => ({ kind: 'note', id, title: id, text: id });
const plan: Plan = samplePlan([note('a'), { kind: 'parallel', id: 'both', title: 'both', branches: [[note('b')], [note('c')]] }]);
const step = (id: string, outcome: StepRecord['outcome'], reason: string | null = null): StepRecord => ({
  id,
  kind: 'note',
  title: id,
  outcome,
  reason,
  actor: 'gameday',
  startedAt: null,
  endedAt: null,
  output: null,
});
const lease = {
  key: { workflowId: 'w', runId: 'r', step: 'a' },
  injectedAt: 'x',
  confirmed: { holds: false },
  state: 'gone',
} as unknown as KeptFacts['leases'][number];
const course = (changes: Partial<KeptFacts> = {}): KeptFacts =>
  ({
    state: 'completed',
    steps: [
      step('a', 'done'),
      step('both', 'failed', 'b failed'),
      step('b', 'failed'),
      step('c', 'not executed', 'the other branch failed'),
    ],
    leases: [],
    ...changes,
  }) as KeptFacts;
const event = (writer: EventBody['writer'], at: string, kind: string, facts: EventBody['facts'] = {}): ChainedEvent => ({
  drill: 'drill-000001',
  writer,
  step: at,
  kind,
  attempt: 1,
  at: '2026-11-28T00:00:00Z',
  actor: 'x',
  text: kind,
  facts,
  n: 0,
  previousSha256: '',
});
const own = (at: string, ...kinds: readonly string[]): ChainedEvent[] => kinds.map((kind) => event('workflow', at, kind));
const told = [
  ...own('register', 'registered'),
  ...own('a', 'started', 'ended'),
  ...own('both', 'started', 'failed'),
  ...own('b', 'started', 'failed'),
  ...own('seal', 'verdict'),
];
const asSealed = (events: readonly ChainedEvent[], facts = course(), entries?: readonly ManifestEntry[]): ChainedEvent[] => [
  ...events,
  event('workflow', 'seal', 'facts', JSON.parse(JSON.stringify(facts)) as EventBody['facts']),
  event('workflow', 'seal', 'manifest', { keys: JSON.parse(JSON.stringify(entries ?? manifestOf(plan, facts, events))) as string }),
];

test('every step of the plan has a beginning and an end, nested ones too; what was not executed is excused with the reason', () => {
  const names = expectedEvents(plan, course(), { guardian: false, prober: false }).map(
    ({ step: at, kinds, excuse }) => `${at} ${kinds.join('/')}${excuse === null ? '' : ` (${excuse})`}`,
  );
  expect(names).toEqual([
    'register registered',
    'a started',
    'a ended',
    'both started',
    'both failed',
    'b started',
    'b failed',
    'c started (the step was not executed: the other branch failed)',
    'c ended (the step was not executed: the other branch failed)',
    'seal verdict',
  ]);
  expect(checkManifest(plan, asSealed(told))).toBe(
    '8 of 10 expected events are there; not recorded: workflow "started" of c: the step was not executed: the other branch failed; workflow "ended" of c: the step was not executed: the other branch failed',
  );
});

test('a step without an end is named, whatever its manifest says', () => {
  const without = told.filter(({ step: at, kind }) => at !== 'a' || kind !== 'ended');
  expect(() => checkManifest(plan, asSealed(without))).toThrow('workflow "ended" of a is missing');
  expect(manifestOf(plan, course(), without)).toContainEqual({
    writer: 'workflow',
    step: 'a',
    kind: 'ended',
    attempt: 1,
    state: 'not recorded: nobody wrote it',
  });
  const lying = manifestOf(plan, course(), told);
  expect(() => checkManifest(plan, asSealed(without, course(), lying))).toThrow(
    'workflow "ended" of a is missing; the manifest says that workflow "ended" of a was written, and it is not there',
  );
  const short = lying.filter(({ step: at }) => at !== 'b');
  expect(() => checkManifest(plan, asSealed(told, course(), short))).toThrow('the manifest does not name workflow "started" of b');
});

test('the guardian tells of each fault by itself; where its chain is missing as a whole, that is the reason', () => {
  const broken = course({ leases: [lease] });
  expect(checkManifest(plan, asSealed(told, broken))).toMatch(
    /^8 of 14 .*guardian "armed" of a: the guardian’s own chain of events is not in this bundle/,
  );
  const guardian = ['armed', 'injected', 'unconfirmed', 'gone'].map((kind) => event('guardian', 'a', kind));
  expect(checkManifest(plan, asSealed([...told, ...guardian], broken))).toMatch(/^12 of 14/);
  expect(() => checkManifest(plan, asSealed([...told, ...guardian.slice(0, 3)], broken))).toThrow('guardian "gone" of a is missing');
});

test('a lost drill is excused, and says so', () => {
  const lost = course({ state: 'lost', steps: [] });
  expect(checkManifest(plan, asSealed(own('register', 'registered'), lost))).toMatch(/^1 of 10 .*the drill was lost: nobody wrote its end/);
});

test('a bundle of before there were manifests is not failed for it', () => {
  expect(checkManifest(plan, told)).toBe('no manifest: sealed by a version before it');
});

test('a sealed bundle verifies with its manifest', async () => {
  const { dir, signer } = await sealedDrill(root);
  const { ok, checks } = await verifyBundle(dir, { publicKeyPem: signer.publicKeyPem });
  expect(checks.find(({ name }) => name === 'expected events')).toEqual({
    name: 'expected events',
    ok: true,
    detail: '10 of 10 expected events are there',
  });
  expect(ok).toBe(true);
  const last = readFileSync(join(dir, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { event: ChainedEvent }).event);
  expect(last.find(({ kind }) => kind === 'manifest')?.text).toBe('10 of 10 expected events are written');
}, 60_000);

test('of a drill whose prober kept a chain its beginning and end are expected, of one before it nothing', () => {
  const circumstances = { announced: true } as unknown as NonNullable<KeptFacts['circumstances']>;
  const probers = (events: readonly ChainedEvent[], facts: KeptFacts): readonly string[] =>
    manifestOf(plan, facts, events)
      .filter(({ writer }) => writer === 'prober')
      .map(({ kind, state }) => `${kind}: ${state}`);
  const began = event('prober', 'probe', 'started');
  expect(probers(told, course())).toEqual([]);
  expect(probers([...told, began], course({ circumstances }))).toEqual(['started: written', 'ended: not recorded: nobody wrote it']);
  expect(probers([...told, began], course({ circumstances, state: 'lost' }))).toEqual([
    'started: written',
    'ended: not recorded: the drill was lost: nobody wrote its end',
  ]);
  expect(probers(told, course({ circumstances }))).toEqual(
    ['started', 'ended'].map((kind) => `${kind}: not recorded: no prober ran, or its own chain of events is not in this bundle`),
  );
});

test('of a drill that somebody halted both of their events are expected, and named where they came too late', () => {
  const halted = course({ halted: { by: 'ann', reason: 'real incident' } });
  const asked = [event('halt', 'halt', 'asked')];
  const both = [...asked, event('halt', 'halt', 'answered')];
  expect(checkManifest(plan, asSealed([...told, ...both], halted))).toMatch(/^10 of 12 /);
  expect(checkManifest(plan, asSealed([...told, ...asked], halted))).toMatch(
    /^9 of 12 .*halt "answered" of halt: whoever halted wrote no event of their own before the seal/,
  );
  const lying = manifestOf(plan, halted, [...told, ...both]);
  expect(() => checkManifest(plan, asSealed([...told, ...asked], halted, lying))).toThrow(
    'the manifest says that halt "answered" of halt was written, and it is not there',
  );
  // While the bundle is made: the manifest is written, and then the answer comes.
  const before = manifestOf(plan, halted, [...told, ...asked]);
  expect(checkManifest(plan, asSealed([...told, ...both], halted, before))).toMatch(/^10 of 12 /);
  expect(checkManifest(plan, asSealed([...told, ...both]))).toMatch(/^8 of 10 /);
});
