/**
 * Stopping a drill, wherever it is: a halt during each phase and each kind of long activity, and cancel, terminate and reset by Temporal's own command
 * line. Every time the faults come off, and nothing is left.
 */
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot, readJsonFile } from '../../core/files';
import { openSigner } from '../../evidence/signing';
import { verifyBundle } from '../../evidence/verify';
import { openGuardian } from '../../faults/guardian/client';
import { locateTools } from '../../infra/tools';
import type { ChainedEvent } from '../../model/event';
import type { DrillProgress, DrillResult } from '../../model/message';
import type { DrillRecord, Phase } from '../../model/record';
import { haltUpdate, progressQuery } from '../../workflows/messages';
import { findResidue } from '../crash/residue';
import { openTarget } from '../../targets/open-target';
import { epochDir, withEpochLock } from '../../targets/controllers/standalone-epoch';
import { cli, lab } from './lab';
import { DRAWN, drawRows, drawTests, fullTest } from './drawn';

const PHASES: readonly Phase[] = ['heal', 'verify', 'restore redundancy', 'judge', 'seal', 'notify'];
const HALT_ME = join(packageRoot(), 'test', 'scenarios', 'halt-me.yaml');
let scratch: string;
let connection: Connection;
let temporalClient: Client;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'gameday-halt-'));
  connection = await Connection.connect({ address: lab().temporalAddress });
  temporalClient = new Client({ connection });
});
afterAll(async () => {
  await connection.close();
  rmSync(scratch, { recursive: true, force: true });
});

const workflowId = (): string => `drill/${lab().target.systemIdentifier}`;
const guardian = () => openGuardian(join(lab().target.runDir, 'guardian.sock'));

/** HALT_ME with its last step replaced by these lines. */
function endingWith(name: string, lines: readonly string[]): string {
  const text = readFileSync(HALT_ME, 'utf8');
  const path = join(scratch, `${name}.yaml`);
  writeFileSync(path, `${text.slice(0, text.indexOf('  - wait: 10ms'))}${lines.map((line) => `  ${line}\n`).join('')}`);
  return path;
}

async function start(scenario: string, ...more: readonly string[]): Promise<string> {
  const started = await cli(['run', scenario, '--detach', '--json', ...more]);
  if (started.code !== 0) throw new Error(`exit ${started.code}\n${started.stdout}${started.stderr}`);
  return (JSON.parse(started.stdout.trim().split('\n').at(-1) ?? '{}') as { runId: string }).runId;
}

/** Of the drill that runs now, asked as often as one likes; null when none does, or when its worker is busy replaying. */
async function progress(): Promise<DrillProgress | null> {
  const handle = temporalClient.workflow.getHandle(workflowId());
  return handle.query(progressQuery).catch(() => null);
}

const isRunning = async (): Promise<boolean> =>
  (await temporalClient.workflow.getHandle(workflowId()).describe()).status.name === 'RUNNING';

const untilEnded = (): Promise<true> =>
  until(async () => ((await isRunning()) ? null : true), { timeoutMs: 60_000, onTimeout: () => new Error('the drill never ended') });

const untilAt = (what: string, there: (at: DrillProgress) => boolean): Promise<DrillProgress> =>
  until(
    async () => {
      const at = await progress();
      return at !== null && there(at) ? at : null;
    },
    { timeoutMs: 60_000, everyMs: 20, onTimeout: () => new Error(`the drill never was at ${what}`) },
  );

async function nothingLeft(): Promise<void> {
  let left: readonly string[] = [];
  await until(
    async () => {
      left = await findResidue(lab().home, lab().target);
      return left.length === 0 ? true : null;
    },
    { timeoutMs: 45_000, everyMs: 300, onTimeout: () => new Error(`left behind: ${left.join('; ')}`) },
  );
}
afterEach(nothingLeft, 60_000);

async function haltByCommand(): Promise<DrillRecord> {
  const halted = await cli(['halt', '--reason', 'tried in a test', '--as', 'ann', '--json']);
  expect([halted.code, halted.stderr]).toEqual([0, expect.any(String)]);
  return recordIn((JSON.parse(halted.stdout.trim().split('\n').at(-1) ?? '{}') as { evidence: string }).evidence);
}

/** As the command does, without the time that a new process takes. */
async function haltNow(): Promise<DrillRecord> {
  await askToHalt();
  return recordAtEnd();
}

async function askToHalt(): Promise<void> {
  await temporalClient.workflow.getHandle(workflowId()).executeUpdate(haltUpdate, { args: [{ by: 'ann', reason: 'tried in a test' }] });
}

const recordAtEnd = async (): Promise<DrillRecord> =>
  recordIn(((await temporalClient.workflow.getHandle(workflowId()).result()) as DrillResult).evidence);

function recordIn(evidence: string): DrillRecord {
  const record = readJsonFile<DrillRecord>(join(evidence, 'record.json'));
  if (record === null) throw new Error(`no record in ${evidence}`);
  return record;
}

/** Stopped in the method: both faults had been injected, both are proven gone, and the record says who stopped it. */
function expectHalted(record: DrillRecord): void {
  expect(record.state).toBe('aborted');
  expect(record.faults.map(({ fault, healed }) => [fault, healed])).toEqual([
    ['link-latency', true],
    ['drop-table', true],
  ]);
  expect(record.judgement.reasons.join('\n')).toContain('halted by ann');
}

fullTest(
  'in the baseline: nothing was injected, and nothing is',
  async () => {
    await start(HALT_ME, '--set', 'steadyWindow=12s');
    await untilAt('its baseline', ({ phase }) => phase === 'baseline');
    const record = await haltByCommand();
    expect(record.state).toBe('aborted');
    expect(record.faults).toEqual([]);
  },
  60_000,
);

const WAITS: readonly (readonly [string, readonly string[]])[] = [
  ['a wait', ['- wait: 10m', '  id: long']],
  [
    'a wait for clients that never recover',
    ['- fault: link-cut', '  id: cut', '  with: { from: client, to: router }', '- wait: recovered', '  id: long', '  timeout: 10m'],
  ],
  ['a check that never holds', ['- check: { sql: "SELECT 1", expect: "2", within: 10m }', '  id: long']],
  ['a manual step that nobody does', ['- manual: Do nothing.', '  owner: nobody', '  id: long']],
  ['parallel branches', ['- parallel:', '    - [{ wait: 10m, id: long }]', '    - [{ wait: 9m, id: other }]']],
];
test.each(drawRows('waits', WAITS))(
  `in %s${DRAWN}`,
  async (name, lines) => {
    await start(endingWith(name.replaceAll(' ', '-'), lines));
    await untilAt(name, ({ step }) => step === 'long' || step === 'other');
    const record = await haltNow();
    expect(record.state).toBe('aborted');
    expect(record.faults.every(({ healed }) => healed)).toBe(true);
    expect(record.judgement.reasons.join('\n')).toContain('halted by ann');
  },
  90_000,
);

const drawn = drawTests('halts', 2, ['restore', 'lever', 'heal', 'restore redundancy', 'judge', 'cancel']);

drawn('restore')(
  `in the midst of a restore: it ends, its sandbox goes, and the faults come off${DRAWN}`,
  async () => {
    await start(endingWith('restore', ['- restore: { before: drop }', '  id: long']));
    await untilAt('its restore', ({ step }) => step === 'long');
    expectHalted(await haltNow());
  },
  90_000,
);

drawn('lever')(
  `the lever, without Temporal: the drill hears of it from the guardian, and who halted stands in its evidence by themselves${DRAWN}`,
  async () => {
    await start(endingWith('lever', ['- wait: 10m', '  id: long']));
    await untilAt('its wait', ({ step }) => step === 'long');
    const handle = temporalClient.workflow.getHandle(workflowId());
    const env = { TEMPORAL_ADDRESS: '127.0.0.1:1' };
    try {
      const halted = await cli(['halt', '--all', '--reason', 'real incident', '--as', 'ann'], { env });
      expect([halted.code, halted.stderr]).toEqual([0, expect.not.stringContaining('not in the evidence')]);
      const { evidence } = (await handle.result()) as DrillResult;
      expectHalted(recordIn(evidence));
      const lines = readFileSync(join(evidence, 'events.jsonl'), 'utf8').trimEnd().split('\n');
      const events = lines.map((line) => (JSON.parse(line) as { readonly event: ChainedEvent }).event);
      expect(events.filter(({ writer }) => writer === 'halt')).toMatchObject([
        { kind: 'asked', actor: 'ann', text: 'ann halts everything: real incident', facts: { what: 'everything' } },
        { kind: 'answered', actor: 'ann', facts: { taken: false, healed: expect.arrayContaining(['drop']) as string[], notHealed: [] } },
      ]);
      const { checks } = await verifyBundle(evidence, { publicKeyPem: openSigner(join(lab().home, 'keys')).publicKeyPem });
      expect(checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(checks.find(({ name }) => name === 'event chains')?.detail).toContain('halt 2');
      expect(checks.find(({ name }) => name === 'expected events')?.detail).not.toContain('halt "');
    } finally {
      await cli(['release', '--reason', 'over', '--as', 'ann']);
    }
  },
  90_000,
);

/** After that no other drill is begun: within a test's limit this one still ends. */
const BEGUN_WITHIN_MS = 90_000;

/**
 * Halts a drill of the scenario once `at` holds. What lasts a second may be over, and the drill with it, before a busy worker answers a query: then another
 * drill is begun.
 */
async function haltIn(what: string, scenario: string, at: (progress: DrillProgress) => boolean): Promise<DrillRecord> {
  const since = Date.now();
  while (Date.now() - since < BEGUN_WITHIN_MS) {
    await start(scenario);
    const there = await untilAt(what, (progress) => at(progress) || isBehind(progress, 'seal'));
    const record = at(there) ? await haltNow().catch(nullWhenEnded) : null;
    if (record !== null) return record;
    await untilEnded();
  }
  throw new Error(`every drill was past ${what} before it could be halted there`);
}

const isBehind = ({ phase }: DrillProgress, first: Phase): boolean => PHASES.indexOf(phase) >= PHASES.indexOf(first);

function nullWhenEnded(error: unknown): null {
  if (error instanceof WorkflowNotFoundError) return null;
  throw error;
}

test('in the midst of a failover: it is carried to its end, and healed after it', async () => {
  const lines = ['- fault: process-kill', '  id: kill', '  with: { node: primary }', '- failover: most-advanced', '  id: long'];
  // It waits for the lock on its epoch, so that it is under way, and not over, when the halt comes.
  await withEpochLock(epochDir(lab().target), 10_000, async () => {
    await start(endingWith('failover', lines));
    await untilAt('its failover', ({ step }) => step === 'long');
    await askToHalt();
  });
  const record = await recordAtEnd();
  expect(record.state).toBe('aborted');
  expect(record.faults.every(({ healed }) => healed)).toBe(true);
  const killed = record.faults.find(({ fault }) => fault === 'process-kill')?.resolved as { readonly node: string } | undefined;
  const { primary } = await openTarget(lab().target).controller.topology();
  expect([primary, killed?.node]).toEqual([expect.stringMatching(/^n[123]$/), expect.stringMatching(/^n[123]$/)]);
  expect(primary).not.toBe(killed?.node);
  // Redundancy is not rebuilt behind a halt, by design.
  expect((await cli(['lab', 'up'])).code).toBe(0);
}, 180_000);

drawn('heal')(
  `in heal: everything comes off, and nothing is rebuilt behind the halt${DRAWN}`,
  async () => {
    const record = await haltIn('heal', HALT_ME, (progress) => isBehind(progress, 'heal'));
    expect(record.faults.every(({ healed }) => healed)).toBe(true);
    // The halt may come a moment after healing: what it finds done it lets stand.
    const { state, redundancy } = record;
    expect(state === 'aborted' ? redundancy : state).toEqual(
      state === 'aborted' ? { notRecorded: expect.stringContaining('halt') as string } : 'completed',
    );
  },
  180_000,
);

for (const phase of ['restore redundancy', 'judge'] as const)
  drawn(phase)(
    `in ${phase}, when its method is done: it goes on to its seal${DRAWN}`,
    async () => {
      const record = await haltIn(phase, HALT_ME, (progress) => isBehind(progress, phase));
      if (record.state !== 'completed') throw new Error(record.judgement.reasons.join('; '));
      expect(record.faults.every(({ healed }) => healed)).toBe(true);
    },
    180_000,
  );

/** Temporal's own command line, as an operator would type it. */
function temporal(...args: readonly string[]): void {
  execFileSync(locateTools().temporal, ['workflow', ...args, '--workflow-id', workflowId(), '--address', lab().temporalAddress], {
    stdio: 'ignore',
  });
}

drawn('cancel')(
  `\`temporal workflow cancel\` heals like a halt${DRAWN}`,
  async () => {
    const runId = await start(endingWith('cancel', ['- wait: 10m', '  id: long']));
    await untilAt('its wait', ({ step }) => step === 'long');
    temporal('cancel', '--run-id', runId);
    await untilEnded();
    const leases = (await guardian().list()).filter(({ key }) => key.runId === runId);
    expect(leases.map(({ state, endedBy }) => [state, endedBy])).toEqual([
      ['gone', 'undone'],
      ['gone', 'undone'],
    ]);
  },
  90_000,
);

fullTest(
  '`temporal workflow terminate` runs no code of ours: the leases run out, and the guardian heals',
  async () => {
    const runId = await start(endingWith('terminate', ['- wait: 10m', '  id: long']));
    await untilAt('its wait', ({ step }) => step === 'long');
    temporal('terminate', '--run-id', runId, '--reason', 'test');
    const leases = await until(
      async () => {
        const mine = (await guardian().list()).filter(({ key }) => key.runId === runId);
        return mine.every(({ state }) => state === 'gone') ? mine : null;
      },
      { timeoutMs: 30_000, onTimeout: () => new Error('leases of a terminated run still stand') },
    );
    expect(leases.map(({ endedBy, gone }) => [endedBy, gone?.holds])).toEqual([
      ['expired', true],
      ['expired', true],
    ]);
    // A terminated drill can drop nothing any more: the table that the guardian had put back goes when the next drill begins.
    await start(HALT_ME);
    await untilEnded();
  },
  90_000,
);

fullTest(
  '`temporal workflow reset`: the new run finds what the old one broke, and heals it',
  async () => {
    const runId = await start(endingWith('reset', ['- wait: 30s', '  id: long']));
    await untilAt('its wait', ({ step }) => step === 'long');
    temporal('reset', '--run-id', runId, '--type', 'LastWorkflowTask', '--reason', 'test');
    await until(async () => ((await guardian().list()).every(({ state }) => state === 'gone') ? true : null), {
      timeoutMs: 60_000,
      onTimeout: () => new Error('leases of the run before the reset still stand'),
    });
    await cli(['halt', '--reason', 'enough', '--as', 'ann']);
    await untilEnded();
  },
  150_000,
);

test('after all of that nothing is broken on purpose, says the command', async () => {
  expect((await cli(['status'])).code).toBe(0);
}, 30_000);
