/** Ways in: every view has its row, a silence without an error is told as one, and the terminal speaks only of what differs a lot. */
import type { Interval, RtoMeasurement, ViewMeasurement } from '../model/measurement';
import { READ_ONLY } from '../model/observation';
import { sampleRecord } from '../test/fixtures/record';
import { renderHtml } from './html';
import { renderMarkdown } from './markdown';
import { renderTerminal } from './terminal';
import { viewLines, viewRows, type ViewRow } from './views';

const span = (lowMs: number, highMs = lowMs): Interval => ({ lowMs, highMs });

function measured(changes: Partial<RtoMeasurement> = {}): RtoMeasurement {
  const { rto } = sampleRecord();
  if ('notRecorded' in rto) throw new Error('the sample was measured');
  return {
    ...rto,
    latencies: [
      { phase: 'before', due: 200, succeeded: 200, latency: { count: 200, p50Ms: 1.5, p99Ms: 3.2, maxMs: 6 } },
      { phase: 'during', due: 48, succeeded: 0, latency: null },
      { phase: 'after', due: 100, succeeded: 100, latency: { count: 100, p50Ms: 1.5, p99Ms: 2_215, maxMs: 2_300 } },
    ],
    ...changes,
  };
}

const view = (
  path: string,
  client: ViewMeasurement['client'],
  changes: Partial<RtoMeasurement> = {},
  kind: 'write' | 'read' = 'write',
): ViewMeasurement => ({
  kind,
  path,
  client,
  rto: measured(changes),
});

const frozen = view('entry', 'naive', {
  counts: { acked: 300, rejected: 0, indeterminate: 0, missed: 396 },
  downMs: span(19_990, 20_040),
  rto: span(20_010, 20_080),
});
const pooled = view('pooler', 'tuned', { counts: { acked: 549, rejected: 2, indeterminate: 36, missed: 8 }, downMs: span(2_068, 2_279) });
const untouched = view('direct', 'tuned', {
  outages: [],
  rto: null,
  downMs: span(0),
  noOutageAboveMs: 100,
  counts: { acked: 600, rejected: 0, indeterminate: 1, missed: 0 },
});
const stuck = view('direct', 'naive', {
  rto: null,
  rtoAtLeastMs: 58_000,
  downMs: null,
  inconclusive: ['clients had not recovered when the measured span ended'],
});

function rowsOf(views: readonly ViewMeasurement[]): readonly ViewRow[] {
  const rows = viewRows(sampleRecord({ views }));
  if ('notRecorded' in rows) throw new Error(rows.notRecorded);
  return rows;
}

test('there is a row for the main way and for every other view, writes before reads', () => {
  const rows = rowsOf([view('entry', 'tuned', {}, 'read'), pooled, frozen]);
  expect(rows.map(({ clients }) => clients)).toEqual([
    'writes by entry, tuned client',
    'writes by pooler, tuned client',
    'writes by entry, naive client',
    'reads by entry, tuned client',
  ]);
});

test('an observation that only reads has reads as its main way', () => {
  const rows = viewRows(sampleRecord({ rpo: { notRecorded: READ_ONLY } }));
  expect('notRecorded' in rows ? rows : rows.map(({ clients }) => clients)).toEqual(['reads by entry, tuned client']);
});

test('a row has the figures, with what is not known said as such', () => {
  expect(rowsOf([pooled])[1]?.figures).toEqual([
    '1',
    '2.41 s to 2.42 s',
    '2.07 s to 2.28 s',
    '38 / 8',
    '8.9 ms',
    '3.2 ms / nothing answered / 2.21 s',
  ]);
  expect(rowsOf([pooled])[1]?.story).toBe('38 statements failed, 8 were not sent; nothing was acknowledged for 2.07 s to 2.28 s');
  expect(rowsOf([view('pooler', 'tuned', { latencies: [] })])[1]?.figures[5]).toBe('not recorded / not recorded / not recorded');
});

describe('what clients saw is told rightly', () => {
  const story = (each: ViewMeasurement): string | undefined => rowsOf([each])[1]?.story;

  test('a silence without one error', () => {
    expect(story(frozen)).toBe('0 statements failed, yet nothing was answered for 20.0 s ± 25 ms');
  });

  test('no outage, and failures beside successes', () => {
    expect(story(untouched)).toBe('no outage above 100 ms, 1 statement failed beside others that succeeded');
    expect(rowsOf([untouched])[1]?.figures.slice(1, 3)).toEqual(['no outage above 100 ms', '–']);
  });

  test('nobody recovered', () => {
    expect(story(stuck)).toBe('2 statements failed, 963 were not sent; nothing was acknowledged until the end');
    expect(rowsOf([stuck])[1]?.figures.slice(1, 3)).toEqual(['at least 58.0 s, not recovered', 'to the end']);
    expect(story(view('direct', 'naive', { rto: null, rtoAtLeastMs: 9_000 }))).toMatch(/; not recovered when the drill ended$/);
  });

  test('nothing was ever acknowledged', () => {
    const dead = view('direct', 'tuned', { outages: [], rto: null, noOutageAboveMs: null, inconclusive: ['no baseline was measured'] });
    expect(story(dead)).toBe('nothing was acknowledged at all');
    expect(rowsOf([dead])[1]?.figures[1]).toBe('not recorded: no baseline was measured');
  });

  test('several outages', () => {
    const [outage] = measured().outages;
    expect(story(view('direct', 'tuned', { outages: [outage!, outage!] }))).toMatch(/, in 2 outages$/);
  });
});

test('a doubt that the main way shares is not repeated; any other stands in its row', () => {
  const shared = 'fault "kill" was not confirmed to bite';
  const record = sampleRecord({
    rto: measured({ inconclusive: [shared] }),
    views: [view('direct', 'tuned', { inconclusive: [shared, 'no baseline was measured'], contradictions: ['1 > 2'] })],
  });
  const rows = viewRows(record);
  if ('notRecorded' in rows) throw new Error(rows.notRecorded);
  expect(rows.map(({ doubts }) => doubts)).toEqual([[shared], ['Contradiction: 1 > 2', 'no baseline was measured']]);
});

test('every format holds the rows; without a measurement it says why there are none', () => {
  const options = { digest: 'ab'.repeat(32), keyFingerprint: null };
  const record = sampleRecord({ views: [frozen, stuck] });
  for (const text of [renderHtml(record, options), renderMarkdown(record, options)]) {
    expect(text).toContain('writes by entry, naive client');
    expect(text).toContain('0 statements failed, yet nothing was answered for 20.0 s ± 25 ms');
    expect(text).toContain('clients had not recovered when the measured span ended');
  }
  const missing = sampleRecord({ rto: { notRecorded: 'the prober never started' } });
  expect(renderHtml(missing, options).split('id="ways-in"')[1]).toMatch(/^[^§]{0,120}Not recorded: the prober never started/);
  expect(renderMarkdown(missing, options)).toContain('## Ways in\n\nNot recorded: the prober never started');
  expect(viewLines(missing)).toEqual([]);
});

describe('the terminal', () => {
  test('says nothing of ways that are about as long', () => {
    expect(viewLines(sampleRecord({ views: [pooled, view('entry', 'tuned', { rto: span(4_500) }, 'read')] }))).toEqual([]);
  });

  test.each([
    ['much longer', frozen, 'writes by entry, naive client: 0 statements failed, yet nothing was answered for 20.0 s ± 25 ms'],
    [
      'not recovered',
      stuck,
      'writes by direct, naive client: 2 statements failed, 963 were not sent; nothing was acknowledged until the end',
    ],
  ])('has a line for what is %s', (_what, each, line) => {
    expect(viewLines(sampleRecord({ views: [pooled, each] }))).toEqual([line]);
  });

  test('has a line for a way that saw nothing of a long outage', () => {
    expect(viewLines(sampleRecord({ rto: measured({ rto: span(9_000) }), views: [untouched] }))).toHaveLength(1);
    expect(viewLines(sampleRecord({ rto: measured({ rto: span(900) }), views: [untouched] }))).toEqual([]);
  });

  test('stays short and as wide as ever', () => {
    const record = sampleRecord({ views: [1, 2, 3, 4, 5, 6].map(() => frozen) });
    const lines = renderTerminal(record, { color: false }).split('\n');
    expect(lines.filter((line) => line.includes('↳'))).toHaveLength(5);
    expect(lines.join('\n')).toContain('2 more ways in differ as much: see the report');
    expect(new Set(lines.map((line) => [...line].length))).toEqual(new Set([78]));
  });
});
