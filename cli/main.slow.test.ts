import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { packageRoot, sha256Hex } from '../core/files';
import { encodePlan } from '../evidence/bundle';
import { registerIn } from '../evidence/drill-evidence';
import { readEvents } from '../evidence/events';
import { openEvidence } from '../evidence/store';
import { armLease } from '../faults/guardian/lease-machine';
import { planFor } from '../test/fixtures/sealed-drill';
import { sampleTarget } from '../test/sample-plan';

/** The real program in a process of its own, bundled once; no server runs, and the home is empty. Starting it takes seconds where the machine is busy. */
jest.setTimeout(60_000);
let home: string;
let program: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'gameday-cli-'));
  // Beside package.json, so that the program finds its library of scenarios.
  program = join(packageRoot(), 'node_modules', '.cache', `gameday-cli-test-${process.pid}.js`);
  buildSync({
    entryPoints: [join(packageRoot(), 'cli', 'main.ts')],
    outfile: program,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
  });
}, 60_000);
afterAll(() => {
  rmSync(home, { recursive: true, force: true });
  rmSync(program, { force: true });
});

function gameday(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env['PATH'], HOME: home, GAMEDAY_HOME: home, TEMPORAL_ADDRESS: '127.0.68.99:1' };
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { timeout: 60_000, env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

const REFUSALS: readonly (readonly [string[], number, string])[] = [
  [['plan', 'primary-los'], 2, 'gameday: no scenario "primary-los" (did you mean "primary-loss"?)\nHINT: '],
  [['run', 'primary-loss', '--target', 'nowhere'], 2, 'gameday: no target "nowhere"'],
  [['run'], 2, 'gameday: name either a scenario or --plan FILE'],
  [['run', 'primary-loss', '--plan', 'x.json'], 2, 'gameday: name either a scenario or --plan FILE'],
  [['run', '--plan', '/nowhere/x.json'], 2, 'gameday: plan /nowhere/x.json cannot be read'],
  [['approve', '/nowhere/x.json', '--target', 'lab'], 2, '/nowhere/x.json is a plan, whose target, variables and steps are fixed'],
  [['frobnicate'], 2, "gameday: unknown command 'frobnicate'\nHINT: see `gameday --help`."],
  [['statu'], 2, "gameday: unknown command 'statu' (Did you mean status?)"],
  [['run', 'primary-loss', '--bogus'], 2, "gameday: unknown option '--bogus'\nHINT: see `gameday run --help`."],
  [['lab', 'up', '--topology', 'mesh'], 2, 'HINT: see `gameday lab up --help`.'],
  [['release'], 2, 'HINT: see `gameday release --help`.'],
  [['halt', '--all'], 2, 'gameday: --all needs a --reason\nHINT: '],
  [['halt'], 75, 'gameday: temporal at 127.0.68.99:1 did not answer within 3 s'],
  [['release', '--reason', 'x'], 75, 'guardian.sock'],
  [['show', '4'], 2, 'gameday: no drill drill-000004'],
  [['verify', '/nowhere'], 2, 'neither a drill'],
];

test('what cannot be done ends with its code, a message and a hint, and nothing on stdout', async () => {
  const results = await Promise.all(REFUSALS.map(([args]) => gameday(...args)));
  results.forEach(({ code, stdout, stderr }, at) => {
    const [args, expected, words] = REFUSALS[at]!;
    expect({ args, code, stdout, stderr }).toEqual({ args, code: expected, stdout: '', stderr: expect.stringContaining(words) as string });
    expect(stderr).toContain('\nHINT: ');
  });
}, 60_000);

test('a scenario that is wrong is named with file, line and column', async () => {
  const file = join(home, 'wrong.yaml');
  writeFileSync(file, 'name: x\ntitle: X\nhypothesis: h\nobjectives: { rto: 30 }\nsteps:\n  - fualt: noop\n');
  const { code, stderr } = await gameday('scenarios', 'validate', file);
  expect(code).toBe(2);
  expect(stderr).toContain(`gameday: ${file}:4:20: objectives.rto: 30 has no unit; write it like 250ms, 30s, 5m or 1h`);
  expect(stderr).toContain(`${file}:6:5: steps[0].fualt: unknown verb (did you mean "fault"?)`);
}, 60_000);

test('with --json stdout holds the result alone', async () => {
  const { code, stdout } = await gameday('scenarios', 'list', '--json');
  expect(code).toBe(0);
  expect((JSON.parse(stdout) as { name: string }[]).map(({ name }) => name)).toContain('game-day-in-a-box');
  const failed = await gameday('plan', 'nothing-like-it', '--json');
  expect(JSON.parse(failed.stdout)).toMatchObject({ error: { code: 'scenario_unknown', exit: 2 } });
  const misused = await gameday('run', '--bogus', '--json');
  expect(JSON.parse(misused.stdout)).toEqual({
    error: { code: 'usage', message: "unknown option '--bogus'", hint: 'see `gameday run --help`.', exit: 2 },
  });
}, 60_000);

test('halt --all without a guardian is left for the next one, and tells how what stands comes off by hand', async () => {
  const leases = join(home, 'guardian', 'leases');
  mkdirSync(leases, { recursive: true });
  try {
    const now = { bootId: 'b', bootMs: 0, utc: '2026-11-23T03:00:00.000Z' };
    const handle = { fault: 'noop', drill: 'drill-000007', resolved: {}, preview: 'break nothing', manualUndo: ['put it back'] };
    const key = { workflowId: 'w', runId: 'r', step: 's' };
    const lease = armLease({ key, handle, target: sampleTarget(), ttlMs: 1, maxMs: 1, order: 1 }, now);
    writeFileSync(join(leases, 'a.json'), JSON.stringify(lease));
    const plan = planFor({});
    const { drill } = await registerIn(openEvidence(home, 'lab'), {
      plan,
      planSha256: sha256Hex(encodePlan(plan)),
      owner: key,
      startedBy: 'mira',
      at: now.utc,
    });
    const unknown = { ...lease, key: { ...key, runId: 'another' } };
    writeFileSync(join(leases, 'b.json'), JSON.stringify(unknown));
    const { code, stdout, stderr } = await gameday('halt', '--all', '--reason', 'incident', '--as', 'ann');
    expect([code, stdout]).toEqual([
      5,
      expect.stringMatching(/no guardian answers.*2 faults stand[^]*NOT HEALED: break nothing\n {2}put it back/),
    ]);
    expect(JSON.parse(readFileSync(join(home, 'guardian', 'halt.json'), 'utf8'))).toMatchObject({ by: 'ann', reason: 'incident' });
    expect((await gameday('status')).stdout).toContain('halted by ann');
    // With nobody there to answer, who halted and what stands is in the evidence all the same; where it cannot be, they are told.
    expect(await readEvents(openEvidence(home, 'lab').local, `${plan.target.name}/${drill}`, 'halt')).toMatchObject([
      { kind: 'asked', actor: 'ann', facts: { what: 'everything', reason: 'incident' } },
      { kind: 'answered', text: 'the drill could not be told; NOT HEALED: s', facts: { taken: false, healed: [], notHealed: ['s'] } },
    ]);
    expect(stderr).toMatch(/not in the evidence of run another: .* holds no registration of it/);
  } finally {
    for (const name of ['guardian', 'drills', 'keys']) rmSync(join(home, name), { recursive: true });
  }
}, 60_000);

test('where no gameday ever ran, halt --all says that it halts nothing', async () => {
  expect((await gameday('halt', '--all', '--reason', 'incident')).code).toBe(75);
}, 60_000);

test('status of an empty home says that nothing is broken on purpose, without Temporal and without a guardian', async () => {
  const { code, stdout } = await gameday('status');
  expect(stdout).toContain('nothing is broken on purpose; no guardian runs');
  expect(stdout).toContain('not known which drills run');
  expect(code).toBe(0);
}, 60_000);

describe('approving', () => {
  let shop: string;
  let plan: string;
  let key: string;
  beforeAll(() => {
    [shop, plan, key] = [join(home, 'shop.yaml'), join(home, 'plan.json'), join(home, 'id_ann')];
    const target = sampleTarget();
    writeFileSync(
      shop,
      JSON.stringify({ ...target, name: 'shop', kind: 'production', policy: { ...target.policy, approvers: '/etc/approvers' } }, null, 1),
    );
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  });

  const NOOP = join(packageRoot(), 'test', 'scenarios', 'noop.yaml');

  test('a plan is written under its digest, approved for a time, and the approval can be checked with ssh-keygen alone', async () => {
    const planned = await gameday('plan', NOOP, '--target', shop, '--out', plan);
    expect([planned.code, planned.stderr]).toEqual([0, '']);
    expect(planned.stdout).toContain('shop.yaml:3: kind is production: two others than whoever starts the drill must approve this plan');
    const planSha256 = sha256Hex(readFileSync(plan));
    expect(planned.stdout).toContain(planSha256);

    const approved = await gameday('approve', plan, '--key', key, '--as', 'ann@example.com', '--for', '2h', '--json');
    expect([approved.code, approved.stderr]).toEqual([0, expect.stringContaining('Nothing is broken (noop) on shop')]);
    const { file, ...approval } = JSON.parse(approved.stdout) as { file: string; from: string; until: string };
    expect(file).toBe(join(home, 'approvals', planSha256, 'ann@example.com.json'));
    expect(approval).toMatchObject({ planSha256, systemIdentifier: sampleTarget().systemIdentifier, approver: 'ann@example.com' });
    expect(Date.parse(approval.until) - Date.parse(approval.from)).toBe(2 * 3_600_000);

    const signers = join(home, 'allowed_signers');
    writeFileSync(signers, `ann@example.com ${readFileSync(`${key}.pub`, 'utf8')}`);
    const args = ['-Y', 'verify', '-f', signers, '-I', 'ann@example.com', '-n', 'gameday-approval@v1', '-s', `${file}.sig`];
    expect(execFileSync('ssh-keygen', args, { input: readFileSync(file), encoding: 'utf8' })).toContain(
      'Good "gameday-approval@v1" signature',
    );
  }, 60_000);

  test('the same scenario and target give the same digest wherever they are approved', async () => {
    const again = await gameday('approve', NOOP, '--target', shop, '--key', key, '--as', 'bob', '--out', join(home, 'bob.json'), '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({ planSha256: sha256Hex(readFileSync(plan)), file: join(home, 'bob.json') });
  }, 60_000);

  test.each([
    [['--key', '/nowhere/key'], 'ssh-keygen could not sign with /nowhere/key'],
    [['--as', 'a/b'], '"a/b" is no name of an approver'],
    [['--until', 'tomorrow'], '--until "tomorrow" is no time with a zone'],
    [['--until', '2020-01-01T00:00:00Z'], 'would never hold'],
    [['--for', '1000h'], 'at most 31 days'],
    [['--for', '1h', '--until', '2099-01-01T00:00:00Z'], 'do not go together'],
  ])('%j is refused: %s', async (options, words) => {
    const { code, stdout, stderr } = await gameday('approve', plan, '--key', key, ...options);
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: expect.stringContaining(words) as string });
    expect(stderr).toContain('\nHINT: ');
  });

  test('a plan that was changed after it was written is not run', async () => {
    const changed = join(home, 'changed.json');
    writeFileSync(changed, readFileSync(plan, 'utf8').replace('"faultMaxMs":60000', '"faultMaxMs":60001'));
    const { code, stderr } = await gameday('run', '--plan', changed);
    expect([code, stderr]).toEqual([2, expect.stringContaining('it was changed by hand')]);
  });
});
