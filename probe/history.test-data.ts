/** Hand-made histories for the tests of judge and join: a ledger as plain entries, with instants in ms. Not part of the product. */
import type { JudgeRequest } from './contract';
import type { Entry, OutcomeName, SampleEntry, SegmentEntry } from './ledger-format';

export const PERIOD_MS = 5;
const ns = (ms: number): number => Math.round(ms * 1e6);

export function testHeader(writeStreams = 2): SegmentEntry {
  const streams = Array.from(
    { length: writeStreams },
    () => ({ kind: 'write', path: 'entry', client: 'tuned', periodMs: PERIOD_MS }) as const,
  );
  const settings = testRequest().settings;
  return {
    kind: 'segment',
    version: 1,
    segment: 1,
    drill: 'drill-000001',
    table: 'probe_000001',
    settings: { ...settings, writeStreams },
    nodes: ['n1', 'n2'],
    streams,
    wallClock: '2026-01-01T00:00:00.000Z',
    atNs: 0,
    monotonicZeroNs: '0',
    pid: 1,
  };
}

export function testRequest(overrides: Partial<JudgeRequest> = {}): JudgeRequest {
  return {
    settings: {
      periodMs: PERIOD_MS,
      writeStreams: 1,
      readStreams: 0,
      paths: [],
      naive: false,
      otherPeriodMs: 50,
      maxConnections: 48,
      clientDeadlineMs: 2_000,
      connectTimeoutMs: 1_000,
      statementTimeoutMs: 1_500,
      minWritesDue: 10,
    },
    steady: {
      windowMs: 1_000,
      timeoutMs: 60_000,
      successRatio: 0.999,
      maxP99Ms: 100,
      recoveryFactor: 2,
      recoveryFloorMs: 50,
      recoveryWindowMs: 1_000,
    },
    faults: [{ step: 'kill', confirmed: true, endedEarly: false }],
    fromMs: null,
    toMs: null,
    ...overrides,
  };
}

/** What became of the write that is due at `dueMs`: its latency if acknowledged, or how it failed. */
export type Fate = { readonly latencyMs: number } | 'missed' | { readonly failed: Exclude<OutcomeName, 'acked'>; readonly afterMs: number };

/** A ledger of one stream over [0, untilMs] whose writes meet their fate by due instant, with a watch entry a second and the fault's receipts. */
export function historyOf(
  untilMs: number,
  fate: (dueMs: number) => Fate,
  options: { readonly injectMs?: readonly [number, number]; readonly more?: readonly Entry[] } = {},
): Entry[] {
  const entries: Entry[] = [testHeader(1)];
  let seq = 0;
  for (let dueMs = 0; dueMs <= untilMs; dueMs += PERIOD_MS) {
    const what = fate(dueMs);
    if (what === 'missed') {
      entries.push({ kind: 'missed', stream: 0, dueNs: ns(dueMs), atNs: ns(dueMs), cause: 'no-connection' });
      continue;
    }
    seq += 1;
    entries.push({ kind: 'intent', stream: 0, seq, dueNs: ns(dueMs), sentNs: ns(dueMs), connection: 1 });
    const [outcome, after] = 'failed' in what ? [what.failed, what.afterMs] : (['acked', what.latencyMs] as const);
    entries.push({
      kind: 'outcome',
      stream: 0,
      seq,
      outcome,
      doneNs: ns(dueMs + after),
      sqlstate: null,
      xid: 1_000 + seq,
      lsn: 1_000 + seq,
      timeline: 1,
      server: null,
    });
  }
  for (let atMs = 0; atMs <= untilMs; atMs += 1_000)
    entries.push({ kind: 'watch', atNs: ns(atMs), due: atMs / PERIOD_MS + 1, onTime: atMs / PERIOD_MS + 1 });
  for (const [at, phase] of (options.injectMs ?? []).map((ms, index) => [ms, index === 0 ? 'about-to' : 'done'] as const)) {
    entries.push({ kind: 'receipt', atNs: ns(at), name: 'inject', phase, subject: 'kill', facts: {} });
  }
  return [...entries, ...(options.more ?? [])];
}

export function sampleAt(node: string, ms: number, role: SampleEntry['role'], timeline: number | null): SampleEntry {
  return { kind: 'sample', node, askedNs: ns(ms), answeredNs: ns(ms + 1), role, timeline, lsn: null };
}
