/**
 * Stopping a drill, wherever it is: a halt during each phase and each kind of long activity, and cancel, terminate and reset by Temporal's own command
 * line. Every time the faults come off, and nothing is left.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot, readJsonFile } from '../../core/files';
import { openGuardian } from '../../faults/guardian/client';
import { locateTools } from '../../infra/tools';
import type { DrillProgress } from '../../model/message';
import type { DrillRecord } from '../../model/record';
import { openTarget } from '../../targets/open-target';
import { findResidue } from '../crash/residue';
import { cli, lab } from './lab';

const HALT_ME = join(packageRoot(), 'test', 'scenarios', 'halt-me.yaml');
let scratch: string;
beforeAll(() => (scratch = mkdtempSync(join(tmpdir(), 'gameday-halt-'))));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Drills {
  readonly drills: readonly { readonly workflowId: string; readonly progress: DrillProgress | null }[];
}
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

async function progress(): Promise<DrillProgress | null> {
  const { drills } = JSON.parse((await cli(['status', '--json'])).stdout) as Drills;
  return drills[0]?.progress ?? null;
}

const untilAt = (what: string, there: (at: DrillProgress) => boolean): Promise<DrillProgress> =>
  until(
    async () => {
      const at = await progress();
      return at !== null && there(at) ? at : null;
    },
    { timeoutMs: 60_000, everyMs: 50, onTimeout: () => new Error(`the drill never was at ${what}`) },
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
  expect((await cli(['status'])).code).toBe(0);
}
afterEach(nothingLeft, 60_000);

async function haltNow(): Promise<DrillRecord> {
  const halted = await cli(['halt', '--reason', 'tried in a test', '--as', 'ann', '--json']);
  expect([halted.code, halted.stderr]).toEqual([0, expect.any(String)]);
  const { evidence } = JSON.parse(halted.stdout.trim().split('\n').at(-1) ?? '{}') as { evidence: string };
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

test('in the baseline: nothing was injected, and nothing is', async () => {
  await start(HALT_ME, '--set', 'steadyWindow=20s');
  await untilAt('its baseline', ({ phase }) => phase === 'baseline');
  const record = await haltNow();
  expect(record.state).toBe('aborted');
  expect(record.faults).toEqual([]);
}, 60_000);

test.each([
  ['a wait', ['- wait: 10m', '  id: long']],
  [
    'a wait for clients that never recover',
    ['- fault: link-cut', '  id: cut', '  with: { from: client, to: router }', '- wait: recovered', '  id: long', '  timeout: 10m'],
  ],
  ['a check that never holds', ['- check: { sql: "SELECT 1", expect: "2", within: 10m }', '  id: long']],
  ['a manual step that nobody does', ['- manual: Do nothing.', '  owner: nobody', '  id: long']],
  ['parallel branches', ['- parallel:', '    - [{ wait: 10m, id: long }]', '    - [{ wait: 9m, id: other }]']],
])(
  'in %s',
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

test('in the midst of a restore: it ends, its sandbox goes, and the faults come off', async () => {
  await start(endingWith('restore', ['- restore: { before: drop }', '  id: long']));
  await untilAt('its restore', ({ step }) => step === 'long');
  expectHalted(await haltNow());
}, 90_000);

test('in the midst of a failover: it is carried to its end, and healed after it', async () => {
  await start(
    endingWith('failover', ['- fault: process-kill', '  id: kill', '  with: { node: primary }', '- failover: most-advanced', '  id: long']),
  );
  await untilAt('its failover', ({ step }) => step === 'long');
  const record = await haltNow();
  expect(record.state).toBe('aborted');
  expect(record.faults.every(({ healed }) => healed)).toBe(true);
  // Redundancy is not rebuilt behind a halt, by design.
  expect((await cli(['lab', 'up'])).code).toBe(0);
}, 120_000);

test.each(['verify', 'restore redundancy', 'judge'])(
  'in %s, when it is healed already: it goes on to its seal',
  async (phase) => {
    await start(HALT_ME);
    await untilAt(phase, (at) => at.phase === phase || at.phase === 'seal' || at.phase === 'notify').catch(() => undefined);
    await cli(['halt', '--reason', 'late', '--as', 'ann']);
    await until(async () => ((await progress()) === null ? true : null), {
      timeoutMs: 60_000,
      onTimeout: () => new Error('the drill never ended'),
    });
  },
  90_000,
);

/** Temporal's own command line, as an operator would type it. */
function temporal(...args: readonly string[]): void {
  execFileSync(locateTools().temporal, ['workflow', ...args, '--workflow-id', workflowId(), '--address', lab().temporalAddress], {
    stdio: 'ignore',
  });
}

test('`temporal workflow cancel` heals like a halt', async () => {
  const runId = await start(endingWith('cancel', ['- wait: 10m', '  id: long']));
  await untilAt('its wait', ({ step }) => step === 'long');
  temporal('cancel', '--run-id', runId);
  await until(async () => ((await progress()) === null ? true : null), { timeoutMs: 60_000, onTimeout: () => new Error('it never ended') });
  const leases = (await guardian().list()).filter(({ key }) => key.runId === runId);
  expect(leases.map(({ state, endedBy }) => [state, endedBy])).toEqual([
    ['gone', 'undone'],
    ['gone', 'undone'],
  ]);
}, 90_000);

test('`temporal workflow terminate` runs no code of ours: the leases run out, and the guardian heals', async () => {
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
  // The drill can make up for nothing any more; the table that it had put back goes with the next worker or drill.
  const live = openTarget(lab().target);
  const primary = (await live.controller.topology()).primary ?? '';
  await live.sql(primary, 'probe', (sql) => sql.query('SELECT 1'));
}, 90_000);

test('`temporal workflow reset`: the new run finds what the old one broke, and heals it', async () => {
  const runId = await start(endingWith('reset', ['- wait: 30s', '  id: long']));
  await untilAt('its wait', ({ step }) => step === 'long');
  temporal('reset', '--run-id', runId, '--type', 'LastWorkflowTask', '--reason', 'test');
  await until(async () => ((await guardian().list()).every(({ state }) => state === 'gone') ? true : null), {
    timeoutMs: 60_000,
    onTimeout: () => new Error('leases of the run before the reset still stand'),
  });
  await cli(['halt', '--reason', 'enough', '--as', 'ann']);
  await until(async () => ((await progress()) === null ? true : null), { timeoutMs: 60_000, onTimeout: () => new Error('it never ended') });
}, 150_000);
