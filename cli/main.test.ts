import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { packageRoot } from '../core/files';

/** The real program in a process of its own, bundled once; no server runs, and the home is empty. */
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
  [['frobnicate'], 2, "error: unknown command 'frobnicate'"],
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
});

test('with --json stdout holds the result alone', async () => {
  const { code, stdout } = await gameday('scenarios', 'list', '--json');
  expect(code).toBe(0);
  expect((JSON.parse(stdout) as { name: string }[]).map(({ name }) => name)).toContain('game-day-in-a-box');
  const failed = await gameday('plan', 'nothing-like-it', '--json');
  expect(JSON.parse(failed.stdout)).toMatchObject({ error: { code: 'scenario_unknown', exit: 2 } });
});

test('status of an empty home says that nothing is broken on purpose, without Temporal and without a guardian', async () => {
  const { code, stdout } = await gameday('status');
  expect(stdout).toContain('nothing was ever broken on purpose from here');
  expect(stdout).toContain('not known which drills run');
  expect(code).toBe(0);
});
