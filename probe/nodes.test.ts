/** What the node sampler saw: lanes, promotions, split brain and unlocked spans, by hand and against an obvious reference. */
import fc from 'fast-check';
import type { ControllerEntry, SampleEntry } from './ledger-format';
import { nodeSpans, promotions, splitBrainSpans, unlockedSpans } from './nodes';

const sample = (node: string, ms: number, role: SampleEntry['role'], timeline: number | null = 1, takesMs = 2): SampleEntry => ({
  kind: 'sample',
  node,
  askedNs: ms * 1e6,
  answeredNs: (ms + takesMs) * 1e6,
  role,
  timeline: role === 'down' ? null : timeline,
  lsn: null,
});
const says = (ms: number, primary: string | null, error: string | null = null): ControllerEntry => ({
  kind: 'controller',
  askedNs: ms * 1e6,
  answeredNs: (ms + 2) * 1e6,
  primary,
  error,
});
const every100 = (node: string, fromMs: number, toMs: number, role: SampleEntry['role'], timeline: number | null = 1): SampleEntry[] =>
  Array.from({ length: (toMs - fromMs) / 100 + 1 }, (_, at) => sample(node, fromMs + at * 100, role, timeline));
const inOrder = (...all: readonly SampleEntry[][]): SampleEntry[] => all.flat().sort((a, b) => a.answeredNs - b.answeredNs);
const at = (ms: number, takesMs = 2) => ({ lowMs: ms, highMs: ms + takesMs });

describe('lanes', () => {
  it('reach from the first answer of a kind to the first of the next', () => {
    const samples = [...every100('n1', 0, 200, 'primary'), ...every100('n1', 300, 400, 'down'), ...every100('n1', 500, 600, 'standby', 2)];
    expect(nodeSpans(samples)).toEqual([
      { node: 'n1', role: 'primary', timeline: 1, fromMs: 2, toMs: 302 },
      { node: 'n1', role: 'down', timeline: null, fromMs: 302, toMs: 502 },
      { node: 'n1', role: 'standby', timeline: 2, fromMs: 502, toMs: 602 },
    ]);
  });
});

describe('promotions', () => {
  it('date a promotion between the node’s own answers before and after', () => {
    const samples = inOrder(
      every100('n1', 0, 300, 'primary'),
      every100('n1', 400, 700, 'down'),
      every100('n2', 50, 550, 'standby'),
      every100('n2', 650, 950, 'primary', 2),
    );
    expect(promotions(samples)).toEqual([{ node: 'n2', timeline: 2, at: { lowMs: 550, highMs: 652 } }]);
  });

  it('knows no promotion without a higher timeline, nor from the first primary that it ever saw', () => {
    const restarted = inOrder(
      every100('n1', 0, 200, 'primary', 3),
      every100('n1', 300, 400, 'down'),
      every100('n1', 500, 700, 'primary', 3),
    );
    expect(promotions(restarted)).toEqual([]);
    expect(promotions([sample('n1', 0, 'primary', 3), sample('n2', 100, 'primary', 2)])).toEqual([]);
    expect(promotions([sample('n1', 0, 'standby', 1), sample('n1', 100, 'primary', null), sample('n1', 200, 'primary', 2)])).toEqual([]);
  });

  it('says "since the beginning" of a node that was never asked before', () => {
    expect(promotions([sample('n1', 0, 'primary', 1), sample('n2', 100, 'primary', 2)])).toMatchObject([{ at: { lowMs: 0, highMs: 102 } }]);
  });
});

describe('split brain', () => {
  it('is two nodes that were writable within overlapping bounds, dated by their answers', () => {
    const samples = inOrder(every100('n1', 0, 500, 'primary'), every100('n2', 50, 250, 'standby'), every100('n2', 350, 850, 'primary', 2));
    expect(splitBrainSpans(samples)).toEqual([{ nodes: ['n1', 'n2'], from: at(350), to: { lowMs: 500, highMs: 502 } }]);
  });

  it('takes bounds that only touch for overlapping, and those apart for an orderly change', () => {
    const second = every100('n2', 202, 400, 'primary', 2);
    expect(splitBrainSpans(inOrder(every100('n1', 0, 200, 'primary'), second))).toHaveLength(1);
    expect(splitBrainSpans(inOrder(every100('n1', 0, 100, 'primary'), [sample('n1', 199, 'primary')], second))).toEqual([]);
  });

  it('is not lost when the old primary’s timeline changes in between, and not found in one node', () => {
    const samples = inOrder(
      every100('n1', 0, 300, 'primary', 1),
      every100('n1', 400, 900, 'primary', 2),
      every100('n2', 50, 950, 'primary', 1),
    );
    expect(splitBrainSpans(samples)).toEqual([{ nodes: ['n1', 'n2'], from: { lowMs: 50, highMs: 52 }, to: { lowMs: 900, highMs: 902 } }]);
    expect(splitBrainSpans(inOrder(every100('n1', 0, 300, 'primary', 1), every100('n1', 350, 650, 'standby')))).toEqual([]);
  });

  it('is found where it was, and never where one ended before the other began', () => {
    const lane = fc.record({ fromMs: fc.integer({ min: 0, max: 1_500 }), forMs: fc.integer({ min: 1, max: 1_500 }) });
    fc.assert(
      fc.property(lane, lane, fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 99 }), (a, b, takesMs, phaseMs) => {
        // Each node is asked every 100 ms and answers as it is half-way through.
        const lanes = [
          { node: 'n1', from: a.fromMs, to: a.fromMs + a.forMs, phase: 0 },
          { node: 'n2', from: b.fromMs, to: b.fromMs + b.forMs, phase: phaseMs },
        ];
        const samples = lanes.map(({ node, from, to, phase }) =>
          Array.from({ length: 32 }, (_, index) => {
            const asked = phase + index * 100;
            const isPrimary = asked + takesMs / 2 >= from && asked + takesMs / 2 < to;
            return sample(node, asked, isPrimary ? 'primary' : 'standby', 1, takesMs);
          }),
        );
        const overlapMs = Math.min(lanes[0]!.to, lanes[1]!.to) - Math.max(lanes[0]!.from, lanes[1]!.from);
        const found = splitBrainSpans(inOrder(...samples)).length > 0;
        if (overlapMs > 200) expect(found).toBe(true);
        if (overlapMs < -takesMs) expect(found).toBe(false);
      }),
    );
  });
});

describe('unlocked spans', () => {
  const primary = every100('n1', 0, 900, 'primary');

  it('are those in which a node takes writes while the controller names another, or nobody', () => {
    const other = [10, 110, 210, 310].map((ms) => says(ms, 'n2'));
    expect(unlockedSpans(primary, other)).toEqual([{ node: 'n1', holder: 'n2', from: at(10), to: at(310) }]);
    expect(unlockedSpans(primary, [says(10, null), says(110, null)])).toMatchObject([{ holder: null, from: at(10), to: at(110) }]);
  });

  it('end and begin with the node’s own answers', () => {
    const other = [10, 310, 610, 1_500].map((ms) => says(ms, 'n2'));
    expect(unlockedSpans(every100('n1', 100, 500, 'primary'), other)).toMatchObject([{ from: at(100), to: at(500) }]);
  });

  it('take the controller at its word only when it says so twice, and silence for no word', () => {
    expect(unlockedSpans(primary, [says(10, 'n1'), says(110, 'n2'), says(210, 'n1')])).toEqual([]);
    expect(unlockedSpans(primary, [says(10, null, 'no answer'), says(110, null, 'no answer'), says(210, null, 'no answer')])).toEqual([]);
    const between = [says(10, 'n2'), says(110, null, 'no answer'), says(210, 'n2')];
    expect(unlockedSpans(primary, between)).toMatchObject([{ from: at(10), to: at(210) }]);
  });

  it('are none while it names the node itself, or the node takes no writes', () => {
    expect(unlockedSpans(primary, [says(10, 'n1'), says(110, 'n1')])).toEqual([]);
    expect(unlockedSpans(every100('n1', 0, 900, 'standby'), [says(10, 'n2'), says(110, 'n2')])).toEqual([]);
  });
});

describe('nodes, against an obvious reference', () => {
  const anySample = fc.record({
    node: fc.constantFrom('n1', 'n2', 'n3'),
    role: fc.constantFrom('primary' as const, 'primary' as const, 'standby' as const, 'down' as const),
    timeline: fc.option(fc.integer({ min: 1, max: 4 })),
    takesMs: fc.integer({ min: 1, max: 150 }),
  });
  const anySamples = fc
    .array(anySample, { maxLength: 30 })
    .map((all) => inOrder(all.map(({ node, role, timeline, takesMs }, index) => sample(node, index * 30, role, timeline, takesMs))));
  const text = (all: readonly unknown[]): string[] => all.map((each) => JSON.stringify(each)).sort();

  /** Of one node: the longest stretches of answers that say the same. */
  function stretches(samples: readonly SampleEntry[], node: string, same: (a: SampleEntry, b: SampleEntry) => boolean): SampleEntry[][] {
    const own = samples.filter((each) => each.node === node);
    const starts = own.flatMap((each, index) => (index === 0 || !same(own[index - 1]!, each) ? [index] : []));
    return starts.map((start, index) => own.slice(start, starts[index + 1] ?? own.length));
  }
  const interval = ({ askedNs, answeredNs }: SampleEntry) => ({ lowMs: askedNs / 1e6, highMs: answeredNs / 1e6 });

  it('promotions are exactly the samples of a primary beyond every timeline seen before', () => {
    fc.assert(
      fc.property(anySamples, (samples) => {
        const expected = samples.flatMap((each, index) => {
          const before = samples.slice(0, index).filter((other) => other.role === 'primary' && other.timeline !== null);
          const { timeline } = each;
          if (each.role !== 'primary' || timeline === null || before.length === 0) return [];
          if (before.some((other) => (other.timeline ?? 0) >= timeline)) return [];
          const own = samples.slice(0, index).filter((other) => other.node === each.node);
          return [{ node: each.node, timeline, at: { lowMs: (own.at(-1)?.askedNs ?? 0) / 1e6, highMs: each.answeredNs / 1e6 } }];
        });
        expect(promotions(samples)).toEqual(expected);
      }),
    );
  });

  it('lanes cover each node without a gap', () => {
    fc.assert(
      fc.property(anySamples, (samples) => {
        const expected = ['n1', 'n2', 'n3'].flatMap((node) => {
          const lanes = stretches(samples, node, (a, b) => a.role === b.role && a.timeline === b.timeline);
          return lanes.map((lane, index) => ({
            node,
            role: lane[0]!.role,
            timeline: lane[0]!.timeline,
            fromMs: interval(lane[0]!).highMs,
            toMs: interval(lanes[index + 1]?.[0] ?? lane.at(-1)!).highMs,
          }));
        });
        expect(text(nodeSpans(samples))).toEqual(text(expected));
      }),
    );
  });

  it('split brain is every pair of writable stretches of two nodes whose bounds meet', () => {
    fc.assert(
      fc.property(anySamples, (samples) => {
        const writable = ['n1', 'n2', 'n3'].flatMap((node) =>
          stretches(samples, node, (a, b) => a.role === b.role)
            .filter(([first]) => first?.role === 'primary')
            .map((run) => ({ node, first: interval(run[0]!), last: interval(run.at(-1)!) })),
        );
        const expected = writable.flatMap((a, index) =>
          writable.slice(index + 1).flatMap((b) => {
            const meet = a.first.lowMs <= b.last.highMs && b.first.lowMs <= a.last.highMs;
            if (a.node === b.node || !meet) return [];
            return [
              {
                nodes: [a.node, b.node].sort(),
                from: { lowMs: Math.max(a.first.lowMs, b.first.lowMs), highMs: Math.max(a.first.highMs, b.first.highMs) },
                to: { lowMs: Math.min(a.last.lowMs, b.last.lowMs), highMs: Math.min(a.last.highMs, b.last.highMs) },
              },
            ];
          }),
        );
        expect(text(splitBrainSpans(samples))).toEqual(text(expected));
      }),
    );
  });
});
