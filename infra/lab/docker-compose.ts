/** The compose command line: which one is here, and what it is told. It asks the lab's own engine alone, whatever DOCKER_HOST says. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { packageRoot } from '../../core/files';
import { run } from '../../core/process';
import type { DockerPlan } from './docker-topology';

const ASK_MS = 10_000;

/** Compose as a plug-in of docker, else the older program of its own. Throws `tool_missing`. */
async function composeProgram(): Promise<readonly string[]> {
  for (const argv of [['docker', 'compose'], ['docker-compose']])
    if ((await run([...argv, 'version'], { timeoutMs: ASK_MS }).catch(() => null))?.code === 0) return argv;
  throw new GamedayError(
    'tool_missing',
    'neither `docker compose` nor `docker-compose` runs here',
    'install Docker with its compose plug-in.',
  );
}

function environment({ net, project, lab, socket, syncStandbys }: DockerPlan): Readonly<Record<string, string>> {
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: process.env['HOME'] ?? '/',
    DOCKER_HOST: `unix://${socket}`,
    GAMEDAY_PROJECT: project,
    GAMEDAY_NET: net,
    GAMEDAY_STATE: lab,
    GAMEDAY_USER: `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`,
    GAMEDAY_SYNCHRONOUS: String(syncStandbys > 0),
    GAMEDAY_SYNC_NODES: String(Math.max(1, syncStandbys)),
  };
}

/** Runs compose on the lab's project; throws `lab_failed` with the last it said. */
export async function compose(plan: DockerPlan, words: readonly string[], timeoutMs: number): Promise<void> {
  if (!existsSync(plan.socket))
    throw new GamedayError(
      'lab_failed',
      `no Docker engine listens on ${plan.socket}`,
      'start it, or name its socket with --docker-socket.',
    );
  const file = join(packageRoot(), 'docker-compose.yml');
  const argv = [...(await composeProgram()), '--file', file, '--project-name', plan.project, ...words];
  const { code, stdout, stderr } = await run(argv, { timeoutMs, env: environment(plan) });
  if (code === 0) return;
  const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-6).join('; ').slice(-800);
  throw new GamedayError('lab_failed', `\`compose ${words.join(' ')}\` ended with ${code}: ${said}`);
}
