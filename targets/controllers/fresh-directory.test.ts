import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { identify, isAlive, signal, type ProcessId } from '../../core/process';
import type { TargetNode } from '../../model/target';
import { openLocalHost } from '../hosts/local';
import { clearDirectory, syncDirectory } from './fresh-directory';

let dir: string;
let started: ProcessId[] = [];
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-fresh-'))));
afterEach(() => {
  for (const id of started) signal(id, 'SIGKILL');
  started = [];
  rmSync(dir, { recursive: true, force: true });
});

function startWriter(into: string): ProcessId {
  // One process: a child of its own would carry another command line, and outlive it by a moment.
  const script = 'mkdir -p "$1/base"; while :; do i=$(( (i + 1) % 100 )); : > "$1/base/$i"; done';
  const child = spawn('sh', ['-c', script, 'writer', into], { stdio: 'ignore' });
  const id = identify(child.pid ?? 0);
  if (id === null) throw new Error('the writer did not start');
  started.push(id);
  return id;
}

const host = openLocalHost({ name: 'n1', osUser: null } as TargetNode);

test('what a killed gameday left writing is ended first; who writes elsewhere is left alone', async () => {
  const [fresh, other] = [join(dir, 'data.new'), join(dir, 'data')];
  const [writer, stranger] = [startWriter(fresh), startWriter(other)];
  await until(() => (existsSync(join(fresh, 'base')) && existsSync(join(other, 'base')) ? true : null), {
    timeoutMs: 5_000,
    onTimeout: () => new Error('nothing is written'),
  });
  await clearDirectory(host, fresh);
  expect(isAlive(writer)).toBe(false);
  expect(isAlive(stranger)).toBe(true);
  expect(existsSync(fresh)).toBe(false);
});

test('a server of initdb’s, which stands in the directory and was given it by no argument, is ended too; whoever else stands there is not', async () => {
  const fresh = join(dir, 'data.new');
  mkdirSync(join(fresh, 'base'), { recursive: true });
  symlinkSync('/bin/sh', join(dir, 'postgres'));
  const standing = (program: string, script: string): ProcessId => {
    const id = identify(spawn(program, ['-c', script], { cwd: fresh, stdio: 'ignore' }).pid ?? 0);
    if (id === null) throw new Error(`${program} did not start`);
    started.push(id);
    return id;
  };
  const server = standing(join(dir, 'postgres'), 'while :; do i=$(( (i + 1) % 100 )); : > "base/$i"; done');
  const person = standing('sh', 'while :; do read -r _ < /dev/null; done');
  await until(() => (existsSync(join(fresh, 'base', '99')) ? true : null), {
    timeoutMs: 5_000,
    onTimeout: () => new Error('nothing is written'),
  });
  await clearDirectory(host, fresh);
  expect(isAlive(server)).toBe(false);
  expect(isAlive(person)).toBe(true);
  expect(existsSync(fresh)).toBe(false);
});

test('where nothing is and nobody writes it changes nothing', async () => {
  await clearDirectory(host, join(dir, 'data.new'));
  expect(existsSync(join(dir, 'data.new'))).toBe(false);
});

test('it is on its disk when sync says so; one that knows no -f is asked for all, and what it says counts', async () => {
  await syncDirectory(host, dir);
  await expect(syncDirectory(host, join(dir, 'none'))).rejects.toMatchObject({ code: 'step_failed' });
  const path = process.env['PATH'];
  const old = (code: number): void =>
    writeFileSync(
      join(dir, 'sync'),
      `#!/bin/sh\n[ "$1" = -f ] && { echo "sync: invalid option -- 'f'" >&2; exit 1; }\n: > ${join(dir, 'all')}\nexit ${code}\n`,
      { mode: 0o755 },
    );
  try {
    process.env['PATH'] = `${dir}:${path ?? ''}`;
    old(0);
    await syncDirectory(host, dir);
    expect(existsSync(join(dir, 'all'))).toBe(true);
    old(1);
    await expect(syncDirectory(host, dir)).rejects.toMatchObject({ code: 'step_failed' });
  } finally {
    process.env['PATH'] = path;
  }
});
