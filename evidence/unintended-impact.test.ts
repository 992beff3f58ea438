/** What was hurt beside what was meant: a node, a role, a lease that no fault explains is seen; what the drill itself did, or a fault reached, is not. */
import type { DrillRecord, NodeSpan } from '../model/record';
import { sampleRecord } from '../test/fixtures/record';
import { unintendedImpact } from './unintended-impact';

const ON_N1 = [{ step: 'kill', nodes: ['n1'] }];
const at = (ms: number): string => new Date(Date.parse(sampleRecord().probeEpoch as string) + ms).toISOString();
const seenIn = (changes: Partial<DrillRecord>, reach = ON_N1) => {
  const found = unintendedImpact(sampleRecord(changes), reach);
  if ('notRecorded' in found) throw new Error(found.notRecorded);
  return found.seen;
};
const lanes = (...more: readonly NodeSpan[]): readonly NodeSpan[] => [...sampleRecord().nodeSpans, ...more];
/** Nothing is stopped or failed over by the drill itself. */
const idle = { steps: [], phases: [] };
const span = (node: string, role: NodeSpan['role'], fromMs: number, toMs: number): NodeSpan => ({ node, role, timeline: 1, fromMs, toMs });

test('where only what was meant was hurt none is seen, and the basis says what was watched', () => {
  expect(unintendedImpact(sampleRecord(), ON_N1)).toEqual({
    basis:
      'the prober asked n1, n2, n3 10 times a second what they are, for 2 min 11 s; how each fault ended and what was left behind were looked at when the record was made',
    reached: ['n1'],
    seen: [],
  });
});

test('a node that no fault reached and that fell silent is seen once, however often it did', () => {
  const down = [span('n3', 'down', 50_000, 50_400), span('n3', 'down', 60_000, 60_600)];
  expect(seenIn({ nodeSpans: lanes(...down) })).toEqual([
    {
      kind: 'node silent',
      subject: 'n3',
      what: 'did not answer the prober for 1.00 s in all, in 2 spans; no fault reached it',
      evidence: 'nodeSpans, the first from 50.0 s to 50.4 s of the prober’s time',
    },
  ]);
  expect(seenIn({ nodeSpans: lanes(...down) }, [{ step: 'kill', nodes: ['n1', 'n3'] }])).toEqual([]);
});

test('a node that the drill’s own failover or rebuilding stops is its work', () => {
  expect(seenIn({ nodeSpans: lanes(span('n3', 'down', 43_000, 43_300)) })).toEqual([]);
  expect(seenIn({ nodeSpans: lanes(span('n3', 'down', 110_000, 112_000)) })).toEqual([]);
  expect(seenIn({ nodeSpans: lanes(span('n3', 'down', 110_000, 112_000)), phases: [] })).toHaveLength(1);
});

test('a change of roles needs a failover, a rebuilding or a lost primary that explains it', () => {
  const switched = [
    span('n1', 'primary', 0, 50_000),
    span('n1', 'standby', 50_200, 90_000),
    span('n2', 'standby', 0, 50_000),
    span('n2', 'primary', 50_100, 90_000),
  ];
  const nobody = [{ step: 'slow', nodes: [] }];
  expect(seenIn({ ...idle, nodeSpans: switched }, nobody).map(({ kind, subject, what }) => [kind, subject, what])).toEqual([
    ['role changed', 'n1', expect.stringMatching(/^became standby without/)],
    ['role changed', 'n2', expect.stringMatching(/^became primary without/)],
  ]);
  // The primary was in a fault's reach.
  expect(seenIn({ ...idle, nodeSpans: switched }, ON_N1)).toEqual([]);
  // It had been silent, which is told by itself.
  const lost = [...switched, span('n1', 'down', 49_900, 50_050)];
  expect(seenIn({ ...idle, nodeSpans: lost }, nobody).map(({ kind, subject }) => `${kind} ${subject}`)).toEqual(['node silent n1']);
  // The drill had failed over; a failover that came later explains nothing.
  const failover = (ms: number) => [{ ...sampleRecord().steps[5]!, kind: 'failover' as const, startedAt: at(ms), endedAt: at(ms + 1_000) }];
  expect(seenIn({ ...idle, steps: failover(49_500), nodeSpans: switched }, nobody)).toEqual([]);
  expect(seenIn({ ...idle, steps: failover(70_000), nodeSpans: switched }, nobody)).toHaveLength(2);
});

test('writers beside the primary, a late prober, faults ended by others and leftovers are seen, each with its field', () => {
  const { rto } = sampleRecord();
  if ('notRecorded' in rto) throw new Error('the sample has an RTO');
  const both = { from: { lowMs: 1, highMs: 2 }, to: { lowMs: 3, highMs: 4 } };
  const seen = seenIn({
    splitBrain: [{ nodes: ['n1', 'n2'], ...both }],
    unlocked: [
      { node: 'n2', holder: null, ...both },
      { node: 'n1', holder: 'n2', ...both },
    ],
    rto: { ...rto, starvedMs: 12 },
    deviations: [
      { kind: 'ended early', step: 'kill', planned: 'process-kill is taken off by the drill', actual: 'its time ran out' },
      { kind: 'took longer', step: 'go', planned: 'at most 5.00 s', actual: '6.00 s' },
    ],
    left: ['sandbox /s: busy'],
  });
  expect(seen.map(({ kind, subject, evidence }) => [kind, subject, evidence])).toEqual([
    ['two writers', 'n1 and n2', 'splitBrain'],
    ['writes without the lead', 'n2', 'unlocked'],
    ['prober late', 'prober', 'rto.starvedMs'],
    ['fault ended early', 'kill', 'faults'],
    ['left behind', 'lab', 'left'],
  ]);
  expect(seen[0]?.what).toMatch(/no fault reached n2$/);
});

test('where nothing was watched, none is not said', () => {
  const blind: Partial<DrillRecord> = { nodeSpans: [], rto: { notRecorded: 'no prober ran' } };
  expect(unintendedImpact(sampleRecord(blind), [])).toEqual({
    notRecorded: 'nothing was watched: no prober asked the nodes in this drill',
  });
  // What is known without a prober is still told, and that no node was watched.
  expect(unintendedImpact(sampleRecord({ ...blind, left: ['a table'] }), [])).toMatchObject({
    basis: expect.stringMatching(/^no prober asked the nodes/) as string,
    seen: [{ kind: 'left behind' }],
  });
  expect(unintendedImpact(sampleRecord(), { notRecorded: 'the drill was lost' })).toEqual({ notRecorded: 'the drill was lost' });
  const some = unintendedImpact(sampleRecord({ nodeSpans: sampleRecord().nodeSpans.filter(({ node }) => node !== 'n3') }), ON_N1);
  expect('notRecorded' in some ? '' : some.basis).toContain('(not asked: n3)');
});
