/**
 * A small ground of its own for tests of the standalone controller: three nodes, every standby link through a real Toxiproxy, a real HAProxy in front.
 * Apart from the shared lab, because these tests cut its power. It ends only what it started.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { answers } from '../../core/rpc';
import { nativeArchiveOf, type NativeTargetArchive, type Target, type TargetLink, type TargetNode } from '../../model/target';
import { locateTools } from '../../infra/tools';
import { gateConfig } from '../../targets/archives/haproxy-gate';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';

const NODES = ['n1', 'n2', 'n3'] as const;

export interface Ground {
  readonly dir: string;
  readonly target: Target;
  readonly live: LiveTarget;
  /** As a power cut: SIGKILL to every server at once; Toxiproxy and HAProxy come back empty. */
  cutPower(): Promise<void>;
  close(): Promise<void>;
}

/** An S3 store that serves already. */
export type Store = Pick<NativeTargetArchive, 'endpoint' | 'region' | 'accessKey' | 'secretKey'>;

const gateAddress = (net: string): string => `${net}.41`;
const GATE_PORT = 7070;

function describeArchive(dir: string, store: Store): NativeTargetArchive {
  return {
    kind: 'native',
    ...store,
    bucket: 'ground',
    prefix: 'archive/ground',
    spoolDir: join(dir, 'spool'),
    gate: { socket: join(dir, 'haproxy.sock'), map: join(dir, 's3-gate.map') },
  };
}

function describeStoreLinks(net: string): TargetLink[] {
  return NODES.map((from, index) => ({
    name: `${from}-s3`,
    from,
    to: 's3',
    listenHost: `${net}.${11 + index}`,
    listenPort: GATE_PORT,
    upstreamHost: gateAddress(net),
    upstreamPort: GATE_PORT,
    speaks: 'http',
  }));
}

function describeLinks(net: string): TargetLink[] {
  const address = (index: number): string => `${net}.${11 + index}`;
  const standbys = NODES.flatMap((from, f) =>
    NODES.flatMap((to, t) =>
      from === to
        ? []
        : [
            {
              name: `${from}-${to}`,
              from,
              to,
              listenHost: address(f),
              listenPort: 6001 + t,
              upstreamHost: address(t),
              upstreamPort: 5432,
              speaks: 'postgresql' as const,
            },
          ],
    ),
  );
  return [
    ...standbys,
    {
      name: 'client-router',
      from: 'client',
      to: 'router',
      listenHost: `${net}.10`,
      listenPort: 5432,
      upstreamHost: `${net}.20`,
      upstreamPort: 5432,
      speaks: 'postgresql',
    },
  ];
}

function describeTarget(dir: string, net: string, binDir: string, syncStandbys: number, store: Store | null): Target {
  const osUser = process.getuid?.() === 0 ? 'postgres' : null;
  const nodes: TargetNode[] = NODES.map((name, index) => ({
    name,
    host: `${net}.${11 + index}`,
    port: 5432,
    dataDir: join(dir, name, 'data'),
    binDir,
    osUser,
    runsOn: { kind: 'local' },
    agent: null,
    logFile: join(dir, name, 'postgresql.log'),
  }));
  const role = (name: string): { user: string; password: string } => {
    writeFileSync(join(dir, `secret-${name}`), `${randomBytes(12).toString('hex')}\n`, { mode: 0o600 });
    return { user: `gameday_${name}`, password: `file:${join(dir, `secret-${name}`)}` };
  };
  return {
    name: 'ground',
    kind: 'lab',
    systemIdentifier: '0',
    site: 'local',
    controller: { kind: 'standalone', stateDir: join(dir, 'state'), syncStandbys },
    nodes,
    links: {
      api: `http://${net}.30:8474`,
      restart: ['false'],
      list: [...describeLinks(net), ...(store === null ? [] : describeStoreLinks(net))],
    },
    router: { kind: 'haproxy', socket: join(dir, 'haproxy.sock'), backend: 'primary', stateFile: join(dir, 'haproxy.state') },
    entry: { host: `${net}.10`, port: 5432, database: 'gameday' },
    paths: [],
    services: [
      {
        name: 'haproxy',
        kind: 'router',
        host: `${net}.20`,
        port: 5432,
        runsOn: { kind: 'local' },
        osUser: null,
        find: ['pgrep', '-o', '-f', haproxyLine(dir)],
        start: [join(dir, 'start-haproxy')],
        leaveDown: null,
      },
    ],
    archive: store === null ? null : describeArchive(dir, store),
    roles: { operate: role('operate'), observe: role('observe'), probe: role('probe'), replicate: role('replicate') },
    sandbox: null,
    policy: {
      allowFaults: [],
      acceptDataLoss: true,
      maxNodesAtOnce: 3,
      allowQuorumLoss: true,
      approvers: null,
      maxFaultMs: 60_000,
      maxDrillMs: 600_000,
      maxArchiveAgeMs: 60_000,
      minFreeDiskBytes: 0,
    },
    runDir: join(dir, 'run'),
    labels: {},
  };
}

const haproxyLine = (dir: string): string => `^[^ ]*haproxy -db -f ${join(dir, 'haproxy.cfg')}$`;

/** As whoever supervises it would, once it was killed. */
function writeStartScript(dir: string, program: string): void {
  const script = join(dir, 'start-haproxy');
  const start = `setsid ${program} -db -f ${join(dir, 'haproxy.cfg')} </dev/null >/dev/null 2>&1 &`;
  writeFileSync(script, `#!/bin/sh\npgrep -f '${haproxyLine(dir)}' >/dev/null && exit 0\n${start}\n`);
  chmodSync(script, 0o755);
}

function gateLines(target: Target, net: string): string {
  const archive = nativeArchiveOf(target);
  if (archive?.gate === undefined) return '';
  const { map } = archive.gate;
  return gateConfig({ bind: `${gateAddress(net)}:${GATE_PORT}`, server: new URL(archive.endpoint).host, map });
}

function haproxyConfig(target: Target, net: string): string {
  return [
    'global',
    `  stats socket ${target.router.socket} mode 600 level admin`,
    `  server-state-file ${target.router.stateFile}`,
    'defaults',
    '  mode tcp',
    '  timeout connect 2s',
    '  timeout client 1h',
    '  timeout server 1h',
    '  load-server-state-from-file global',
    'listen primary',
    `  bind ${net}.20:5432`,
    ...target.nodes.map((node) => `  server ${node.name} ${node.host}:${node.port} disabled`),
    '',
    gateLines(target, net),
  ].join('\n');
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** Starts Toxiproxy and HAProxy on `net` (e.g. `127.0.63`) with an empty home under /tmp; the cluster is for the test to create. `store`: the target's archive, behind a gate. `change`: what is different about its target. */
export async function startGround(
  net: string,
  syncStandbys = 1,
  store: Store | null = null,
  change: (target: Target) => Target = (target) => target,
): Promise<Ground> {
  const dir = mkdtempSync('/tmp/gd-ground-');
  chmodSync(dir, 0o755);
  const tools = locateTools();
  const binDir = tools.postgresBin;
  const target = change(describeTarget(dir, net, binDir, syncStandbys, store));
  const config = join(dir, 'haproxy.cfg');
  writeFileSync(config, haproxyConfig(target, net));
  writeStartScript(dir, tools.haproxy);
  const gate = nativeArchiveOf(target)?.gate;
  if (gate !== undefined) writeFileSync(gate.map, '');
  const live = openTarget(target);
  let children: ChildProcess[] = [];

  async function startNetwork(): Promise<void> {
    const toxiproxy = spawn(tools.toxiproxy, ['-host', `${net}.30`, '-port', '8474'], { stdio: 'ignore' });
    const haproxy = spawn(tools.haproxy, ['-db', '-f', config], { stdio: 'ignore' });
    children = [toxiproxy, haproxy];
    await until(async () => ((await answers(target.router.socket)) && (await fetch(`${target.links?.api}/version`)).ok ? true : null), {
      timeoutMs: 10_000,
      onTimeout: (last) => new Error(`Toxiproxy and HAProxy did not start on ${net}: ${String(last)}`),
    });
  }

  async function cutPower(): Promise<void> {
    const postmasters = await Promise.all(
      target.nodes.map(async (node) => ({ host: live.host(node.name), id: await live.host(node.name).postmaster() })),
    );
    await Promise.all(children.map(stopChild));
    const haproxy = await live.service('haproxy').agent();
    if (haproxy !== null) await live.service('haproxy').killTree(haproxy);
    await Promise.all(postmasters.map(async ({ host, id }) => (id === null ? [] : host.killTree(id))));
  }

  await startNetwork();
  return {
    dir,
    target,
    live,
    async cutPower() {
      await cutPower();
      await startNetwork();
    },
    async close() {
      await cutPower();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
