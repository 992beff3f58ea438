/**
 * A Docker engine of the test's own: on a socket and a bridge of its own, with its data in the test's directory, and no packet filter rule. Its containers see
 * this machine's programs read-only, so that an image needs no registry and holds next to nothing. It ends only what it started.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { descendants, identify, isAlive, run, signal, terminate } from '../../core/process';
import type { DockerHost } from '../../targets/hosts/docker';

const DOCKERD = '/usr/sbin/dockerd';

export interface DockerGround {
  /**
   * Starts a container of this name whose first process is argv, run as `user`; `writable` is a directory that it shares with this machine. `address`: the one
   * that it has in the network, rather than whichever is free.
   */
  start(name: string, user: string, writable: string, argv: readonly string[], address?: string): DockerHost;
  /** A second network, `<net>.0/24`, with a seat in it at this address. */
  seat(container: string, network: string, net: string, address: string): void;
  /** Ends the engine with all its containers. */
  close(): Promise<void>;
}

/**
 * A bridge that nobody sits on. An engine that is told to have none removes `docker0`, and with it the network under the containers of an engine that serves
 * this machine already.
 */
function addBridge(net: string): string {
  const name = `gd${net.split('.').slice(1).join('-')}`;
  execFileSync('ip', ['link', 'add', name, 'type', 'bridge']);
  execFileSync('ip', ['address', 'add', `198.18.${net.split('.')[2] ?? '0'}.1/30`, 'dev', name]);
  return name;
}

/** Directories to mount on, and who is who; the rest is this machine's. */
function makeRoot(dir: string): string {
  const root = join(dir, 'root');
  for (const name of ['usr', 'etc/alternatives', 'tmp', 'proc', 'dev', 'sys', 'run', 'var/lib/postgresql', 'root'])
    mkdirSync(join(root, name), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(join('usr', name), join(root, name));
  for (const name of ['passwd', 'group', 'ld.so.cache']) copyFileSync(join('/etc', name), join(root, 'etc', name));
  return root;
}

/** `dir`: short, because sockets lie below it. `net`: the first three bytes of a network that the containers sit in, e.g. `172.31.59`. */
export async function startDocker(dir: string, net: string): Promise<DockerGround> {
  if (!existsSync(DOCKERD)) throw new Error('no dockerd: `npm test` installs docker.io, or apt-get install it; it need not run');
  mkdirSync(dir, { recursive: true });
  const socket = join(dir, 'sock');
  writeFileSync(join(dir, 'daemon.json'), '{}\n');
  const log = openSync(join(dir, 'log'), 'a');
  const places = [`--config-file=${join(dir, 'daemon.json')}`, `--data-root=${join(dir, 'data')}`, `--exec-root=${join(dir, 'exec')}`];
  const bridge = addBridge(net);
  const quiet = [
    `--bridge=${bridge}`,
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
    '--userland-proxy=false',
  ];
  const argv = [`--host=unix://${socket}`, ...places, `--pidfile=${join(dir, 'pid')}`, '--storage-driver=vfs', ...quiet];
  const dockerd: ChildProcess = spawn(DOCKERD, argv, { stdio: ['ignore', log, log] });
  const docker = (...args: readonly string[]): string =>
    execFileSync('docker', ['--host', `unix://${socket}`, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  await until(
    async () => ((await run(['docker', '--host', `unix://${socket}`, 'version'], { timeoutMs: 10_000 })).code === 0 ? true : null),
    {
      timeoutMs: 60_000,
      everyMs: 200,
      onTimeout: () => new Error(`dockerd did not start: ${readFileSync(join(dir, 'log'), 'utf8').slice(-2_000)}`),
    },
  );
  execFileSync('sh', ['-c', 'tar -C "$1" -c . | docker --host "$2" import - gameday:1', 'sh', makeRoot(dir), `unix://${socket}`]);
  const networks: string[] = [];
  const addNetwork = (name: string, subnet: string): void => {
    docker('network', 'create', '--driver', 'bridge', '--subnet', `${subnet}.0/24`, name);
    networks.push(name);
  };
  addNetwork('ground', net);
  return {
    seat(container, network, subnet, address) {
      addNetwork(network, subnet);
      docker('network', 'connect', '--ip', address, '--alias', 'other', network, container);
    },
    start(name, user, writable, command, address) {
      const mounts = ['-v', '/usr:/usr:ro', '-v', '/etc/alternatives:/etc/alternatives:ro', '-v', `${writable}:${writable}`];
      docker(
        'run',
        '-d',
        '--name',
        name,
        '--user',
        user,
        '--network',
        'ground',
        '--network-alias',
        'node',
        ...(address === undefined ? [] : ['--ip', address]),
        ...mounts,
        'gameday:1',
        ...command,
      );
      return { kind: 'docker', socket, container: name };
    },
    async close() {
      const names = docker('ps', '-aq')
        .split('\n')
        .filter((name) => name !== '');
      if (names.length > 0) docker('rm', '-f', ...names);
      docker('network', 'rm', ...networks);
      const engine = dockerd.pid === undefined ? null : identify(dockerd.pid);
      if (engine !== null) {
        const helpers = descendants(engine.pid);
        await terminate(engine, 20_000);
        for (const helper of helpers.filter(isAlive)) signal(helper, 'SIGKILL');
      }
      execFileSync('ip', ['link', 'delete', bridge]);
    },
  };
}
