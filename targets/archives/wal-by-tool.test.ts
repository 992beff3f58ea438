/** What PostgreSQL hears from restore_command for each answer of a tool: a real shell, and a tool that ends as it is told. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { run, type RunResult } from '../../core/process';
import type { SandboxPlace } from './sandbox-server';
import { openWalByTool, type WalTool } from './wal-by-tool';

const PLANNED = '000000010000000000000003';
const OTHER = '000000010000000000000009';
const HISTORY = '00000002.history';

let dir: string;
let place: SandboxPlace;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-by-tool-'));
  place = { dir, dataDir: join(dir, 'data'), walDir: join(dir, 'wal'), logFile: '', binDir: '', owner: null, memoryBytes: null };
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A tool that says something, and ends with `code`; it brings what it is asked for if that is 0. */
function toolThatEnds(code: number): WalTool {
  const program = join(dir, 'tool.sh');
  const said = `echo 'a warning'; echo "2026 [1] ERROR: it said $MARK, $KEY" >&2; exit ${code}`;
  writeFileSync(program, `[ ${code} -eq 0 ] && { echo "$1" > "$2"; exit 0; }\n${said}\n`);
  return {
    name: 'tool fetch',
    argv: ['/bin/sh', program],
    env: { MARK: "it's" },
    secrets: { KEY: "pass'word" },
    absent: 1,
    directories: ['spool'],
  };
}

async function ask(
  code: number,
  name: string,
): Promise<{ readonly ended: RunResult; readonly failure: Error | null; readonly segments: number }> {
  const supply = openWalByTool(toolThatEnds(code), place, { segments: [PLANNED], known: [HISTORY] });
  const ended = await run(['/bin/sh', join(place.walDir, 'get.sh'), name, join(dir, 'got')], { timeoutMs: 5_000 });
  return { ended, failure: supply.failure(), segments: supply.delivered().segments };
}

test('what comes is in place and counts', async () => {
  const { ended, failure, segments } = await ask(0, PLANNED);
  expect([ended.code, failure, segments]).toEqual([0, null, 1]);
  expect(readFileSync(join(dir, 'got'), 'utf8')).toBe(`${PLANNED}\n`);
});

test('what comes besides the plan is no progress', async () => {
  expect(await ask(0, OTHER)).toMatchObject({ ended: { code: 0 }, segments: 0, failure: null });
});

test('a file that nobody listed may be absent: PostgreSQL goes on', async () => {
  expect(await ask(1, OTHER)).toMatchObject({ ended: { code: 1 }, failure: null });
});

test.each([PLANNED, HISTORY])('%s was listed: its absence aborts recovery, and is called missing', async (name) => {
  const { ended, failure } = await ask(1, name);
  expect(ended.code).toBeGreaterThan(125);
  expect(failure).toMatchObject({ code: 'wal_missing', message: expect.stringContaining(name) as string });
});

test.each([2, 4, 200])('any other end aborts recovery, with the tool’s own words: %i', async (code) => {
  const { ended, failure } = await ask(code, OTHER);
  expect(ended.code).toBeGreaterThan(125);
  expect(failure).toMatchObject({ code: 'restore_failed', message: expect.stringContaining(`exit ${code}`) as string });
  expect(failure?.message).toContain("ERROR: it said it's, pass'word");
});

test('a secret stands in a file of its own, for the sandbox’s user alone, and goes when WAL has come', async () => {
  const supply = openWalByTool(toolThatEnds(0), place, { segments: [PLANNED], known: [] });
  const files = readdirSync(place.walDir).filter((name) => name !== 'spool');
  const holding = files.filter((name) => readFileSync(join(place.walDir, name), 'utf8').includes("pass'word"));
  expect(holding).toEqual(['secret-KEY']);
  expect(statSync(join(place.walDir, 'secret-KEY')).mode & 0o077).toBe(0);
  await supply.stop();
  expect(readdirSync(place.walDir)).not.toContain('secret-KEY');
});

test('what an earlier call left running writes into none but its own, and is not told for the tool', async () => {
  const program = join(dir, 'stays.sh');
  const [ready, go, done] = ['ready', 'go', 'done'].map((name) => join(dir, name));
  // Behind the first call it says more, at its own place in the file; of its own fetching the second one's helper says an error, too.
  const stays = `{ : > ${ready}; until [ -e ${go} ]; do :; done; echo 'ERROR: of another segment'; : > ${done}; } & exit 0`;
  const fails = `: > ${go}; until [ -e ${done} ]; do :; done; echo 'ERROR: WAL-prefetch x'; printf '\\0'; echo 'ERROR: its own'; exit 3`;
  writeFileSync(program, `if [ ! -e ${ready} ]; then ${stays}; fi\necho 'a line that is longer than what it says'\n${fails}\n`);
  const tool = { ...toolThatEnds(0), argv: ['/bin/sh', program], tellable: (said: string) => said.replace('own', 'OWN') };
  const supply = openWalByTool(tool, place, { segments: [PLANNED], known: [] });
  const get = (name: string): Promise<RunResult> =>
    run(['/bin/sh', join(place.walDir, 'get.sh'), name, join(dir, 'got')], { timeoutMs: 5_000 });
  expect((await get(PLANNED)).code).toBe(0);
  await until(() => (existsSync(ready ?? '') ? true : null), { timeoutMs: 5_000, onTimeout: () => new Error('nothing was left') });
  expect((await get(OTHER)).code).toBeGreaterThan(125);
  expect(supply.failure()?.message).toMatch(/exit 3: \W*ERROR: its OWN$/);
});

test('what the tool leaves running is not waited for', async () => {
  const program = join(dir, 'leaves.sh');
  writeFileSync(program, 'sleep 20 &\necho $! > "$2.left"\n');
  const tool = { ...toolThatEnds(0), argv: ['/bin/sh', program] };
  openWalByTool(tool, place, { segments: [PLANNED], known: [] });
  const ended = await run(['/bin/sh', join(place.walDir, 'get.sh'), PLANNED, join(dir, 'got')], { timeoutMs: 5_000 });
  process.kill(Number(readFileSync(join(dir, 'got.left'), 'utf8')), 'SIGKILL');
  expect(ended.code).toBe(0);
});
