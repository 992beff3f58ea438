/** What agents' logs add to what was watched: bounds that are closer, never ones that contradict it, and a word where they do. */
import type { Interval } from '../model/measurement';
import type { Clocks } from '../model/record';
import type { AgentLog } from './contract';
import { narrowedBy, readControllerLog, weighControllerLog, type OutageFrame } from './controller-log';

const EPOCH = Date.parse('2026-11-29T14:20:00.000Z');
const FRAME: OutageFrame = {
  t0: { lowMs: 10_000, highMs: 10_010 },
  untilMs: 40_000,
  epoch: { lowMs: EPOCH, highMs: EPOCH + 1 },
  leader: 'n1',
};
type Line = Extract<AgentLog, { readonly lines: unknown }>['lines'][number];

const line = (ms: number, means: Line['means'], leader: string | null = null): Line => ({
  means,
  leader,
  at: new Date(EPOCH + ms).toISOString(),
  resolutionMs: 1,
  words: `${means} ${leader ?? ''}`.trim(),
});
/** At both looks alike. */
const offsets = (bounds: Readonly<Record<string, Interval>>): Clocks => {
  const look = (at: string): Clocks['before'] => ({
    at,
    nodes: Object.entries(bounds).map(([node, offset]) => ({ node, offset })),
    synchronised: { notRecorded: 'nobody asked' },
  });
  return { reference: 'here', by: 'asking', before: look('2026-11-29T14:19:00.000Z'), after: look('2026-11-29T14:21:00.000Z') };
};
const SURE = offsets({ n1: { lowMs: -1, highMs: 1 }, n2: { lowMs: -1, highMs: 1 }, n3: { lowMs: -1, highMs: 1 } });

/** n2 asks for positions at 30.0 s and takes the key; n3 hears of it at 30.2 s, before n2 has written that it did. */
const LOST: readonly AgentLog[] = [
  { node: 'n1', notRecorded: 'its host does not answer' },
  { node: 'n2', lines: [line(5_000, 'names', 'n1'), line(30_000, 'noticed'), line(30_300, 'decided'), line(30_301, 'names', 'n2')] },
  { node: 'n3', lines: [line(5_000, 'names', 'n1'), line(30_190, 'noticed'), line(30_200, 'names', 'n2')] },
];
const read = (nodes: readonly AgentLog[], clocks: Clocks = SURE, frame: OutageFrame = FRAME) => readControllerLog({ nodes, clocks }, frame);

test('a stamp lies between the bounds of its node’s clock, its resolution and the millisecond of the prober’s own', () => {
  const slow = offsets({ n2: { lowMs: -250, highMs: -240 } });
  const { instants } = read([{ node: 'n2', lines: [{ ...line(30_000, 'noticed'), resolutionMs: 1_000 }] }], slow);
  expect(instants).toEqual([{ node: 'n2', means: 'noticed', words: 'noticed', at: { lowMs: 30_239, highMs: 31_250 } }]);
});

test('over two looks at a clock both count', () => {
  const at = (offset: Interval): Clocks['before'] => ({ ...(offsets({ n2: offset }).before as Extract<Clocks['before'], { at: string }>) });
  const clocks = { ...SURE, before: at({ lowMs: -1, highMs: 1 }), after: at({ lowMs: 4, highMs: 6 }) };
  expect(read([{ node: 'n2', lines: [line(30_000, 'noticed')] }], clocks).instants[0]?.at).toEqual({ lowMs: 29_993, highMs: 30_002 });
});

test('one look at a clock says nothing of where it ran to', () => {
  const once = { ...SURE, after: { notRecorded: 'it did not come so far' } };
  const { instants, notRecorded } = read([{ node: 'n2', lines: [line(30_000, 'noticed')] }], once);
  expect(instants).toEqual([]);
  expect(notRecorded).toEqual([{ node: 'n2', reason: expect.stringContaining('before and after') }]);
});

test('the first who noticed and the first who knew bound both from above; whoever took the key asked before', () => {
  const { detect, decide, instants, notRecorded } = read(LOST);
  expect(detect).toEqual({ lowMs: 10_000, highMs: 30_002 });
  expect(decide).toEqual({ lowMs: 29_998, highMs: 30_202 });
  expect(instants.map(({ node, means }) => `${node} ${means}`)).toEqual(['n2 noticed', 'n3 noticed', 'n3 decided', 'n2 decided']);
  expect(notRecorded).toEqual([{ node: 'n1', reason: 'its host does not answer' }]);
});

test('a leader that gives up by itself has not been noticed by anybody yet', () => {
  const alone: AgentLog = { node: 'n1', lines: [line(20_000, 'noticed'), line(20_001, 'stepped down')] };
  const { detect, instants } = read([alone, ...LOST.slice(1)]);
  expect(detect?.highMs).toBe(30_002);
  expect(instants.slice(0, 2).map(({ node, means }) => `${node} ${means}`)).toEqual(['n1 noticed', 'n1 stepped down']);
});

test('who led before is told by the logs where the controller did not answer', () => {
  expect(read(LOST, SURE, { ...FRAME, leader: null })).toEqual(read(LOST));
});

test('lines before the outage and after it, and of a leader who stays, tell nothing', () => {
  const log: AgentLog = { node: 'n2', lines: [line(9_000, 'noticed'), line(12_000, 'names', 'n1'), line(41_000, 'decided')] };
  expect(read([log])).toEqual({ instants: [], notRecorded: [], detect: null, decide: null });
});

test('a node whose clock nobody compared is left out, with the reason', () => {
  const { instants, notRecorded } = read(LOST, offsets({ n2: { lowMs: -1, highMs: 1 } }));
  expect(instants.map(({ node }) => node)).toEqual(['n2', 'n2']);
  expect(notRecorded.map(({ node }) => node)).toEqual(['n1', 'n3']);
});

test('what both allow; where they exclude each other, what was watched', () => {
  const watched = { lowMs: 29_900, highMs: 30_100 };
  const by = (detect: Interval | null, seen: Interval | null, silent = false): Interval | null =>
    narrowedBy({ detect, decide: null }, { detect: seen, decide: null, silent }, 'detect');
  expect(by({ lowMs: 0, highMs: 30_002 }, watched)).toEqual({ lowMs: 29_900, highMs: 30_002 });
  expect(by({ lowMs: 0, highMs: 29_000 }, watched)).toBe(watched);
  expect(by({ lowMs: 0, highMs: 31_000 }, watched)).toBe(watched);
  expect(by(null, watched)).toBe(watched);
});

test('a controller that answered and named no other has not changed its mind, whatever a log says; one that was silent proves nothing', () => {
  const told = { lowMs: 1, highMs: 2 };
  const by = (silent: boolean): Interval | null =>
    narrowedBy({ detect: told, decide: null }, { detect: null, decide: null, silent }, 'detect');
  expect(by(false)).toBeNull();
  expect(by(true)).toBe(told);
});

test('what ends closer is named; members who hear of it one after the other are no contradiction, a second is', () => {
  const log = read(LOST);
  const weigh = (detect: Interval | null, decide: Interval | null) => {
    const { narrowed, contradictions } = weighControllerLog(log, { detect, decide, silent: detect === null });
    return [narrowed, contradictions];
  };
  expect(weigh({ lowMs: 29_900, highMs: 30_100 }, { lowMs: 29_900, highMs: 30_100 })).toEqual([['detection', 'decision'], []]);
  expect(weigh({ lowMs: 29_900, highMs: 30_000 }, { lowMs: 30_000, highMs: 30_100 })).toEqual([[], []]);
  expect(weigh(null, null)).toEqual([['detection', 'decision'], []]);
  expect(weigh({ lowMs: 30_500, highMs: 30_600 }, { lowMs: 30_500, highMs: 30_600 })).toEqual([[], []]);
  expect(weigh({ lowMs: 32_002, highMs: 32_100 }, { lowMs: 20_000, highMs: 20_100 })).toEqual([
    [],
    [
      'by the agents’ own logs the controller’s detection came at least 2.00 s earlier than its answers say',
      'by the agents’ own logs the controller’s decision came at least 9.90 s later than its answers say',
    ],
  ]);
});
