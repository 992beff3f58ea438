import { setTimeout as sleep } from 'node:timers/promises';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asksFor, fillWords, runCommand } from './command-run';

const run = (script: string, more: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<string> =>
  runCommand(['/bin/sh', '-c', script], { timeoutMs: 10_000, code: 'failover_failed', ...more });

test('names are put in as words and inside of them; other braces stay, and nothing is split or quoted', () => {
  const argv = ['/opt/fo', '{candidate}', '--from={primary}', '{"a":1}', '{candidate}/{candidate}'];
  expect(fillWords(argv, { candidate: 'n2', primary: 'n 1' })).toEqual(['/opt/fo', 'n2', '--from=n 1', '{"a":1}', 'n2/n2']);
  expect([asksFor(argv, 'primary'), asksFor(argv, 'node')]).toEqual([true, false]);
});

test('a name that nobody knows is said, not left empty', () => {
  expect(() => fillWords(['fo', '{primary}'], { primary: null })).toThrow(/asks for \{primary\}/);
});

test('what it printed comes back', async () => {
  expect(await run('echo n2; echo noise >&2')).toBe('n2\n');
});

test('an exit code other than 0 is an error with the end of stderr', async () => {
  await expect(run('echo first >&2; echo "no standby left" >&2; exit 3')).rejects.toMatchObject({
    code: 'failover_failed',
    message: expect.stringMatching(/ended with 3: first\nno standby left$/),
  });
});

test('a program that is not there is an error of the same kind', async () => {
  await expect(runCommand(['/nowhere/failover'], { timeoutMs: 1_000, code: 'step_failed' })).rejects.toMatchObject({
    code: 'step_failed',
    message: expect.stringMatching(/cannot be started .*ENOENT/),
  });
});

test('a server left running holds the pipes open, and nobody waits for it', async () => {
  const begun = Date.now();
  expect(await run('sleep 4 & echo done')).toBe('done\n');
  expect(Date.now() - begun).toBeLessThan(3_000);
});

test('when time is over the whole group gets SIGTERM, and may still put things in order', async () => {
  const dir = mkdtempSync('/tmp/gd-command-');
  const mark = join(dir, 'mark');
  try {
    const script = `trap 'touch ${mark}; exit 1' TERM; echo waiting >&2; while :; do sleep 0.05; done`;
    await expect(run(script, { timeoutMs: 300 })).rejects.toMatchObject({
      message: expect.stringMatching(/did not end within 300 ms: waiting/),
    });
    expect(existsSync(mark)).toBe(true);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('an abort ends it, with the caller’s reason', async () => {
  const stop = new AbortController();
  const running = run('sleep 30', { signal: stop.signal });
  await sleep(50);
  stop.abort(new Error('halted'));
  await expect(running).rejects.toThrow('halted');
});
