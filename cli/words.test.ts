import type { LeaseView } from '../model/fault';
import { statusExit, statusText, type StatusView } from './commands/status';
import { formatElapsed } from './follow';
import { withoutActions } from '../worker/missed-slots';
import { parseAnswer } from './prompt';
import { printable } from './terminal';

const lease: LeaseView = {
  key: { workflowId: 'drill/1', runId: 'r', step: 'slow' },
  handle: {
    fault: 'link-latency',
    drill: 'drill-000003',
    resolved: {},
    preview: 'slow n2-n1 by 150 ms',
    manualUndo: ['curl -X DELETE http://…'],
  },
  state: 'active',
  armedAt: '2026-11-23T03:00:00.000Z',
  expiresAt: '2026-11-23T03:02:00.000Z',
  hardMaximumAt: '2026-11-23T03:05:00.000Z',
  injectedAt: '2026-11-23T03:00:01.000Z',
  goneAt: null,
  endedBy: null,
  confirmed: null,
  gone: null,
  lastError: null,
  undoAttempts: 0,
};
const view = (guardian: Partial<StatusView['guardian']>): StatusView => ({
  guardian: { reachable: true, problem: null, leases: [], halt: null, unreadable: [], fromDisk: false, ...guardian },
  drills: null,
  temporalProblem: 'temporal is down',
  outbox: [],
});

test('status says what is broken, until when, and how to undo it by hand', () => {
  const text = statusText(view({ leases: [lease] }), Date.parse('2026-11-23T03:01:00.000Z'));
  expect(text).toContain('✕ slow n2-n1 by 150 ms');
  expect(text).toContain('comes off by itself at 2026-11-23T03:02:00.000Z (in 60 s)');
  expect(text).toContain('curl -X DELETE http://…');
  expect(text).toContain('temporal is down');
});

test('status says which sealed bundles wait, since when and why, and that they will not be lost', () => {
  const waiting = (at: number) => ({
    prefix: `lab/drill-00000${at}`,
    kind: 'lab' as const,
    since: '2026-11-23T03:00:00Z',
    problem: 'connection refused',
  });
  expect(statusText(view({}), 0)).not.toContain('sealed');
  const text = statusText({ ...view({}), outbox: [{ ...waiting(1), problem: null }, waiting(2), ...[3, 4, 5, 6].map(waiting)] }, 0);
  expect(text).toContain('! 6 sealed bundles are on this machine only; workers try again by themselves, `gameday deliver` does at once');
  expect(text).toContain('lab/drill-000001 since 2026-11-23T03:00:00Z: not tried yet');
  expect(text).toContain('lab/drill-000002 since 2026-11-23T03:00:00Z: connection refused');
  expect(text).toContain('and 1 more');
  expect(text).not.toContain('drill-000006');
});

test('status ends with 5 while something is broken, and never with 0 when nobody can say', () => {
  expect(statusExit(view({}))).toBe(0);
  expect(statusExit(view({ leases: [lease] }))).toBe(5);
  expect(statusExit(view({ unreadable: ['x.json'] }))).toBe(5);
  expect(statusExit(view({ reachable: false, problem: 'no guardian answers' }))).toBe(75);
  expect(statusExit(view({ reachable: false, fromDisk: true }))).toBe(0);
  expect(statusExit(view({ reachable: false, fromDisk: true, leases: [lease] }))).toBe(5);
});

test('without a guardian status says that nothing comes off by itself', () => {
  const text = statusText(view({ reachable: false, fromDisk: true, leases: [lease] }), Date.parse('2026-11-23T03:01:00.000Z'));
  expect(text).toContain('NO GUARDIAN RUNS');
  expect(text).toContain('curl -X DELETE http://…');
});

test.each([
  ['go', 'gate', { answer: 'go', note: null }],
  ['n  too much   traffic', 'gate', { answer: 'no-go', note: 'too much traffic' }],
  ['DONE at once', 'manual', { answer: 'done', note: 'at once' }],
  ['go', 'manual', 'answer with done'],
  ['', 'gate', 'answer with go or no-go'],
] as const)('the answer "%s" to a %s', (line, kind, expected) => {
  expect(parseAnswer({ kind, answers: kind === 'gate' ? ['go', 'no-go'] : ['done'] }, line)).toEqual(expected);
});

test('slots without an action are missed; a jittered action counts for the slot before it; a count of misses bounds them', () => {
  const hour = 3_600_000;
  const due = [1, 2, 3, 4, 5].map((n) => n * hour);
  expect(withoutActions(due, [hour, 2 * hour + 60_000, 5 * hour], 2)).toEqual([3 * hour, 4 * hour]);
  expect(withoutActions(due, [5 * hour], 2)).toEqual([3 * hour, 4 * hour]);
  expect(withoutActions(due, due, 3)).toEqual([]);
});

test('elapsed time is minutes, seconds and tenths', () => {
  expect([0, 67_440, -5, 3_600_000].map(formatElapsed)).toEqual(['  0:00.0', '  1:07.4', '  0:00.0', ' 60:00.0']);
});

test('names cannot steer the terminal', () => {
  expect(printable('a\u001b[2Jb\u001b]0;x\u0007c\rd')).toBe('a [2Jb ]0;x c d');
  expect(printable('\u001b[32mgreen\u001b[0m\n')).toBe('\u001b[32mgreen\u001b[0m\n');
});
