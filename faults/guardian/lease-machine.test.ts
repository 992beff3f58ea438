/** The lease machine under random orders of events, and the refusals that keep a fault from biting twice or late. */
import fc from 'fast-check';
import { GamedayError } from '../../core/errors';
import type { Target } from '../../model/target';
import { advance, armLease, buryLease, isExpired, type Lease, type LeaseEvent, type Moment } from './lease-machine';

const target = { name: 't' } as unknown as Target;
const key = { workflowId: 'drill/1', runId: 'r', step: 'slow' };
const handle = { fault: 'noop', drill: 'drill-000001', resolved: {}, preview: 'nothing', manualUndo: [] };
const at = (bootMs: number, bootId = 'boot'): Moment => ({ bootId, bootMs, utc: new Date(1_700_000_000_000 + bootMs).toISOString() });
const proof = { holds: true, by: 'seen', facts: {} };
const armed = (): Lease => armLease({ key, handle, target, ttlMs: 1_000, maxMs: 5_000, order: 1 }, at(0));

const event: fc.Arbitrary<LeaseEvent> = fc.oneof(
  fc.constant<LeaseEvent>({ kind: 'inject' }),
  fc.constant<LeaseEvent>({ kind: 'injected', facts: {} }),
  fc.constant<LeaseEvent>({ kind: 'confirmed', proof }),
  fc.integer({ min: 1, max: 20_000 }).map((ttlMs): LeaseEvent => ({ kind: 'renew', ttlMs })),
  fc.constantFrom('undone', 'expired', 'halted', 'reconciled').map((by): LeaseEvent => ({ kind: 'undo', by: by as 'undone' })),
  fc.constant<LeaseEvent>({ kind: 'attempt-failed', error: 'no' }),
  fc.boolean().map((holds): LeaseEvent => ({ kind: 'proven-gone', proof: { ...proof, holds } })),
);
const history = fc.array(fc.record({ event, afterMs: fc.integer({ min: 0, max: 400 }) }), { maxLength: 60 });

/** Applies the events; refused ones change nothing. Returns every state passed. */
function play(steps: readonly { readonly event: LeaseEvent; readonly afterMs: number }[]): {
  readonly lease: Lease;
  readonly trail: readonly Lease[];
  readonly ms: number;
} {
  let lease = armed();
  let ms = 0;
  const trail = [lease];
  for (const step of steps) {
    ms += step.afterMs;
    try {
      lease = advance(lease, step.event, at(ms));
    } catch (error) {
      expect((error as GamedayError).code).toBe('lease_gone');
    }
    trail.push(lease);
  }
  return { lease, trail, ms };
}

test('in any order of events a lease is injected at most once, and gone is for ever', () => {
  fc.assert(
    fc.property(history, (steps) => {
      const { trail } = play(steps);
      const entered = trail.filter((lease, n) => lease.state === 'injecting' && trail[n - 1]?.state !== 'injecting').length;
      expect(entered).toBeLessThanOrEqual(1);
      const buried = trail.findIndex((lease) => lease.state === 'gone');
      if (buried >= 0) for (const lease of trail.slice(buried)) expect(lease.state).toBe('gone');
      const order = ['armed', 'injecting', 'active', 'undoing', 'gone'];
      for (const [n, lease] of trail.entries())
        if (n > 0) expect(order.indexOf(lease.state)).toBeGreaterThanOrEqual(order.indexOf(trail[n - 1]?.state ?? 'armed'));
    }),
    { numRuns: 500 },
  );
});

test('from every reachable state an undo and its proof lead to gone', () => {
  fc.assert(
    fc.property(history, (steps) => {
      const { lease, ms } = play(steps);
      const undoing = advance(lease, { kind: 'undo', by: 'halted' }, at(ms));
      const gone = undoing.state === 'gone' ? undoing : advance(undoing, { kind: 'proven-gone', proof }, at(ms));
      expect(gone.state).toBe('gone');
      expect(gone.gone?.holds).toBe(true);
    }),
  );
});

test('no order of renewals moves a deadline past the hard maximum, or back', () => {
  fc.assert(
    fc.property(history, (steps) => {
      const { trail } = play(steps);
      for (const [n, lease] of trail.entries()) {
        expect(lease.expiresBootMs).toBeLessThanOrEqual(5_000);
        expect(lease.hardMaximumBootMs).toBe(5_000);
        if (n > 0) expect(lease.expiresBootMs).toBeGreaterThanOrEqual(trail[n - 1]?.expiresBootMs ?? 0);
      }
    }),
  );
});

test('an expired lease cannot be injected or revived, and another boot means expired', () => {
  expect(() => advance(armed(), { kind: 'inject' }, at(1_000))).toThrow('expired');
  expect(() => advance(armed(), { kind: 'renew', ttlMs: 9_000 }, at(1_001))).toThrow('cannot renew');
  expect(isExpired(armed(), at(999))).toBe(false);
  expect(isExpired(armed(), at(1, 'next boot'))).toBe(true);
});

test('an armed lease that is undone is gone without an undo, and a late inject is refused', () => {
  const gone = advance(armed(), { kind: 'undo', by: 'undone' }, at(1));
  expect(gone).toMatchObject({ state: 'gone', endedBy: 'undone', gone: { holds: true } });
  expect(() => advance(gone, { kind: 'inject' }, at(2))).toThrow('its lease is gone');
});

test('the tombstone of a key that was never armed refuses everything', () => {
  const tombstone = buryLease(key, 7, 'undone', at(3));
  for (const kind of ['inject', 'renew'] as const)
    expect(() => advance(tombstone, kind === 'inject' ? { kind } : { kind, ttlMs: 1 }, at(4))).toThrow(GamedayError);
  expect(advance(tombstone, { kind: 'undo', by: 'halted' }, at(5))).toBe(tombstone);
});

test('a proof that does not hold never buries', () => {
  const active = advance(advance(armed(), { kind: 'inject' }, at(1)), { kind: 'injected', facts: {} }, at(2));
  const undoing = advance(active, { kind: 'undo', by: 'expired' }, at(3));
  expect(() => advance(undoing, { kind: 'proven-gone', proof: { ...proof, holds: false } }, at(4))).toThrow('cannot bury');
});
