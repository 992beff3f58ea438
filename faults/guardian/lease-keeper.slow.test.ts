/** The keeper with faults made for the test: order of undo, hanging verbs, retries, restarts and the standing halt. Real files, real clocks. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import type { Target } from '../../model/target';
import type { LiveTarget } from '../../targets/ports';
import { faultLabel } from '../contract';
import type { AnyFault } from '../registry';
import { hold, letGo } from '../residents';
import { pinOf } from './allow';
import { openJournal } from './journal';
import { LeaseKeeper, type KeeperLimits } from './lease-keeper';
import { leaseId, openLeaseStore } from './lease-store';

const SYSTEM = '7000000000000000001';
const target = {
  name: 't',
  systemIdentifier: SYSTEM,
  links: null,
  policy: { allowFaults: ['trial', 'resident'], maxFaultMs: 60_000 },
} as unknown as Target;
const limits: KeeperLimits = {
  injectMs: 300,
  confirmMs: 300,
  undoMs: 300,
  retryFirstMs: 20,
  retryMostMs: 60,
  sweepEveryMs: 10,
  orderMs: 50,
  undoTries: 2,
};
const keyOf = (step: string) => ({ workflowId: `drill/${SYSTEM}`, runId: 'r1', step });

let dir: string;
let said: string[];
let system: string;
let remembered: unknown[];
let verbs: {
  inject: (step: string) => Promise<void>;
  undo: (step: string) => Promise<void>;
  proof: (step: string) => Promise<void>;
  confirm: () => Promise<void>;
  gone: () => boolean;
};
const keepers: LeaseKeeper[] = [];

/** The state on disk of the lease at this moment, as a crash would leave it. */
const onDisk = (step: string): string =>
  (JSON.parse(readFileSync(join(dir, 'leases', `${leaseId(keyOf(step))}.json`), 'utf8')) as { state: string }).state;

const trial: AnyFault = {
  name: 'trial',
  summary: 'for this test',
  schema: z.unknown(),
  mayLoseWrites: () => false,
  resolve: async () => ({}),
  preview: () => 'try',
  reach: () => ({ nodes: [] }),
  holdsDown: ({ step }) => [`n-${step as string}`],
  manualUndo: () => [],
  ready: async () => [],
  async inject(resolved, { memory }) {
    const step = resolved['step'] as string;
    said.push(`inject ${step} (${onDisk(step)})`);
    memory.write({ found: `${step} as it was` });
    await verbs.inject(step);
    return { step };
  },
  confirm: async () => (await verbs.confirm(), { holds: true, by: 'seen', facts: {} }),
  async undo(resolved, { memory }) {
    const step = resolved['step'] as string;
    said.push(`undo ${step} (${onDisk(step)})`);
    remembered.push(memory.read());
    await verbs.undo(step);
  },
  confirmGone: async ({ step }) => (
    await verbs.proof(step as string),
    { holds: verbs.gone(), by: verbs.gone() ? 'clear' : 'still there', facts: {} }
  ),
};
const resident: AnyFault = { ...trial, name: 'resident', resident: true };

function openKeeper(kept: KeeperLimits = limits): LeaseKeeper {
  const keeper = new LeaseKeeper({
    store: openLeaseStore(join(dir, 'leases')),
    journal: openJournal(join(dir, 'events')),
    allowFile: join(dir, 'allow.json'),
    haltFile: join(dir, 'halt.json'),
    activeDir: dir,
    open: () => ({ controller: { status: async () => [{ node: 'n1', systemIdentifier: system }] } }) as unknown as LiveTarget,
    find: (name) => {
      if (name !== 'trial' && name !== 'resident') throw new GamedayError('fault_unknown', name);
      return name === 'resident' ? resident : trial;
    },
    log: () => undefined,
    limits: kept,
  });
  keepers.push(keeper);
  keeper.start();
  return keeper;
}

const arm = (keeper: LeaseKeeper, step: string, ttlMs = 60_000, maxMs = 60_000, fault = 'trial') =>
  keeper.arm({
    key: keyOf(step),
    handle: { fault, drill: 'drill-000001', resolved: { step }, preview: 'try', manualUndo: [] },
    target,
    ttlMs,
    maxMs,
  });
const stateOf = (keeper: LeaseKeeper, step: string) => keeper.describe(keyOf(step))?.state;
const untilGone = (keeper: LeaseKeeper, step: string) =>
  until(() => (stateOf(keeper, step) === 'gone' ? true : null), {
    timeoutMs: 5_000,
    everyMs: 10,
    onTimeout: () => new Error(`${step} is ${stateOf(keeper, step)}`),
  });

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-keeper-'));
  mkdirSync(join(dir, 'leases'));
  writeFileSync(
    join(dir, 'allow.json'),
    JSON.stringify({ systemIdentifiers: [SYSTEM], faults: ['trial', 'resident'], maxFaultMs: 60_000 }),
    {
      mode: 0o600,
    },
  );
  said = [];
  system = SYSTEM;
  remembered = [];
  verbs = {
    inject: async () => undefined,
    undo: async () => undefined,
    proof: async () => undefined,
    confirm: async () => undefined,
    gone: () => true,
  };
});
afterEach(() => {
  for (const keeper of keepers.splice(0)) keeper.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('a target file that the owner of this machine did not pin arms nothing, and is armed once it is pinned', async () => {
  const keeper = openKeeper();
  const pin = (digest: string): void =>
    writeFileSync(
      join(dir, 'allow.json'),
      JSON.stringify({ systemIdentifiers: [SYSTEM], faults: ['trial'], maxFaultMs: 60_000, pinnedTargets: { [SYSTEM]: digest } }),
    );
  pin('0'.repeat(64));
  await expect(arm(keeper, 'pinned')).rejects.toMatchObject({
    code: 'fault_refused',
    message: expect.stringContaining(`allow file ${join(dir, 'allow.json')}:1: pinnedTargets has ${'0'.repeat(64)}`),
  });
  expect(keeper.live()).toEqual([]);
  pin(pinOf(target));
  expect(await arm(keeper, 'pinned')).toMatchObject({ state: 'armed' });
});

test('every transition is on disk before its verb is called', async () => {
  const keeper = openKeeper();
  await arm(keeper, 'a');
  await keeper.inject(keyOf('a'));
  const lease = await keeper.undo(keyOf('a'), 'workflow');
  expect(said).toEqual(['inject a (injecting)', 'undo a (undoing)']);
  expect(lease).toMatchObject({ state: 'gone', endedBy: 'undone', gone: { by: 'clear' } });
  expect(
    openJournal(join(dir, 'events'))
      .events('drill-000001')
      .map((event) => event.kind),
  ).toEqual(['armed', 'injecting', 'injected', 'confirmed', 'undoing', 'gone']);
});

test('two injects at once inject once and answer the same', async () => {
  const keeper = openKeeper();
  await arm(keeper, 'a');
  const [one, two] = await Promise.all([keeper.inject(keyOf('a')), keeper.inject(keyOf('a'))]);
  expect(said).toEqual(['inject a (injecting)']);
  expect(two.facts).toEqual(one.facts);
});

test('an undo before the arming leaves a tombstone that refuses the late arm and inject', async () => {
  const keeper = openKeeper();
  expect((await keeper.undo(keyOf('a'), 'workflow')).state).toBe('gone');
  await expect(arm(keeper, 'a')).rejects.toMatchObject({ code: 'lease_gone' });
  await expect(keeper.inject(keyOf('a'))).rejects.toMatchObject({ code: 'lease_gone' });
  await expect(arm(openKeeper(), 'a')).rejects.toMatchObject({ code: 'lease_gone' });
  expect(said).toEqual([]);
});

test('what a standing fault holds down is told until it is proven gone; of one that nobody here knows, every node of its target', async () => {
  const keeper = openKeeper();
  await arm(keeper, 'a');
  await keeper.inject(keyOf('a'));
  expect(keeper.heldDown()).toEqual([{ name: 'n-a', fault: 'trial', drill: 'drill-000001' }]);
  const { handle } = keeper.describe(keyOf('a'))!;
  const file = join(dir, 'leases', `${leaseId(keyOf('a'))}.json`);
  const lease = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  await keeper.undo(keyOf('a'), 'workflow');
  expect(keeper.heldDown()).toEqual([]);

  keeper.stop();
  const nodes = [{ name: 'n1' }, { name: 'n2' }];
  writeFileSync(file, JSON.stringify({ ...lease, handle: { ...handle, fault: 'newer' }, target: { ...target, nodes } }));
  expect(openKeeper().heldDown()).toEqual(nodes.map(({ name }) => ({ name, fault: 'newer', drill: 'drill-000001' })));
});

test('several that were renewed together and then forgotten are undone newest first, though no one asks', async () => {
  const keeper = openKeeper();
  for (const step of ['a', 'b', 'c']) await arm(keeper, step, 2_000);
  for (const step of ['a', 'b', 'c']) await keeper.inject(keyOf(step));
  keeper.renew({ workflowId: keyOf('a').workflowId, runId: 'r1', ttlMs: 2_400 });
  for (const step of ['a', 'b', 'c']) await untilGone(keeper, step);
  expect(said.slice(3).map((line) => line.slice(0, 6))).toEqual(['undo c', 'undo b', 'undo a']);
  expect(keeper.describe(keyOf('a'))?.endedBy).toBe('expired');
});

test('renewals keep a lease, though never past its hard maximum; what ended by itself is told as gone', async () => {
  const keeper = openKeeper();
  await arm(keeper, 'a', 1_000, 2_500);
  await keeper.inject(keyOf('a'));
  const renew = () => keeper.renew({ workflowId: keyOf('a').workflowId, runId: 'r1', ttlMs: 1_000 });
  const start = Date.now();
  await until(
    () => {
      const { gone } = renew();
      return gone.length === 1 ? true : null;
    },
    { timeoutMs: 10_000, everyMs: 20, onTimeout: () => new Error('renewed for ever') },
  );
  expect(Date.now() - start).toBeGreaterThan(1_500);
  await untilGone(keeper, 'a');
  expect(renew()).toEqual({ renewed: [], gone: [keyOf('a')] });
}, 20_000);

test('an inject that hangs is undone, and is not gone before it has ended and was undone again', async () => {
  let end: () => void = () => undefined;
  verbs.inject = () => new Promise<void>((resolve) => (end = resolve));
  const keeper = openKeeper();
  await arm(keeper, 'a');
  await expect(keeper.inject(keyOf('a'))).rejects.toThrow('did not end within');
  expect(stateOf(keeper, 'a')).toBe('undoing');
  const before = said.length;
  end();
  await untilGone(keeper, 'a');
  expect(said.length).toBeGreaterThan(before);
});

test('one fault that hangs for ever keeps no other from being undone, and its error is shown', async () => {
  verbs.undo = (step) => (step === 'b' ? new Promise<void>(() => undefined) : Promise.resolve());
  const keeper = openKeeper();
  for (const step of ['a', 'b']) await arm(keeper, step);
  for (const step of ['a', 'b']) await keeper.inject(keyOf(step));
  const { leases } = await keeper.haltAll('ann', 'incident');
  expect(leases.map((lease) => [lease.key.step, lease.state])).toEqual([
    ['b', 'undoing'],
    ['a', 'gone'],
  ]);
  expect(leases[0]?.lastError).toContain('did not end within 300 ms');
});

test('an undo whose proof fails is tried again until it holds', async () => {
  let holds = false;
  verbs.gone = () => holds;
  const keeper = openKeeper();
  await arm(keeper, 'a');
  await keeper.inject(keyOf('a'));
  // The sweep may try in between, so the number of attempts is a lower bound.
  const refused = await keeper.undo(keyOf('a'), 'workflow');
  expect(refused).toMatchObject({ state: 'undoing', lastError: 'still there' });
  expect(refused.undoAttempts).toBeGreaterThanOrEqual(2);
  holds = true;
  await untilGone(keeper, 'a');
  expect(keeper.describe(keyOf('a'))).toMatchObject({ lastError: null, endedBy: 'undone' });
});

test('after a crash while injecting, the next guardian undoes; an active lease is kept until its deadline', async () => {
  const first = openKeeper();
  await arm(first, 'active', 900);
  await first.inject(keyOf('active'));
  await arm(first, 'half');
  first.stop();
  const file = join(dir, 'leases', `${leaseId(keyOf('half'))}.json`);
  writeFileSync(file, readFileSync(file, 'utf8').replace('"state": "armed"', '"state": "injecting"'));
  const second = openKeeper();
  await untilGone(second, 'half');
  expect(second.describe(keyOf('half'))?.endedBy).toBe('reconciled');
  expect(stateOf(second, 'active')).toBe('active');
  await untilGone(second, 'active');
});

test('a lease of another boot is undone at start', async () => {
  const first = openKeeper();
  await arm(first, 'a');
  await first.inject(keyOf('a'));
  first.stop();
  const file = join(dir, 'leases', `${leaseId(keyOf('a'))}.json`);
  writeFileSync(file, readFileSync(file, 'utf8').replace(/"bootId": "[^"]+"/, '"bootId": "another"'));
  const second = openKeeper();
  await untilGone(second, 'a');
  expect(said[1]).toBe('undo a (undoing)');
});

test('a standing halt outlives a restart and refuses arm and inject until it is released', async () => {
  const first = openKeeper();
  await arm(first, 'a');
  await first.haltAll('ann', 'incident');
  expect(said).toEqual([]);
  first.stop();
  const keeper = openKeeper();
  await expect(arm(keeper, 'b')).rejects.toMatchObject({ code: 'halt_standing' });
  keeper.release('ann', 'over');
  await arm(keeper, 'b');
  expect(stateOf(keeper, 'a')).toBe('gone');
});

test('a target that claims another system’s identifier is refused', async () => {
  system = '7000000000000000002';
  await expect(arm(openKeeper(), 'a')).rejects.toMatchObject({ code: 'fault_refused' });
  expect(readdirSync(join(dir, 'leases'))).toEqual([]);
});

test('another drill’s standing fault on the same system refuses a new one', async () => {
  const keeper = openKeeper();
  await arm(keeper, 'a');
  const other = {
    key: { ...keyOf('b'), runId: 'r2' },
    handle: { fault: 'trial', drill: 'drill-000002', resolved: {}, preview: '', manualUndo: [] },
    target,
    ttlMs: 1,
    maxMs: 1,
  };
  await expect(keeper.arm(other)).rejects.toMatchObject({ code: 'lease_conflict' });
});

test('a lease file that cannot be read refuses every injection by name', async () => {
  writeFileSync(join(dir, 'leases', 'torn.json'), '{');
  await expect(arm(openKeeper(), 'a')).rejects.toThrow('torn.json');
});

test('several come off newest first, one that hangs holds up the next for its share only, and proofs are made side by side', async () => {
  const keeper = openKeeper();
  for (const step of ['a', 'b', 'c']) {
    await arm(keeper, step);
    await keeper.inject(keyOf(step));
  }
  said = [];
  let proving = 0;
  let most = 0;
  verbs.undo = (step) => (step === 'b' ? new Promise((resolve) => setTimeout(resolve, limits.orderMs + 20)) : Promise.resolve());
  verbs.proof = async () => {
    proving += 1;
    most = Math.max(most, proving);
    // The first waits for company: it gets it only if the others need not wait for its proof.
    await until(() => (most > 1 ? true : null), {
      timeoutMs: limits.undoMs,
      everyMs: 5,
      onTimeout: () => new Error('proofs are made alone'),
    });
    proving -= 1;
  };
  const leases = await keeper.undoSteps({ workflowId: keyOf('a').workflowId, runId: keyOf('a').runId, steps: ['a', 'b', 'c'], by: 'heal' });
  expect(said.map((line) => line.slice(0, 6))).toEqual(['undo c', 'undo b', 'undo a']);
  expect(leases.map(({ key, state }) => [key.step, state])).toEqual([
    ['c', 'gone'],
    ['b', 'gone'],
    ['a', 'gone'],
  ]);
  expect(most).toBeGreaterThan(1);
});

test('what inject wrote down reaches the undo, also in the next guardian', async () => {
  const first = openKeeper();
  await arm(first, 'a', 1_500);
  verbs.inject = async () => first.stop();
  await first.inject(keyOf('a'));
  await untilGone(openKeeper(), 'a');
  expect(remembered).toEqual([{ found: 'a as it was' }]);
});

test('what a dead guardian’s process held has ended with it: the next one undoes it and tells the drill', async () => {
  const first = openKeeper();
  await arm(first, 'held', 60_000, 60_000, 'resident');
  await arm(first, 'stands');
  for (const step of ['held', 'stands']) await first.inject(keyOf(step));
  first.stop();
  const second = openKeeper();
  await untilGone(second, 'held');
  expect(second.describe(keyOf('held'))).toMatchObject({ endedBy: 'reconciled' });
  expect(stateOf(second, 'stands')).toBe('active');
  expect(second.renew({ workflowId: keyOf('a').workflowId, runId: keyOf('a').runId, ttlMs: 60_000 }).gone).toEqual([keyOf('held')]);
});

test('what this guardian holds and cannot go on with is undone without being asked, and the failure is on record; what goes on stays', async () => {
  const labelOf = (step: string): string => faultLabel('drill-000001', step);
  const fail = new Map<string, (error: Error) => void>();
  verbs.inject = (step) =>
    hold(labelOf(step), 1_000, (signal, bites) => {
      bites();
      return new Promise((resolve, reject) => {
        fail.set(step, reject);
        signal.addEventListener('abort', () => resolve());
      });
    });
  verbs.undo = (step) => letGo(labelOf(step));
  const keeper = openKeeper();
  for (const step of ['breaks', 'stands']) await arm(keeper, step, 60_000, 60_000, 'resident');
  for (const step of ['breaks', 'stands']) await keeper.inject(keyOf(step));
  fail.get('breaks')?.(new Error('the server is not to be reached'));
  await untilGone(keeper, 'breaks');
  expect(keeper.describe(keyOf('breaks'))).toMatchObject({ endedBy: 'reconciled', confirmed: { holds: true } });
  expect(stateOf(keeper, 'stands')).toBe('active');
  const told = openJournal(join(dir, 'events'))
    .events('drill-000001')
    .filter(({ kind }) => kind === 'ended-early');
  expect(told.map(({ step, text }) => [step, text])).toEqual([
    ['breaks', 'what the guardian held for it is over: the server is not to be reached'],
  ]);
  expect(keeper.renew({ workflowId: keyOf('a').workflowId, runId: 'r1', ttlMs: 60_000 }).gone).toEqual([keyOf('breaks')]);
  await keeper.undo(keyOf('stands'), 'workflow');
});

describe('a halt', () => {
  const forever = (): Promise<void> => new Promise<void>(() => undefined);

  test('does not wait for a proof that takes its time: the fault comes off at once', async () => {
    const keeper = openKeeper({ ...limits, confirmMs: 20_000 });
    verbs.confirm = forever;
    await arm(keeper, 'a');
    const injecting = keeper.inject(keyOf('a'));
    await until(() => (stateOf(keeper, 'a') === 'active' ? true : null), { timeoutMs: 2_000, onTimeout: () => new Error('never active') });
    const { leases } = await keeper.haltAll('ann', 'incident');
    expect(leases.map(({ state, endedBy }) => [state, endedBy])).toEqual([['gone', 'halted']]);
    expect((await injecting).confirmed.holds).toBe(false);
  }, 5_000);

  test('does not wait for an injection that hangs: it is undone, and again when it has ended', async () => {
    let end: () => void = () => undefined;
    verbs.inject = () => new Promise<void>((resolve) => (end = resolve));
    const keeper = openKeeper({ ...limits, injectMs: 20_000 });
    await arm(keeper, 'a');
    const injecting = keeper.inject(keyOf('a'));
    injecting.catch(() => undefined);
    await until(() => (said.length > 0 ? true : null), { timeoutMs: 2_000, onTimeout: () => new Error('never injecting') });
    const halting = keeper.haltAll('ann', 'incident');
    await expect(injecting).rejects.toThrow('its undo came first');
    await until(() => (said.some((line) => line.startsWith('undo a')) ? true : null), {
      timeoutMs: 2_000,
      onTimeout: () => new Error('never undone'),
    });
    expect(stateOf(keeper, 'a')).toBe('undoing');
    end();
    await halting;
    await untilGone(keeper, 'a');
    expect(said.filter((line) => line.startsWith('undo a')).length).toBeGreaterThan(1);
    expect(keeper.describe(keyOf('a'))?.endedBy).toBe('halted');
  }, 8_000);

  test('answers only when what somebody else was undoing already is done too', async () => {
    let end: () => void = () => undefined;
    verbs.undo = () => new Promise<void>((resolve) => (end = resolve));
    const keeper = openKeeper();
    await arm(keeper, 'a');
    await keeper.inject(keyOf('a'));
    const { workflowId, runId } = keyOf('a');
    const earlier = keeper.undoSteps({ workflowId, runId, steps: ['a'], by: 'heal' });
    const halting = keeper.haltAll('ann', 'incident');
    await until(() => (said.includes('undo a (undoing)') ? true : null), { timeoutMs: 2_000, onTimeout: () => new Error('not undone') });
    end();
    expect((await halting).leases.map(({ state }) => state)).toEqual(['gone']);
    await earlier;
  });

  test('that a crash broke off is carried on by the next guardian', async () => {
    const first = openKeeper();
    await arm(first, 'a');
    await first.inject(keyOf('a'));
    first.stop();
    writeFileSync(join(dir, 'halt.json'), JSON.stringify({ by: 'ann', reason: 'incident', at: 'now' }));
    const second = openKeeper();
    await untilGone(second, 'a');
    expect(second.describe(keyOf('a'))?.endedBy).toBe('halted');
  });

  test('whose file appears while the guardian runs heals too, and nothing is renewed under it', async () => {
    const keeper = openKeeper();
    await arm(keeper, 'a');
    await keeper.inject(keyOf('a'));
    writeFileSync(join(dir, 'halt.json'), JSON.stringify({ by: 'ann', reason: 'incident', at: 'now' }));
    expect(keeper.renew({ workflowId: keyOf('a').workflowId, runId: 'r1', ttlMs: 60_000 }).renewed).toEqual([]);
    await untilGone(keeper, 'a');
    expect(keeper.describe(keyOf('a'))?.endedBy).toBe('halted');
  });

  test('stands though the disk refuses to keep it, and is written as soon as it does not', async () => {
    const keeper = openKeeper();
    await arm(keeper, 'a');
    await keeper.inject(keyOf('a'));
    mkdirSync(join(dir, `halt.json.${process.pid}.tmp`));
    await keeper.haltAll('ann', 'incident');
    expect(stateOf(keeper, 'a')).toBe('gone');
    expect(keeper.standingHalt()?.reason).toBe('incident');
    await expect(arm(keeper, 'b')).rejects.toMatchObject({ code: 'halt_standing' });
    rmSync(join(dir, `halt.json.${process.pid}.tmp`), { recursive: true });
    await until(() => (existsSync(join(dir, 'halt.json')) ? true : null), {
      timeoutMs: 2_000,
      onTimeout: () => new Error('never written'),
    });
    keeper.release('ann', 'over');
    await arm(keeper, 'b');
  });
});

test('a tombstone holds though the disk refuses it: healing goes on from memory', async () => {
  const keeper = openKeeper();
  mkdirSync(join(dir, 'leases', `${leaseId(keyOf('a'))}.json.${process.pid}.tmp`));
  expect((await keeper.undo(keyOf('a'), 'workflow')).state).toBe('gone');
  await expect(arm(keeper, 'a')).rejects.toMatchObject({ code: 'lease_gone' });
});
