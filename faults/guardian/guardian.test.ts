/** The guardian as a process of its own: of two, one holds the leases. What it does with faults is tried in test/live/guardian.test.ts. */
import { buildSync } from 'esbuild';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { openGuardian } from './client';

let home: string;
let program: string;
const started: ChildProcess[] = [];
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'gd-two-'));
  program = join(packageRoot(), 'node_modules', '.cache', `gameday-guardian-test-${process.pid}.js`);
  buildSync({
    entryPoints: [join(packageRoot(), 'faults', 'guardian', 'guardian.ts')],
    outfile: program,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
  });
}, 60_000);
afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(home, { recursive: true, force: true });
  rmSync(program, { force: true });
});

const socket = (): string => join(home, 'run', 'guardian.sock');
const endOf = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.once('close', resolve));

async function start(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [program, '--home', home], { stdio: 'ignore' });
  started.push(child);
  await until(async () => ((await openGuardian(socket()).status()).pid === child.pid ? true : null), {
    timeoutMs: 30_000,
    onTimeout: () => new Error('it never served'),
  });
  return child;
}

test('a second one ends while the first serves; a first one whose socket was taken ends, and the one that took it goes on', async () => {
  const first = await start();
  const refused = spawn(process.execPath, [program, '--home', home], { stdio: 'ignore' });
  started.push(refused);
  expect(await endOf(refused)).toBe(70);
  // As if both had looked before either listened.
  rmSync(socket());
  const ended = endOf(first);
  const second = await start();
  expect(await ended).toBe(70);
  expect((await openGuardian(socket()).status()).pid).toBe(second.pid);
}, 90_000);
