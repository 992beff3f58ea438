/** A process that stands for Patroni: what is asked is Linux' own /proc, of a real process with a real open file. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TargetNode } from '../../model/target';
import { openLocalHost } from '../hosts/local';
import type { LiveTarget } from '../ports';
import { configFileOf, readWatchdog, watchdogSettings } from './patroni-watchdog';

const dir = mkdtempSync(join(tmpdir(), 'gd-watchdog-'));
const device = join(dir, 'device');
const file = join(dir, 'n1.yml');
const running: ChildProcess[] = [];
beforeAll(() => writeFileSync(device, ''));
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

/** `tail -f` holds every file open that it is given, and names its file last. */
async function agentOf(...files: readonly string[]): Promise<LiveTarget> {
  const child = spawn('tail', ['-v', '-f', ...files], { stdio: ['ignore', 'pipe', 'ignore'] });
  running.push(child);
  await once(child.stdout, 'data');
  return liveOf(['echo', String(child.pid)]);
}

function liveOf(find: readonly string[]): LiveTarget {
  const node: TargetNode = {
    name: 'n1',
    host: '127.0.0.1',
    port: 1,
    dataDir: dir,
    binDir: dir,
    osUser: null,
    runsOn: { kind: 'local' },
    agent: { find, start: ['true'] },
    logFile: join(dir, 'log'),
  };
  return { host: () => openLocalHost(node) } as unknown as LiveTarget;
}

const leads = async (): Promise<string | null> => Promise.resolve('n1');

test('a leader that holds its device open feeds a watchdog, and one that does not feeds none', async () => {
  writeFileSync(file, `scope: demo\nrestapi: { authentication: { password: secret } }\nwatchdog:\n  mode: required\n  device: ${device}\n`);
  const fed = await readWatchdog(await agentOf(device, file), leads);
  expect(fed).toEqual({ node: 'n1', mode: 'required', device, isFed: true });
  expect(await readWatchdog(await agentOf(file), leads)).toEqual({ node: 'n1', mode: 'required', device, isFed: false });
});

test('what cannot be told says why', async () => {
  expect(await readWatchdog(await agentOf(device), leads)).toEqual({ notRecorded: expect.stringContaining('names no file') as string });
  expect(await readWatchdog(await agentOf(device, join(dir, 'gone.yml')), leads)).toMatchObject({
    notRecorded: expect.any(String) as string,
  });
  expect(await readWatchdog(liveOf(['echo', '0']), leads)).toEqual({ notRecorded: expect.stringContaining('does not run') as string });
  expect(await readWatchdog(liveOf(['echo', '0']), () => Promise.resolve(null))).toEqual({
    notRecorded: 'nobody led when it was looked for',
  });
  const away = (): Promise<never> => Promise.reject(new Error('no answer'));
  expect(await readWatchdog(liveOf(['echo', '0']), away)).toEqual({ notRecorded: expect.stringContaining('no answer') as string });
});

test.each([
  ['scope: demo\n', 'automatic', '/dev/watchdog'],
  ['watchdog: { mode: off }\n', 'off', '/dev/watchdog'],
  ['watchdog: { mode: "Required", device: /dev/watchdog1 }\n', 'required', '/dev/watchdog1'],
  ['watchdog: { mode: auto }\n', 'automatic', '/dev/watchdog'],
  ['watchdog: { mode: sometimes }\n', 'off', '/dev/watchdog'],
])('settings %j are read as Patroni reads them', (text, mode, at) => {
  expect(watchdogSettings(text)).toEqual({ mode, device: at });
});

test('a file that is none of Patroni’s, and a command line without one, are told apart from settings that say nothing', () => {
  expect(watchdogSettings('')).toBeNull();
  expect(watchdogSettings('a: [\n')).toBeNull();
  expect(configFileOf('python3\0/usr/bin/patroni\0/etc/patroni/n1.yml\0')).toBe('/etc/patroni/n1.yml');
  expect(configFileOf('python3\0/usr/bin/patroni\0')).toBeNull();
});
