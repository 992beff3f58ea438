/**
 * Servers that one test file starts for itself: an S3 gateway and a throwaway PostgreSQL, on addresses of their own.
 * Everything is started with a process id kept, and ended by exactly that; nothing is ended by name.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, chownSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { identify, lookUpUser, run, terminate } from '../../core/process';
import { locateTools } from '../../infra/tools';

export interface Gateway {
  readonly settings: { readonly endpoint: string; readonly region: string; readonly accessKey: string; readonly secretKey: string };
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  start(): Promise<void>;
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

/** A port on `host` that nobody listens on now; two runs of a test at once get different ones. */
export function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, host, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function stopChild(child: ChildProcess | null): Promise<void> {
  const id = child?.pid === undefined ? null : identify(child.pid);
  if (id !== null) await terminate(id, 5_000);
}

/** Starts an S3 gateway on a free port of `host`; after `stop`, `start` serves the same data on the same port. */
export async function startGateway(options: { readonly dir: string; readonly host: string }): Promise<Gateway> {
  const { dir, host } = options;
  const port = await freePort(host);
  for (const name of ['data', 'versions']) mkdirSync(join(dir, name), { recursive: true });
  writeFileSync(join(dir, 'access'), 'gameday-test\n', { mode: 0o600 });
  writeFileSync(join(dir, 'secret'), 'gameday-test-secret\n', { mode: 0o600 });
  let child: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    const log = openSync(join(dir, 'log'), 'a');
    const argv = ['--port', `${host}:${port}`, '--quiet', 'posix', '--versioning-dir', join(dir, 'versions'), join(dir, 'data')];
    const env = { ...process.env, ROOT_ACCESS_KEY: 'gameday-test', ROOT_SECRET_KEY: 'gameday-test-secret' };
    child = spawn(locateTools().versitygw, argv, { stdio: ['ignore', log, log], env });
    const running = child;
    await until(async () => (running.exitCode === null && (await listens(host, port)) === true ? true : null), {
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
    kill: async () => {
      const gone = child === null || child.exitCode !== null ? null : new Promise((resolve) => child?.once('exit', resolve));
      child?.kill('SIGKILL');
      await gone;
    },
  };
}

export interface OwnPostgres {
  readonly dataDir: string;
  readonly logFile: string;
  readonly systemIdentifier: string;
  start(): Promise<void>;
  stop(mode: 'fast' | 'immediate'): Promise<void>;
}

/** A throwaway primary, run as `postgres` when the test runs as root; trust for everybody on its own address. `settings` go to postgresql.conf. */
export async function createPostgres(options: {
  readonly dir: string;
  readonly host: string;
  readonly port: number;
  readonly settings: readonly string[];
}): Promise<OwnPostgres> {
  const { dir, host, port } = options;
  const owner = process.getuid?.() === 0 ? lookUpUser('postgres') : null;
  const who = owner === null ? {} : { uid: owner.uid, gid: owner.gid };
  mkdirSync(dir, { recursive: true });
  if (owner !== null) chownSync(dir, owner.uid, owner.gid);
  const [dataDir, logFile] = [join(dir, 'data'), join(dir, 'log')];
  const tool = async (name: string, args: readonly string[]): Promise<string> => {
    const result = await run([join(locateTools().postgresBin, name), ...args], {
      timeoutMs: 60_000,
      cwd: dir,
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
      ...who,
    });
    if (result.code !== 0) throw new Error(`${name}: ${result.stderr}`);
    return result.stdout;
  };
  await tool('initdb', ['-D', dataDir, '-U', 'postgres', '-A', 'trust', '--data-checksums', '-N']);
  appendFileSync(join(dataDir, 'pg_hba.conf'), 'host all,replication all 127.0.0.0/8 trust\n');
  const settings = [
    `listen_addresses = '${host}'`,
    `port = ${port}`,
    `unix_socket_directories = '${dir}'`,
    'wal_level = replica',
    'fsync = off',
    'shared_buffers = 32MB',
    ...options.settings,
  ];
  appendFileSync(join(dataDir, 'postgresql.conf'), `${settings.join('\n')}\n`);
  const control = await tool('pg_controldata', ['-D', dataDir]);
  return {
    dataDir,
    logFile,
    systemIdentifier: /system identifier:\s+([0-9]+)/.exec(control)?.[1] ?? '',
    start: async () => void (await tool('pg_ctl', ['start', '-w', '-s', '-D', dataDir, '-l', logFile])),
    stop: async (mode) => void (await tool('pg_ctl', ['stop', '-s', '-m', mode, '-D', dataDir, '-t', '60'])),
  };
}
