/** Staleness of standbys: by hand, and in worlds whose truth is known. */
import fc from 'fast-check';
import { formatLsn } from '../core/lsn';
import type { SampleEntry } from './ledger-format';
import { replicaLag, replicaStaleness } from './staleness';

function look(node: string, role: SampleEntry['role'], askedMs: number, lsn: number, timeline = 1, takesMs = 1): SampleEntry {
  return {
    kind: 'sample',
    node,
    askedNs: Math.round(askedMs * 1e6),
    answeredNs: Math.round((askedMs + takesMs) * 1e6),
    role,
    timeline,
    lsn: formatLsn(BigInt(lsn)),
  };
}
/** A primary that writes ten bytes a millisecond and is asked every 100 ms. */
const writing = (fromMs: number, toMs: number, node = 'n1', timeline = 1): SampleEntry[] =>
  Array.from({ length: (toMs - fromMs) / 100 + 1 }, (_, at) =>
    look(node, 'primary', fromMs + at * 100, 10 * (fromMs + at * 100), timeline),
  );

describe('staleness of a standby', () => {
  it('over time is the worst of each second, and has no second in which nobody wrote', () => {
    const samples = [
      ...writing(0, 1_900),
      ...[950, 1_050, 1_150].map((at) => look('n2', 'standby', at, 5_050)),
      look('n2', 'standby', 3_500, 5_050),
      ...writing(4_000, 5_000),
      look('n2', 'standby', 4_950, 49_400),
    ];
    expect(replicaLag(samples)).toEqual([
      {
        node: 'n2',
        bins: [
          { atMs: 0, lowMs: 950 - 601, highMs: 951 - 500 },
          { atMs: 1_000, lowMs: 1_150 - 601, highMs: 1_151 - 500 },
          { atMs: 4_000, lowMs: 0, highMs: 51 },
        ],
      },
    ]);
  });

  it('over time is at worst what the whole drill is at worst, whoever looked when', () => {
    const standby = fc.record({
      node: fc.constantFrom('n2', 'n3'),
      at: fc.integer({ min: 0, max: 6_000 }),
      lsn: fc.integer({ min: 1, max: 70_000 }),
    });
    fc.assert(
      fc.property(fc.array(standby, { maxLength: 40 }), (looks) => {
        const samples = [
          ...writing(500, 3_000),
          ...writing(4_000, 6_000),
          ...looks.map(({ node, at, lsn }) => look(node, 'standby', at, lsn)),
        ];
        const worst = replicaStaleness(samples).map(({ node, lowMs, highMs }) => ({ node, lowMs, highMs }));
        const overTime = replicaLag(samples).map(({ node, bins }) => ({
          node,
          lowMs: Math.max(...bins.map((bin) => bin.lowMs)),
          highMs: bins.some(({ highMs }) => highMs === null) ? null : Math.max(...bins.map(({ highMs }) => highMs ?? 0)),
        }));
        expect(overTime).toEqual(worst);
      }),
    );
  });

  it('is nothing, to the sampler’s resolution, where it has all that the primary had', () => {
    const [n2] = replicaStaleness([...writing(0, 1_000), look('n2', 'standby', 1_050, 10_400)]);
    expect(n2).toEqual({ node: 'n2', lowMs: 0, highMs: 51, atMs: 1_050 });
  });

  it('is counted from where the primary passed what it has', () => {
    const [n2] = replicaStaleness([...writing(0, 2_000), look('n2', 'standby', 2_050, 5_050)]);
    // Passed between the looks at 500 and 600 ms.
    expect(n2).toMatchObject({ lowMs: 2_050 - 601, highMs: 2_051 - 500 });
  });

  it('is at least as long as the prober watched where a standby was behind before that', () => {
    const stuck = [100, 900, 500].map((at) => look('n2', 'standby', 1_000 + at, 3));
    expect(replicaStaleness([...writing(1_000, 2_000), ...stuck])).toEqual([{ node: 'n2', lowMs: 900 - 1, highMs: null, atMs: 1_900 }]);
  });

  it('does not grow while the primary writes nothing, nor while there is none', () => {
    const idle = Array.from({ length: 50 }, (_, at) => look('n1', 'primary', at * 100, 7));
    expect(replicaStaleness([...idle, look('n2', 'standby', 4_950, 7)])[0]?.highMs).toBeLessThan(60);
    expect(replicaStaleness([...writing(0, 1_000), look('n2', 'standby', 9_000, 9_000)])).toEqual([]);
  });

  it('begins with the next primary where a standby had all that the lost one had', () => {
    const samples = [...writing(0, 1_000), ...writing(5_000, 5_400, 'n2', 2), look('n3', 'standby', 5_450, 10_400)];
    expect(replicaStaleness(samples)[0]).toMatchObject({ node: 'n3', lowMs: 449, highMs: 751 });
  });

  it('is that of the timeline which won, whatever an old primary still says', () => {
    const samples = [
      ...writing(0, 1_000),
      look('n2', 'primary', 1_200, 11_000, 2),
      ...writing(1_250, 1_450),
      look('n3', 'standby', 1_500, 11_000, 2),
    ];
    expect(replicaStaleness(samples)[0]).toMatchObject({ lowMs: 0, highMs: 301 });
  });

  it('says nothing of a standby that is down or tells no position', () => {
    const silent: SampleEntry = { ...look('n2', 'standby', 1_000, 0), lsn: null };
    expect(replicaStaleness([...writing(0, 1_000), silent, { ...silent, node: 'n3', role: 'down' }])).toEqual([]);
  });

  it('contains the truth of a world in which it is known', () => {
    const world = fc.record({
      steps: fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 5, maxLength: 60 }),
      lags: fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 1, maxLength: 10 }),
      takes: fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 7 }),
      when: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(world, ({ steps, lags, takes, when }) => {
        // The primary writes `steps[i]` bytes at instant 100 i + 37.
        const writtenAt = steps.map((_, at) => 100 * at + 37);
        const positionAt = (ms: number): number => steps.reduce((sum, bytes, at) => sum + ((writtenAt[at] as number) <= ms ? bytes : 0), 1);
        const samples: SampleEntry[] = [];
        let worst = -1;
        for (let at = 0; at < steps.length; at += 1) {
          const takesMs = takes[at % takes.length] as number;
          samples.push(look('n1', 'primary', 100 * at, positionAt(100 * at + when * takesMs), 1, takesMs));
          if (at === 0) continue;
          const nowMs = 100 * at + when * takesMs;
          const has = positionAt(Math.max(0, nowMs - (lags[at % lags.length] as number)));
          samples.push(look('n2', 'standby', 100 * at, has, 1, takesMs));
          const passed = writtenAt.find((ms) => ms <= nowMs && positionAt(ms) > has);
          worst = Math.max(worst, passed === undefined ? 0 : nowMs - passed);
        }
        const [found] = replicaStaleness(samples);
        expect(found?.lowMs).toBeLessThanOrEqual(worst);
        expect(found?.highMs ?? Infinity).toBeGreaterThanOrEqual(worst);
      }),
    );
  });
});
