import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { pushScript, SPOOL_DIRECTORIES } from './native-push';

const NAME = '000000010000000000000001';
let spool: string;

beforeEach(() => {
  spool = mkdtempSync(join(tmpdir(), 'gd-spool-'));
  for (const name of SPOOL_DIRECTORIES) mkdirSync(join(spool, name));
  writeFileSync(join(spool, 'push.sh'), pushScript(spool));
  writeFileSync(join(spool, 'archiver.pid'), `${process.pid}\n`);
  writeFileSync(join(spool, NAME), 'wal');
});

afterEach(() => rmSync(spool, { recursive: true, force: true }));

/** Runs the script as PostgreSQL does, and answers its request as the archiver does. */
async function push(answer: 'done' | 'failed', text: string): Promise<{ code: number | null; stderr: string; content: string }> {
  const child = spawn('/bin/sh', [join(spool, 'push.sh'), NAME, NAME], { cwd: spool, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const request = await until(() => readdirSync(join(spool, 'ready'))[0] ?? null, {
    timeoutMs: 5_000,
    everyMs: 5,
    onTimeout: () => new Error('no request'),
  });
  const content = readFileSync(join(spool, 'ready', request), 'utf8');
  writeFileSync(join(spool, answer, `.${request}`), text);
  spawnSync('mv', [join(spool, answer, `.${request}`), join(spool, answer, request)]);
  return { code: await ended, stderr, content };
}

const leftovers = (): string[] => SPOOL_DIRECTORIES.flatMap((name) => readdirSync(join(spool, name)));

test('exits 0 only when the archiver says so, and leaves nothing', async () => {
  expect(await push('done', '')).toEqual({ code: 0, stderr: '', content: 'wal' });
  expect(leftovers()).toEqual([]);
  expect(existsSync(join(spool, NAME))).toBe(true);
});

test('hands on the archiver’s reason', async () => {
  const result = await push('failed', 'the store is away');
  expect(result).toMatchObject({ code: 1, stderr: `gameday archive: ${NAME}: the store is away\n` });
  expect(leftovers()).toEqual([]);
});

test('fails at once without an archiver', () => {
  rmSync(join(spool, 'archiver.pid'));
  const result = spawnSync('/bin/sh', [join(spool, 'push.sh'), NAME, NAME], { cwd: spool, encoding: 'utf8' });
  expect(result).toMatchObject({ status: 1, stderr: `gameday archive: ${NAME}: the archiver is not running\n` });
  expect(leftovers()).toEqual([]);
});

test('fails if the file is not there', () => {
  const result = spawnSync('/bin/sh', [join(spool, 'push.sh'), 'nowhere', NAME], { cwd: spool, encoding: 'utf8' });
  expect(result.status).toBe(1);
  expect(leftovers()).toEqual([]);
});
