/**
 * What fails, fails clearly: each way a drill cannot start, or loses a part while it runs, from the command line on the shared lab.
 * Every test ends with the same proof that nothing stays broken, running or half-written.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot, readJsonFile } from '../../core/files';
import { homePaths } from '../../core/home';
import { openGuardian, type GuardianClient } from '../../faults/guardian/client';
import type { ChildView } from '../../infra/supervisor/contract';
import { openSupervisorClient, type SupervisorClient } from '../../infra/supervisor/client';
import type { DrillRecord } from '../../model/record';
import { openTarget } from '../../targets/open-target';
import { cli, lab, type CliResult } from './lab';

const scenario = (name: string): string => join(packageRoot(), 'test', 'scenarios', `${name}.yaml`);
const NOOP = scenario('noop');

interface RunLine {
  readonly drill: string;
  readonly sequence: number;
  readonly state: string;
  readonly faults: readonly { readonly fault: string; readonly confirmed: boolean; readonly healed: boolean }[];
  readonly evidence: string;
}
interface StatusLine {
  readonly faults: readonly { readonly fault: string }[];
  readonly drills: readonly unknown[] | null;
}

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'gameday-failure-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const supervisor = (): SupervisorClient => openSupervisorClient(lab().target.runDir);
const guardian = (): GuardianClient => openGuardian(join(lab().target.runDir, 'guardian.sock'));

function within<T>(timeoutMs: number, what: string, probe: () => Promise<T | null>): Promise<T> {
  return until(probe, { timeoutMs, everyMs: 200, onTimeout: (last) => new Error(`${what}: not within ${timeoutMs} ms: ${String(last)}`) });
}

async function child(name: string): Promise<ChildView> {
  const found = (await supervisor().status()).children.find((each) => each.name === name);
  if (found === undefined) throw new Error(`the supervisor knows no ${name}`);
  return found;
}

function lineOf(ended: CliResult): { readonly line: RunLine; readonly record: DrillRecord } {
  const last = ended.stdout.trim().split('\n').at(-1) ?? '';
  if (!last.startsWith('{"drill"')) throw new Error(`no result line; exit ${ended.code}\n${ended.stdout}\n${ended.stderr}`);
  const line = JSON.parse(last) as RunLine;
  const record = readJsonFile<DrillRecord>(join(line.evidence, 'record.json'));
  if (record === null) throw new Error(`no record in ${line.evidence}`);
  return { line, record };
}

async function statusLine(): Promise<{ readonly code: number; readonly status: StatusLine }> {
  const { code, stdout } = await cli(['status', '--json']);
  return { code, status: JSON.parse(stdout) as StatusLine };
}

/** Drills that have a directory, and leases the guardian ever held: what a drill that did not start must not add to. */
async function traces(): Promise<{ readonly drills: readonly string[]; readonly leases: number }> {
  const dir = join(homePaths(lab().home).drills, lab().target.name);
  return { drills: existsSync(dir) ? readdirSync(dir).sort() : [], leases: (await guardian().list()).length };
}

async function lifted(): Promise<void> {
  const { target } = lab();
  await within(20_000, 'status says that nothing is broken and no drill runs', async () => {
    const { code, status } = await statusLine();
    return code === 0 && status.faults.length === 0 && status.drills?.length === 0 ? true : null;
  });
  const { links } = openTarget(target);
  if (links === null) throw new Error('the lab has links');
  const states = await Promise.all(links.list().map(async (link) => ({ link: link.name, ...(await links.state(link)) })));
  expect(states.filter(({ enabled, toxics }) => !enabled || toxics.length > 0)).toEqual([]);
  expect((await guardian().list()).filter((lease) => lease.state !== 'gone')).toEqual([]);
  const { children } = await supervisor().status();
  expect(children.filter(({ running, name }) => running && name.includes('drill-')).map(({ name }) => name)).toEqual([]);
  const unfinished = join(homePaths(lab().home).drills, '.tmp');
  expect(existsSync(unfinished) ? readdirSync(unfinished) : []).toEqual([]);
}

afterEach(lifted, 60_000);

/** `gameday check` passes again: Temporal, worker, nodes, archive and guardian all answer. */
async function readyAgain(timeoutMs: number): Promise<void> {
  await within(timeoutMs, 'ready again', async () => {
    const { code, stdout, stderr } = await cli(['check', '--scenario', NOOP], { timeoutMs: 30_000 });
    if (code !== 0) throw new Error(`exit ${code}\n${stdout}${stderr}`);
    return true;
  });
}

/** A drill that was refused: sealed as that, checkable offline, and without a trace of a fault. */
async function expectSealedRefusal(ended: CliResult, reason: RegExp): Promise<void> {
  expect([ended.code, ended.stderr]).toEqual([6, expect.any(String)]);
  const { line, record } = lineOf(ended);
  expect(line).toMatchObject({ state: 'refused', faults: [] });
  expect(record.state).toBe('refused');
  expect(record.faults).toEqual([]);
  expect(record.steps.map((step) => step.outcome)).toEqual(record.steps.map(() => 'not executed'));
  expect(record.judgement.reasons.join('\n')).toMatch(reason);
  expect((await guardian().list()).filter((lease) => lease.handle.drill === line.drill)).toEqual([]);
  const verified = await cli(['verify', line.evidence, '--key', join(lab().home, 'keys', 'signing.pub.pem')]);
  expect([verified.code, verified.stdout + verified.stderr]).toEqual([0, expect.stringContaining('ok')]);
}

test('what people wrote wrong is named with its place and a hint, exit 2, and starts nothing', async () => {
  const before = await traces();
  const wrong = join(scratch, 'wrong.yaml');
  writeFileSync(wrong, 'name: x\ntitle: X\nhypothesis: h\nobjectives: { rto: 30 }\nsteps:\n  - fualt: noop\n');
  const torn = join(scratch, 'torn.yaml');
  writeFileSync(torn, 'name: x\ntitle: "no end\nsteps: []\n');
  const cases: readonly (readonly [readonly string[], readonly string[]])[] = [
    [
      ['run', wrong],
      [`${wrong}:4:20: objectives.rto: 30 has no unit`, `${wrong}:6:5: steps[0].fualt: unknown verb (did you mean "fault"?)`],
    ],
    [['run', torn], [`${torn}:`]],
    [['run', join(scratch, 'nowhere.yaml')], ['nowhere.yaml']],
    [
      ['run', NOOP, '--target', 'labb'],
      ['no target "labb"', 'gameday lab up'],
    ],
    [
      ['run', 'primary-los'],
      ['no scenario "primary-los" (did you mean "primary-loss"?)', 'gameday scenarios list'],
    ],
  ];
  for (const [args, words] of cases) {
    const { code, stdout, stderr } = await cli(args);
    expect({ args, code, stdout, stderr }).toEqual({ args, code: 2, stdout: '', stderr: expect.stringMatching(/^gameday: .*\nHINT: \S/s) });
    for (const word of words) expect(stderr).toContain(word);
  }
  expect((await cli(['run', torn])).stderr).toMatch(/torn\.yaml:[0-9]+:[0-9]+: /);
  expect(await traces()).toEqual(before);
}, 60_000);

test('a fault that the target’s policy does not allow is refused, and the sealed record says so', async () => {
  const { target } = lab();
  const before = await traces();
  // JSON is YAML.
  const file = join(scratch, 'careful.yaml');
  writeFileSync(file, JSON.stringify({ ...target, policy: { ...target.policy, allowFaults: [] } }));
  const ended = await cli(['run', scenario('long-latency'), '--target', file, '--json']);
  expect(ended.stderr).toContain('link-latency is not in policy.allowFaults of target lab: the drill will be refused');
  await expectSealedRefusal(ended, /target opted in to these faults: not allowed: link-latency/);
  expect((await traces()).leases).toBe(before.leases);
}, 60_000);

test('with Temporal down a drill does not start, status still answers, and drills run once it is back', async () => {
  const before = await traces();
  await supervisor().stop('temporal');
  try {
    const { code, stdout, stderr } = await cli(['run', NOOP, '--json']);
    expect([code, stderr]).toEqual([75, expect.stringMatching(/^gameday: temporal at .* did not answer[^\n]*\nHINT: .*`gameday status`/)]);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'temporal_unreachable', exit: 75 } });
    const status = await cli(['status']);
    expect([status.code, status.stdout]).toEqual([0, expect.stringContaining('nothing is broken on purpose')]);
    expect(status.stdout).toContain('not known which drills run: temporal at');
    expect(await traces()).toEqual(before);
  } finally {
    await supervisor().restart('temporal');
  }
  await readyAgain(60_000);
}, 120_000);

test('with S3 down a drill is refused, and no WAL is missing from the archive once it is back', async () => {
  const live = openTarget(lab().target);
  const { archive } = live;
  if (archive === null) throw new Error('the lab has an archive');
  await supervisor().stop('s3');
  let segment: string;
  try {
    const primary = (await live.controller.topology()).primary ?? '';
    segment = await live.sql(primary, 'operate', async (sql) => {
      await sql.query(`SELECT pg_create_restore_point('s3 is down')`);
      return (await sql.query('SELECT pg_walfile_name(pg_switch_wal()) AS name'))[0]?.['name'] ?? '';
    });
    await expectSealedRefusal(await cli(['run', NOOP, '--json']), /archive reachable: .*attempts: .*connection/);
  } finally {
    await supervisor().restart('s3');
  }
  await within(60_000, `${segment} is archived`, async () => ((await archive.holds(segment)) ? true : null));
  await readyAgain(90_000);
}, 180_000);

/** Why this machine cannot have a small file system of its own; null if it can. CAP_SYS_ADMIN is bit 21. */
function whyNoMount(): string | null {
  if (process.getuid?.() !== 0) return 'mounting a tmpfs needs root';
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> 21n) & 1n) === 1n ? null : 'this container may not mount (no CAP_SYS_ADMIN)';
}

function command(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}

function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (;;) writeSync(file, Buffer.alloc(4_096));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

const noMount = whyNoMount();
(noMount === null ? test : test.skip)(
  `with the evidence store full a drill is not registered and does not start${noMount === null ? '' : `: ${noMount}`}`,
  async () => {
    const { drills } = homePaths(lab().home);
    mkdirSync(drills, { recursive: true });
    const before = await traces();
    command('mount', '-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', drills);
    try {
      fill(join(drills, 'filler'));
      const { code, stdout, stderr } = await cli(['run', NOOP, '--json']);
      expect([code, stderr]).toEqual([75, expect.stringMatching(/gameday: drill on lab was not registered: .*ENOSPC[^\n]*\nHINT: \S/)]);
      expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ error: { code: 'registration_failed', exit: 75 } });
      const files = readdirSync(drills, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      expect(files.map(({ name }) => name)).toEqual(['filler']);
    } finally {
      await within(10_000, `umount ${drills}`, async () => (command('umount', drills), true));
    }
    expect(await traces()).toEqual(before);
  },
  60_000,
);

test('SIGKILL of the guardian while a fault stands: the next one takes the lease up, and the drill ends healed under the next number', async () => {
  const before = await child('guardian');
  const earlier = (await traces()).drills;
  const ended = cli(['run', scenario('long-latency'), '--set', 'hold=20s', '--json'], { timeoutMs: 100_000 });
  ended.catch(() => undefined);
  await within(40_000, 'the fault stands', async () =>
    (await guardian().list()).some(({ state, confirmed }) => state === 'active' && confirmed !== null) ? true : null,
  );
  process.kill(before.pid ?? 0, 'SIGKILL');
  await within(15_000, 'the supervisor starts another guardian', async () => {
    const now = await child('guardian');
    return now.running && now.pid !== before.pid && (await guardian().status()).pid === now.pid ? true : null;
  });
  const held = await guardian().list();
  expect(held.filter((lease) => lease.state !== 'gone').map(({ handle, state }) => [handle.fault, state])).toEqual([
    ['link-latency', 'active'],
  ]);
  const { line, record } = lineOf(await ended);
  expect(line.state).toBe('completed');
  const bites = (fault: { readonly confirmed: boolean; readonly confirmedBy: unknown }): string =>
    fault.confirmed ? 'bites' : `does not bite: ${JSON.stringify(fault.confirmedBy)}`;
  expect(record.faults.map(({ step, healed, endedBy, ...fault }) => [step, bites(fault), healed, endedBy])).toEqual([
    ['slow', 'bites', true, 'undone'],
  ]);
  expect(line.faults).toEqual([{ fault: 'link-latency', confirmed: true, healed: true }]);
  expect(record.steps.map((step) => step.outcome)).toEqual(record.steps.map(() => 'done'));
  // Numbers are neither lost nor given twice by what went wrong before.
  const sequences = earlier.map((name) => Number(/^drill-([0-9]{6})$/.exec(name)?.[1] ?? 0));
  expect(line.sequence).toBe(Math.max(0, ...sequences) + 1);
}, 120_000);
