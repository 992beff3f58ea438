import { GamedayError } from '../../core/errors';
import { run } from '../../core/process';
import type { TargetNode } from '../../model/target';
import { openRemoteHost, parseEnd, type RemoteShell } from './remote-host';

const node: TargetNode = {
  name: 'n1',
  host: '127.0.0.1',
  port: 5432,
  dataDir: '/nowhere',
  binDir: '/nowhere',
  osUser: null,
  runsOn: { kind: 'local' },
  agent: null,
  logFile: '/nowhere',
};

/** A far end that is this machine: what arrives there is real, what comes back can be tampered with. */
const shellOf = (change: Partial<RemoteShell> = {}): RemoteShell => ({
  kind: 'here',
  run: (argv, { as: _as, ...options }) => run(argv, options),
  explain: ({ code }) => new GamedayError('host_unreachable', `lost (${code})`),
  ...change,
});
const ASKED = { asNode: true, timeoutMs: 10_000 };

test('how a command ended is read behind a word that nobody else knows', () => {
  const result = (stderr: string) => ({ code: 0, stdout: '', stderr });
  expect(parseEnd(result('warning\nt0ken 3'), 't0ken')).toEqual({ code: 3, stderr: 'warning\n' });
  expect(parseEnd(result('t0ken missing'), 't0ken')).toEqual({ code: 'missing', stderr: '' });
  expect(parseEnd(result('other 3'), 't0ken')).toBeNull();
});

test.each([0, 1, 124, 126, 127, 137, 255])('exit code %i is the command’s own', async (code) => {
  const host = openRemoteHost(node, shellOf());
  expect(await host.exec(['sh', '-c', `echo out; echo err >&2; exit ${code}`], ASKED)).toEqual({ code, stdout: 'out\n', stderr: 'err\n' });
});

test('a command that never said how it ended is no success, whatever the connection says', async () => {
  const shell = shellOf({ run: async () => ({ code: 0, stdout: 'half', stderr: '' }) });
  await expect(openRemoteHost(node, shell).exec(['true'], ASKED)).rejects.toMatchObject({ code: 'host_unreachable' });
});

test('one that takes too long is ended at the far end, with what it started', async () => {
  const calls: string[] = [];
  const shell = shellOf({
    run: (argv, { as: _as, ...options }) => {
      calls.push(argv[3] ?? 'end');
      return run(argv[3] === 'gameday-run' ? ['setsid', '-f', '-w', ...argv] : argv, options);
    },
  });
  const seconds = '611.7';
  const asked = openRemoteHost(node, shell).exec(['sh', '-c', `sleep ${seconds} & sleep ${seconds}`], { asNode: true, timeoutMs: 700 });
  await expect(asked).rejects.toMatchObject({ code: 'step_failed', message: 'sh on n1 did not end within 700 ms' });
  expect(calls).toEqual(['gameday-run', 'end']);
  expect((await run(['pgrep', '-f', `sleep ${seconds.replace('.', '[.]')}`], { timeoutMs: 5_000 })).stdout).toBe('');
});

test('when the far end cannot be asked to end it either, that is what is said', async () => {
  const shell = shellOf({
    run: async (argv) => {
      throw argv[3] === 'gameday-run' ? new GamedayError('step_failed', 'late') : new GamedayError('host_unreachable', 'no route');
    },
  });
  await expect(openRemoteHost(node, shell).exec(['true'], ASKED)).rejects.toMatchObject({
    code: 'host_unreachable',
    message: expect.stringMatching(/nobody knows.*no route/),
  });
});

test('a text that arrives only in part replaces nothing', async () => {
  const dir = (await run(['mktemp', '-d'], { timeoutMs: 5_000 })).stdout.trim();
  const path = `${dir}/new/file`;
  const whole = openRemoteHost(node, shellOf());
  const cut = openRemoteHost(
    node,
    shellOf({ run: (argv, { as: _as, input, ...options }) => run(argv, { ...options, input: (input ?? '').slice(0, 3) }) }),
  );
  try {
    await whole.writeFile(path, 'first é\n');
    await expect(cut.writeFile(path, 'second\n')).rejects.toThrow('only a part of the text arrived');
    expect(await whole.readFile(path)).toBe('first é\n');
    expect((await run(['ls', `${dir}/new`], { timeoutMs: 5_000 })).stdout).toBe('file\n');
  } finally {
    await run(['rm', '-r', dir], { timeoutMs: 5_000 });
  }
});
