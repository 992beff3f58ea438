/**
 * Servers that one test file starts for itself: an S3 gateway and a throwaway PostgreSQL, on addresses of their own.
 * Everything is started with a process id kept, and ended by exactly that; nothing is ended by name.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { identify, terminate } from '../../core/process';

export interface Gateway {
  readonly settings: { readonly endpoint: string; readonly region: string; readonly accessKey: string; readonly secretKey: string };
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Where set-up puts tools: PATH first, then the cache, at most three directories deep. */
export function findTool(name: string): string {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'gameday');
  const roots = [...(process.env['PATH'] ?? '').split(':'), '/tmp/tools/bin'];
  const search = (directory: string, depth: number): string | null => {
    if (
      existsSync(join(directory, name)) &&
      !readdirSync(directory, { withFileTypes: true }).some((entry) => entry.name === name && entry.isDirectory())
    )
      return join(directory, name);
    if (depth === 0 || !existsSync(directory)) return null;
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const found = entry.isDirectory() ? search(join(directory, entry.name), depth - 1) : null;
      if (found !== null) return found;
    }
    return null;
  };
  for (const root of roots) {
    const found = search(root, 0);
    if (found !== null) return found;
  }
  const cached = search(cache, 3);
  if (cached === null) throw new Error(`${name} was not found on PATH or under ${cache}; run npm run setup`);
  return cached;
}

export function listens(host: string, port: number): Promise<true | null> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    const end = (value: true | null): void => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(null));
  });
}

async function stopChild(child: ChildProcess | null): Promise<void> {
  const id = child?.pid === undefined ? null : identify(child.pid);
  if (id !== null) await terminate(id, 5_000);
}

export async function startGateway(options: { readonly dir: string; readonly host: string; readonly port: number }): Promise<Gateway> {
  const { dir, host, port } = options;
  for (const name of ['data', 'versions']) mkdirSync(join(dir, name), { recursive: true });
  writeFileSync(join(dir, 'access'), 'gameday-test\n', { mode: 0o600 });
  writeFileSync(join(dir, 'secret'), 'gameday-test-secret\n', { mode: 0o600 });
  let child: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    const log = openSync(join(dir, 'log'), 'a');
    const argv = ['--port', `${host}:${port}`, '--quiet', 'posix', '--versioning-dir', join(dir, 'versions'), join(dir, 'data')];
    const env = { ...process.env, ROOT_ACCESS_KEY: 'gameday-test', ROOT_SECRET_KEY: 'gameday-test-secret' };
    child = spawn(findTool('versitygw'), argv, { stdio: ['ignore', log, log], env });
    await until(() => listens(host, port), {
      timeoutMs: 15_000,
      onTimeout: () => new Error(`versitygw did not listen on ${host}:${port}`),
    });
  };
  await start();
  return {
    settings: {
      endpoint: `http://${host}:${port}`,
      region: 'us-east-1',
      accessKey: `file:${join(dir, 'access')}`,
      secretKey: `file:${join(dir, 'secret')}`,
    },
    start,
    stop: () => stopChild(child),
  };
}
