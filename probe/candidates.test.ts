/** Time without a safe candidate: by hand, and in worlds whose truth is known. */
import fc from 'fast-check';
import { formatLsn } from '../core/lsn';
import type { NoSafeCandidate } from '../model/measurement';
import { AckTrail, noSafeCandidate } from './candidates';
import type { SampleEntry } from './ledger-format';

const NODES = ['n1', 'n2', 'n3'];
const ns = (ms: number): number => Math.round(ms * 1e6);
function look(node: string, role: SampleEntry['role'], askedMs: number, position: number | null, timeline = 1, takesMs = 1): SampleEntry {
  const lsn = position === null ? null : formatLsn(BigInt(position));
  return {
    kind: 'sample',
    node,
    askedNs: ns(askedMs),
    answeredNs: ns(askedMs + takesMs),
    role,
    timeline: role === 'down' ? null : timeline,
    lsn,
  };
}
/** One look every 100 ms from `fromMs` to `toMs`. */
function looks(
  node: string,
  role: SampleEntry['role'],
  fromMs: number,
  toMs: number,
  at: (ms: number) => number | null,
  timeline = 1,
): SampleEntry[] {
  return Array.from({ length: Math.floor((toMs - fromMs) / 100) + 1 }, (_, i) =>
    look(node, role, fromMs + 100 * i, at(fromMs + 100 * i), timeline),
  );
}
/** A write every 10 ms, acknowledged at once; its row ends at ten bytes a millisecond. */
function acks(untilMs: number, timeline = 1, fromMs = 0): AckTrail {
  const trail = new AckTrail();
  for (let ms = fromMs; ms <= untilMs; ms += 10) trail.add({ outcome: 'acked', doneNs: ns(ms), timeline, lsn: 10 * ms });
  return trail;
}
const written = (ms: number): number => 10 * ms + 5;
const primary = looks('n1', 'primary', 0, 3_000, written);
const follows = (node: string, toMs = 3_000): SampleEntry[] => looks(node, 'standby', 0, toMs, written);
const found = (samples: readonly SampleEntry[], trail = acks(3_000), nodes = NODES): NoSafeCandidate => {
  const measured = noSafeCandidate(samples, trail, nodes);
  if (measured === null) throw new Error('a primary answered');
  return measured;
};

describe('time without a safe candidate', () => {
  it('is none while one standby has all, whatever the other is', () => {
    for (const other of [[], looks('n3', 'down', 0, 3_000, () => null), looks('n3', 'standby', 0, 3_000, () => 7)])
      expect(found([...primary, ...follows('n2'), ...other])).toMatchObject({
        total: { lowMs: 0, highMs: 0 },
        count: 0,
        lasting: false,
        spans: [],
      });
  });

  it('is watched from the first look that can be held against a primary', () => {
    expect(found([...primary, ...follows('n2')])).toMatchObject({ fromMs: 101, toMs: 3_001 });
  });

  it('begins between the last look that shows a safe one and the first that shows none', () => {
    // From 1,000 ms on nothing more arrives, until all is there again at 2,000 ms.
    const stuck = looks('n2', 'standby', 0, 3_000, (ms) => written(ms < 1_000 || ms >= 2_000 ? ms : 999));
    const down = looks('n3', 'down', 0, 3_000, () => null);
    const { total, count, spans } = found([...primary, ...stuck, ...down]);
    // The look at 1,000 ms has what was acknowledged up to the primary's look at 900; the one at 1,100 lacks what was acknowledged up to 1,000.
    expect(spans).toEqual([
      {
        fromMs: 1_000,
        toMs: 2_001,
        lowMs: 1_900 - 1_101,
        standbys: [
          { node: 'n2', lack: 'behind' },
          { node: 'n3', lack: 'down' },
        ],
      },
    ]);
    expect([total, count]).toEqual([{ lowMs: 799, highMs: 1_001 }, 1]);
  });

  it('takes what is under way for no lack: only what was acknowledged by the primary’s look before', () => {
    const late = (ms: number) => looks('n2', 'standby', 0, 3_000, (at) => written(Math.max(0, at - ms)));
    expect(found([...primary, ...late(90)], acks(3_000), ['n1', 'n2']).total.highMs).toBe(0);
    expect(found([...primary, ...late(150)], acks(3_000), ['n1', 'n2']).total.lowMs).toBeGreaterThan(2_500);
  });

  it('asks for all that was ever acknowledged once the primary is silent', () => {
    const dies = looks('n1', 'primary', 0, 1_000, written).concat(looks('n1', 'down', 1_100, 3_000, () => null));
    // Acknowledged until 1,050 ms; the one standby ends before the last of them, the other right behind it.
    const ends = (position: number) => looks('n2', 'standby', 0, 3_000, (ms) => Math.min(written(ms), position));
    const lacking = found([...dies, ...ends(10_500)], acks(1_050), ['n1', 'n2']);
    expect(lacking.lasting).toBe(true);
    expect(lacking.spans.at(-1)).toMatchObject({ fromMs: 1_300, lowMs: 3_001 - 1_401 });
    expect(found([...dies, ...ends(10_501)], acks(1_050), ['n1', 'n2'])).toMatchObject({ lasting: false, total: { highMs: 0 } });
  });

  it('holds nobody safe on an older timeline than the primary’s, nor judges one on a newer before the primary is seen there', () => {
    const moved = [...looks('n1', 'primary', 0, 1_000, written), ...looks('n2', 'primary', 1_100, 3_000, written, 2)];
    const old = looks('n3', 'standby', 0, 3_000, written, 1);
    const trail = acks(1_000);
    for (let ms = 1_100; ms <= 3_000; ms += 10) trail.add({ outcome: 'acked', doneNs: ns(ms), timeline: 2, lsn: 10 * ms });
    const { spans, lasting } = found([...moved, ...old], trail);
    expect(lasting).toBe(true);
    expect(spans).toMatchObject([{ standbys: [{ node: 'n3', lack: 'timeline' }] }]);
    const ahead = [...looks('n3', 'standby', 0, 1_000, written), ...looks('n3', 'standby', 1_100, 3_000, written, 2)];
    // At 1,100 ms it is on a timeline of which no primary has been seen: neither safe nor unsafe.
    expect(found([...moved, ...ahead], trail)).toMatchObject({ lasting: false, total: { lowMs: 0, highMs: 1_201 - 1_000 } });
  });

  it('does not let an old primary’s acknowledgements, nor its looks, count against the new timeline', () => {
    const twins = [
      ...primary,
      ...looks('n2', 'primary', 1_050, 3_000, () => 10_100, 2),
      ...looks('n3', 'standby', 1_100, 3_000, () => 10_100, 2),
    ];
    const { total } = found([...twins, ...looks('n3', 'standby', 0, 1_000, written)]);
    expect(total.lowMs).toBe(0);
  });

  it('counts what was not looked at in the high end alone', () => {
    const gap = follows('n2').filter(({ askedNs }) => askedNs < ns(1_000) || askedNs >= ns(2_000));
    expect(found([...primary, ...gap], acks(3_000), ['n1', 'n2'])).toMatchObject({ total: { lowMs: 0, highMs: 2_001 - 900 }, count: 1 });
    // A node that never said anything may have been safe all the time.
    const never = looks('n2', 'down', 0, 3_000, () => null);
    expect(found([...primary, ...never], acks(3_000), ['n1', 'n2']).total).toEqual({ lowMs: 2_900, highMs: 2_900 });
    expect(found([...primary, ...never]).total).toEqual({ lowMs: 0, highMs: 2_900 });
  });

  it('lasts where there is no standby at all, and is unknown without a primary', () => {
    const alone = found(primary, acks(3_000), ['n1']);
    expect(alone).toMatchObject({ lasting: true, total: { lowMs: 2_900, highMs: 2_900 }, spans: [{ standbys: [] }] });
    expect(noSafeCandidate(follows('n2'), acks(3_000), NODES)).toBeNull();
  });

  it('goes by the primary’s position where nobody writes through the prober, and then proves safety alone', () => {
    expect(found([...primary, ...follows('n2')], new AckTrail(), ['n1', 'n2']).total.highMs).toBe(0);
    const behind = looks('n2', 'standby', 0, 3_000, (ms) => (ms < 1_000 ? written(ms) : 3));
    const { total } = found([...primary, ...behind], new AckTrail(), ['n1', 'n2']);
    expect(total.lowMs).toBe(0);
    expect(total.highMs).toBeGreaterThan(2_000);
  });

  it('names the longest spans, at most twenty', () => {
    // Every 300 ms one look of three is behind; the 25th time for longer.
    const on = (ms: number): boolean => ms % 300 === 200 || (ms > 7_000 && ms < 7_700);
    const samples = [...looks('n1', 'primary', 0, 9_000, written), ...looks('n2', 'standby', 0, 9_000, (ms) => (on(ms) ? 1 : written(ms)))];
    const { count, spans } = found(samples, acks(9_000), ['n1', 'n2']);
    expect(count).toBeGreaterThan(20);
    expect(spans).toHaveLength(20);
    expect(Math.max(...spans.map(({ fromMs, toMs }) => toMs - fromMs))).toBeGreaterThan(700);
    expect(spans.map(({ fromMs }) => fromMs)).toEqual(spans.map(({ fromMs }) => fromMs).sort((a, b) => a - b));
  });
});

test('the trail of acknowledgements tells the highest position up to an instant, timeline by timeline', () => {
  const trail = new AckTrail();
  const add = (doneMs: number, lsn: number | null, timeline: number | null = 1, outcome: 'acked' | 'indeterminate' = 'acked'): void =>
    trail.add({ outcome, doneNs: ns(doneMs), timeline, lsn });
  add(100, 10);
  add(200, 30);
  add(300, 20);
  add(400, 99, 1, 'indeterminate');
  add(400, 99, null);
  add(400, null);
  add(500, 7, 2);
  expect([99, 100, 199, 200, 1_000].map((ms) => trail.highest(1, ms))).toEqual([null, 10n, 10n, 30n, 30n]);
  expect([trail.highest(2, 499), trail.highest(2, 500), trail.highest(3, 1_000)]).toEqual([null, 7n, null]);
});

describe('in worlds whose truth is known', () => {
  type Kind = 'streams' | 'stuck' | 'down';
  const phases = fc.array(
    fc.record({ kind: fc.constantFrom<Kind>('streams', 'stuck', 'down'), forMs: fc.integer({ min: 450, max: 1_500 }) }),
    { minLength: 1, maxLength: 6 },
  );
  const TOLD_MS = 250;

  /** What a standby is and holds, at every millisecond. */
  function lifeOf(
    course: readonly { readonly kind: Kind; readonly forMs: number }[],
    lagMs: number,
    endMs: number,
  ): { up: boolean; has: number }[] {
    const life: { up: boolean; has: number }[] = [];
    let has = 0;
    const steps = course.flatMap(({ kind, forMs }) => Array.from({ length: forMs }, () => kind));
    for (let ms = 0; ms <= endMs; ms += 1) {
      const kind = steps[ms] ?? steps.at(-1) ?? 'streams';
      if (kind === 'streams') has = Math.max(has, written(ms - lagMs));
      life.push({ up: kind !== 'down', has });
    }
    return life;
  }

  it('the bounds hold the truth between them', () => {
    const world = fc.record({
      courses: fc.tuple(phases, phases),
      lagMs: fc.integer({ min: 0, max: 20 }),
      takes: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 }),
    });
    fc.assert(
      fc.property(world, ({ courses, lagMs, takes }) => {
        const endMs = 5_000;
        const lives = courses.map((course) => lifeOf(course, lagMs, endMs + 100));
        const samples: SampleEntry[] = [];
        for (let ms = 0, turn = 0; ms <= endMs; ms += 100) {
          for (const [at, life] of [null, ...lives].entries()) {
            const takesMs = takes[turn++ % takes.length] as number;
            if (life === null) samples.push(look('n1', 'primary', ms, written(ms), 1, takesMs));
            else if (life[ms]?.up === true) samples.push(look(`n${at + 1}`, 'standby', ms, life[ms]?.has ?? 0, 1, takesMs));
            else samples.push(look(`n${at + 1}`, 'down', ms, null, 1, takesMs));
          }
        }
        const { fromMs, toMs, total } = found(samples, acks(endMs));
        const lacking = (ms: number, toldMs: number): boolean =>
          lives.every((life) => life[ms]?.up !== true || (life[ms]?.has ?? 0) <= 10 * (Math.floor((ms - toldMs) / 10) * 10));
        let [strict, lenient] = [0, 0];
        for (let ms = Math.ceil(fromMs); ms < toMs; ms += 1) {
          strict += Number(lacking(ms, 0));
          lenient += Number(lacking(ms, TOLD_MS));
        }
        // Instants are whole milliseconds here; and what the last look found holds until the sampler ended, which is as long as that look took.
        expect(total.lowMs).toBeLessThanOrEqual(strict + 1 + Math.max(...takes));
        expect(total.highMs).toBeGreaterThanOrEqual(lenient - 1);
        expect(total.lowMs).toBeLessThanOrEqual(total.highMs);
      }),
      { numRuns: 100 },
    );
  });
});
