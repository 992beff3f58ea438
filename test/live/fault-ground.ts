/**
 * The standalone ground with what faults need besides: a guardian of its own and a Toxiproxy that can be restarted.
 * Ends only processes that it started or that its own restart script started.
 */
import { buildSync } from 'esbuild';
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { descendants, identify, isAlive, signal, terminate, type ProcessId } from '../../core/process';
import { answers } from '../../core/rpc';
import { openGuardian, type GuardianClient } from '../../faults/guardian/client';
import { FAULTS } from '../../faults/registry';
import { mountNodeDisk, unmountNodeDisk } from '../../infra/lab/node-disks';
import { makeServerDir } from '../../infra/lab/places';
import { locateTools } from '../../infra/tools';
import type { Target } from '../../model/target';
import { createCluster, startCluster } from '../../targets/controllers/standalone-cluster';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';
import { startGround, type Ground, type Store } from './standalone-ground';

export interface FaultGround {
  readonly home: string;
  readonly target: Target;
  readonly live: LiveTarget;
  readonly guardian: GuardianClient;
  startGuardian(): Promise<void>;
  /** SIGKILL, as a crash. */
  killGuardian(): Promise<void>;
  /** The Toxiproxy process that serves now. */
  toxiproxy(): ProcessId;
  close(): Promise<void>;
}

function findToxiproxy(net: string): ProcessId {
  const mine = descendants(process.pid).find((id) => readFileSync(`/proc/${id.pid}/cmdline`, 'utf8').includes(`-host\0${net}.30\0`));
  if (mine === undefined) throw new Error('Toxiproxy of this test was not found among its children');
  return mine;
}

function writeRestartScript(dir: string, net: string): string {
  const script = join(dir, 'restart-toxiproxy');
  const server = `setsid ${locateTools().toxiproxy} -host ${net}.30 -port 8474 >>${join(dir, 'toxiproxy.log')} 2>&1 </dev/null &`;
  const pidFile = join(dir, 'toxiproxy.pid');
  // The next one cannot listen before the last thread of this one has let go: a zombie without other threads, or nothing at all.
  const isGone = '[ ! -e /proc/$pid ] || { grep -q "^State:.Z" /proc/$pid/status && grep -q "^Threads:.1$" /proc/$pid/status; }';
  writeFileSync(
    script,
    `#!/bin/sh\npid=$(cat ${pidFile})\nkill -KILL "$pid"\nuntil ${isGone}; do sleep 0.02; done\n${server}\necho $! >${pidFile}\n`,
  );
  chmodSync(script, 0o755);
  return script;
}

/** Kills each node's server that lives on a disk of its own, and unmounts it. */
async function removeDisks(ground: Ground, disks: Disks): Promise<void> {
  for (const node of Object.keys(disks)) {
    const postmaster = await ground.live.host(node).postmaster();
    if (postmaster !== null) await ground.live.host(node).killTree(postmaster);
    await unmountNodeDisk(join(ground.dir, node));
  }
}

/** Bytes of a disk of its own, by node. */
type Disks = { readonly [node: string]: number };

/** Three nodes, links, router, guardian; about 10 s. `net` e.g. 127.0.66. `disks`: nodes that live on a small disk of their own (root only). `store`: as for the ground. */
export async function startFaultGround(net: string, disks: Disks = {}, store: Store | null = null): Promise<FaultGround> {
  const ground = await startGround(net, 1, store);
  try {
    for (const [node, bytes] of Object.entries(disks)) {
      await mountNodeDisk(join(ground.dir, node), bytes);
      makeServerDir(join(ground.dir, node), ground.target.nodes[0]?.osUser ?? null);
    }
    return await furnish(ground, net, disks);
  } catch (error) {
    await removeDisks(ground, disks);
    await ground.close();
    throw error;
  }
}

async function furnish(ground: Ground, net: string, disks: Disks): Promise<FaultGround> {
  const { dir } = ground;
  const pidFile = join(dir, 'toxiproxy.pid');
  writeFileSync(pidFile, String(findToxiproxy(net).pid));
  const { systemIdentifier } = await createCluster(ground.live);
  await startCluster(ground.live);
  const links = ground.target.links === null ? null : { ...ground.target.links, restart: [writeRestartScript(dir, net)] };
  const faults = FAULTS.map((fault) => fault.name);
  const target: Target = { ...ground.target, systemIdentifier, links, policy: { ...ground.target.policy, allowFaults: faults } };
  mkdirSync(join(dir, 'guardian'), { mode: 0o700 });
  writeFileSync(
    join(dir, 'guardian', 'allow.json'),
    JSON.stringify({ systemIdentifiers: [systemIdentifier], faults, maxFaultMs: 60_000 }),
    { mode: 0o600 },
  );
  buildSync({
    entryPoints: [join(packageRoot(), 'faults/guardian/guardian.ts')],
    outfile: join(dir, 'guardian.js'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    packages: 'external',
    logLevel: 'error',
  });
  const socket = join(dir, 'run', 'guardian.sock');
  let child: ChildProcess | null = null;

  const toxiproxy = (): ProcessId => {
    const id = identify(Number(readFileSync(pidFile, 'utf8')));
    if (id === null) throw new Error('Toxiproxy is not running');
    return id;
  };
  const startGuardian = async (): Promise<void> => {
    const log = openSync(join(dir, 'guardian.log'), 'a');
    child = spawn(process.execPath, [join(dir, 'guardian.js'), '--home', dir], {
      stdio: ['ignore', log, log],
      env: { ...process.env, NODE_PATH: join(packageRoot(), 'node_modules') },
    });
    await until(async () => ((await answers(socket)) ? true : null), {
      timeoutMs: 15_000,
      onTimeout: () => new Error(`the guardian did not start: ${readFileSync(join(dir, 'guardian.log'), 'utf8')}`),
    });
  };
  const killGuardian = async (): Promise<void> => {
    const id = child?.pid === undefined ? null : identify(child.pid);
    if (id !== null) await terminate(id, 0, 'SIGKILL');
  };

  await startGuardian();
  return {
    home: dir,
    target,
    live: openTarget(target),
    guardian: openGuardian(socket),
    startGuardian,
    killGuardian,
    toxiproxy,
    async close() {
      await killGuardian();
      const last = existsSync(pidFile) ? identify(Number(readFileSync(pidFile, 'utf8'))) : null;
      if (last !== null && isAlive(last)) signal(last, 'SIGKILL');
      await removeDisks(ground, disks);
      await ground.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
