/**
 * Registering and sealing as a worker does it, in Temporal's environment for single activities, with no server behind the target: what answers nothing must
 * be said to be missing, and the bundle must verify and give its record again all the same.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '../core/files';
import { encodePlan } from '../evidence/bundle';
import { HaltWitness } from '../evidence/halt-events';
import { recomputeBundle } from '../evidence/recompute';
import { openSigner } from '../evidence/signing';
import { verifyBundle } from '../evidence/verify';
import type { EventBody } from '../model/event';
import type { DrillRecord } from '../model/record';
import { measure, planFor } from '../test/fixtures/sealed-drill';
import type { SealResult } from './contract';
import { judge } from './judge-activities';
import { register } from './register-activities';
import { seal } from './seal-activities';
import { tendEvidence } from './seal-lost';

const home = mkdtempSync(join(tmpdir(), 'gameday-seal-'));
// Paper takes a browser's seconds: `seal-lost.slow.test.ts` prints it.
beforeAll(() => void (process.env['GAMEDAY_REPORT_PDF'] = 'off'));
afterAll(() => {
  delete process.env['GAMEDAY_REPORT_PDF'];
  rmSync(home, { recursive: true, force: true });
});

const plan = planFor({});
const planSha256 = sha256Hex(encodePlan(plan));
const hand = { home, isRunning: (_workflowId: string, runId: string) => Promise.resolve(runId === 'running') };
const begin = (runId: string) => register(hand, { plan, planSha256, owner: { workflowId: 'drill/7', runId }, startedBy: 'mira' });

const told = (step: string, kind: string): EventBody => ({
  drill: '',
  writer: 'workflow',
  step,
  kind,
  attempt: 1,
  at: '2026-11-23T03:12:00.000Z',
  actor: 'mira',
  text: kind,
  facts: {},
});

async function whatHolds(
  dir: string,
): Promise<{ readonly failed: readonly string[]; readonly record: DrillRecord; readonly notDerived: readonly string[] }> {
  const verified = await verifyBundle(dir, { publicKeyPem: openSigner(join(home, 'keys')).publicKeyPem });
  const made = await recomputeBundle(dir);
  const failed = [...verified.checks, ...made.groups].filter(({ ok }) => !ok).map(({ detail }) => detail);
  return { failed, notDerived: made.notDerived, record: JSON.parse(readFileSync(join(dir, 'record.json'), 'utf8')) as DrillRecord };
}

test('a drill is registered, judged and sealed; a second attempt changes nothing', async () => {
  const registration = await begin('a');
  const drill = { drill: registration.drill, sequence: registration.sequence, workflowId: 'drill/7', runId: 'a' };
  const dir = join(home, 'probes', `sample-${drill.drill}`);
  const { rpo } = await measure(dir, plan, drill.drill);
  const rpoFile = join(dir, 'rpo.json');
  writeFileSync(rpoFile, JSON.stringify(rpo));
  const probe = { dir, socket: join(dir, 'none.sock'), table: 'probe_000001' };
  const common = {
    leases: [],
    restores: [],
    verification: [],
    redundancy: null,
    redundancySkipped: 'not reached',
    doubts: ['a doubt'],
    failures: [],
  };
  const halted = { by: 'ann', reason: 'real incident' };
  const witness = new HaltWitness(home, { ...halted, what: 'this drill', at: '2026-11-23T03:12:01.000Z' });
  witness.answered('a', 'the drill took the halt and heals', { taken: true });
  expect(await witness.settled()).toEqual([]);
  const judged = await judge({ plan, drill, probe, rpoFile, ...common });
  const input = {
    ...common,
    plan,
    planSha256,
    drill,
    registration,
    state: 'completed',
    startedBy: 'mira',
    trigger: { kind: 'command', name: null },
    startedAt: registration.registeredAt,
    judge: judged,
    probe,
    rpoFile,
    phases: [],
    steps: [],
    readiness: [],
    people: [],
    left: [],
    halted,
    pendingEvents: [told('register', 'registered'), told('seal', 'verdict')],
  } as const;
  // After that many attempts a guardian that is silent is said to be.
  const sealing = () => new MockActivityEnvironment({ attempt: 6 }).run<[], SealResult, () => Promise<SealResult>>(() => seal(hand, input));
  const sealed = await sealing();
  const { failed, record, notDerived } = await whatHolds(sealed.evidence);
  expect(failed).toEqual([]);
  expect(record.left.join()).toMatch(/the guardian’s own chain of events is not in this bundle/);
  expect(record.custody).toMatchObject({ store: 'directory', shared: false });
  expect(notDerived.length).toBeGreaterThan(3);
  // Nobody looked at a clock in this test, and no step spoke to anybody.
  expect(record.clocks).toMatchObject({
    before: { notRecorded: 'the pre-flight did not come so far' },
    after: { notRecorded: expect.stringMatching(/did not come so far/) as string },
  });
  expect(record.communications?.told).toMatchObject({ notRecorded: expect.stringMatching(/^no step/) as string });
  expect(record.unintendedImpact).toMatchObject({ reached: [] });
  // Nobody read the nodes' logs in this test, and the bundle says so.
  expect(JSON.parse(readFileSync(join(sealed.evidence, 'ledger', 'nodes', 'contents.json'), 'utf8'))).toEqual({
    entries: [],
    notRecorded: 'the drill ended before the nodes’ logs were read',
  });
  expect(readFileSync(join(sealed.evidence, 'junit.xml'), 'utf8')).toContain(drill.drill);
  expect(JSON.parse(readFileSync(join(sealed.evidence, 'oscal-assessment-results.json'), 'utf8'))).toHaveProperty('assessment-results');
  const events = readFileSync(join(sealed.evidence, 'events.jsonl'), 'utf8');
  expect(events).toContain('"kind":"asked","n":0');
  expect(existsSync(join(sealed.evidence, 'report.pdf'))).toBe(false);
  expect(events).toContain('report.pdf is not in this bundle: turned off by GAMEDAY_REPORT_PDF');
  // The seal is there, so nothing of the halt was late; what comes now is told, and disturbs nothing.
  expect(await witness.settled()).toEqual([]);
  const late = new HaltWitness(home, { by: 'bob', reason: 'me too', what: 'everything', at: '2026-11-23T03:13:00.000Z' });
  late.answered('a', 'nothing of it stands', { taken: false });
  expect(await late.settled()).toEqual([expect.stringContaining(`"asked" is not in the evidence of ${drill.drill}: it was sealed before`)]);
  expect(await sealing()).toEqual(sealed);
  expect((await whatHolds(sealed.evidence)).failed).toEqual([]);
  expect(readFileSync(join(sealed.evidence, 'events.jsonl'), 'utf8')).toBe(events);
}, 60_000);

test('a drill whose workflow is gone is sealed as lost with what there is; one that runs is left alone', async () => {
  const running = await begin('running');
  const old = new Date(Date.now() - 2 * 3_600_000);
  jest.useFakeTimers({
    now: old,
    doNotFake: [
      'nextTick',
      'setImmediate',
      'setTimeout',
      'setInterval',
      'clearTimeout',
      'clearInterval',
      'queueMicrotask',
      'performance',
      'hrtime',
    ],
  });
  const lost = await begin('lost').finally(() => void jest.useRealTimers());
  const done = await tendEvidence(hand);
  expect(done).toMatchObject({ sealed: [`sample/${lost.drill}`], delivered: [] });
  const { failed, record } = await whatHolds(join(home, 'drills', 'sample', lost.drill));
  expect(failed).toEqual([]);
  expect(record).toMatchObject({ state: 'lost', verdict: 'inconclusive', drill: lost.drill });
  expect(record.left.join()).toMatch(/its guardian did not answer/);
  // What its pre-flight saw and what its steps did is lost with it: none of it is guessed.
  for (const missing of [record.clocks, record.communications?.told, record.unintendedImpact])
    expect(missing).toMatchObject({ notRecorded: expect.stringMatching(/^the drill was lost/) as string });
  expect(await tendEvidence(hand)).toMatchObject({ sealed: [] });
  expect(running.sequence).toBe(2);
}, 60_000);
