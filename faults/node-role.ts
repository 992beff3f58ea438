/** Is a node back where it belongs? Up, in whatever role its controller gave it, and nobody writes but one. Asks the nodes themselves; changes nothing. */
import { join } from 'node:path';
import type { FaultProof } from '../model/fault';
import type { Target, TargetNode } from '../model/target';
import { nodeSocketDir } from '../targets/controllers/standalone-config';
import { commandLine, quoteWord } from '../targets/hosts/shell-words';
import type { LiveTarget } from '../targets/ports';
import { endStoppedByHand, labUpByHand, onHost, signalByHand, switchOn } from './by-hand';
import { describeNode, type NodeProcesses } from './node-process';

/** Does its server run? A killed one may stand in the process table for long, as may somebody else with its number; pg_ctl takes both for a server. */
const statusLine = ({ dataDir }: TargetNode): string =>
  `case $(cat "/proc/$(head -n 1 ${quoteWord(pidFile(dataDir))} 2>/dev/null)/stat" 2>/dev/null) in *'(postgres) '[!XZ]*) true;; *) false;; esac`;

const pidFile = (dataDir: string): string => join(dataDir, 'postmaster.pid');

/** A server that does not run is started, by whatever its controller uses for it. */
function startLine({ controller }: Target, node: TargetNode): string {
  const { name, binDir, dataDir, logFile, port } = node;
  // Lock files that a killed server left; as `startServer` does.
  const socket = join(nodeSocketDir(node), `.s.PGSQL.${port}`);
  const stale = [pidFile(dataDir), ...(controller.kind === 'standalone' ? [`${socket}.lock`, socket] : [])];
  const argv =
    controller.kind === 'repmgr'
      ? [controller.program ?? join(binDir, 'repmgr'), '-f', controller.config[name] ?? '', 'node', 'service', '--action=start']
      : [join(binDir, 'pg_ctl'), 'start', '-s', '-w', '-t', '60', '-D', dataDir, '-l', logFile];
  return `${commandLine(['rm', '-f', ...stale])} && ${commandLine(argv)}`;
}

/**
 * Where nobody but us starts the server: in recovery, unless the epoch file here and the epoch in the node's data directory both say that it may write
 * (`targets/controllers/standalone-epoch.ts`). Where no such file is kept, always in recovery: a script cannot know who else writes.
 */
function startInRole(target: Target, node: TargetNode): string {
  const { controller } = target;
  const fence = `touch ${quoteWord(join(node.dataDir, 'standby.signal'))}`;
  const start = startLine(target, node);
  if (controller.kind !== 'standalone') return onHost(node, `${statusLine(node)} || { ${fence} && ${start}; }`, 'node');
  const file = quoteWord(join(controller.stateDir, 'epoch.json'));
  const epoch = `{ grep -Fqx ${quoteWord(`  "primary": "${node.name}",`)} ${file} && sed -n 's/^  "epoch": \\([0-9]*\\),$/\\1/p' ${file}; } 2>/dev/null || echo none`;
  const agrees = `grep -Fqx "{\\"epoch\\":$epoch,\\"node\\":\\"${node.name}\\"}" ${quoteWord(join(node.dataDir, 'gameday.epoch'))} 2>/dev/null`;
  const script = `read -r epoch; ${statusLine(node)} || { { ${agrees} || ${fence}; } && ${start}; }`;
  return `{ ${epoch}; } | { ${onHost(node, script, 'node')}; }`;
}

/** What a person types so that a node is up again in the role that is left for it. A server or an agent that runs is left alone. */
export function howToStart(target: Target, name: string): readonly string[] {
  const node = describeNode(target, name);
  const { agent } = node;
  const head = `# starts ${name} in the role that is left for it, never writable beside another:`;
  const server = agent === null || target.controller.kind === 'repmgr' ? [startInRole(target, node)] : [];
  if (agent === null) return [head, ...switchOn(node), ...server];
  // A lab's agents are children of its supervisor, which may be gone as well.
  const otherwise = target.kind === 'lab' ? ` || ${labUpByHand(target)}` : '';
  return [
    head,
    `# its agent rewinds what only ${name} has; to keep that, first: ${onHost(node, commandLine(['cp', '-a', `${node.dataDir}/pg_wal`, `${node.dataDir}.pg_wal-kept`]))}`,
    ...switchOn(node),
    ...server,
    `${onHost(node, commandLine(agent.start))}${otherwise}`,
  ];
}

/** What a person types so that a kill that was cut off is ended: whoever killed had stopped all of them first. What runs is left alone. */
export function howToEndHalfKilled(target: Target, name: string, { postmaster, agent }: NodeProcesses): readonly string[] {
  return endStoppedByHand(describeNode(target, name), agent === null ? [postmaster] : [agent, postmaster]);
}

/** What a person types so that its server ends, where it runs: as the node's own user, because PostgreSQL's tools refuse root. */
export function howToStop(target: Target, name: string, mode: 'fast' | 'immediate'): string {
  const node = describeNode(target, name);
  const stop = commandLine([join(node.binDir, 'pg_ctl'), 'stop', '-m', mode, '-D', node.dataDir]);
  return onHost(node, `! ${statusLine(node)} || ${stop}`, 'node');
}

/**
 * What a person types so that a server ends that stands stopped, whichever process it is by now: a kill that was cut off had stopped all of it first, and pg_ctl waits
 * in vain for such a one. A server that runs, and whoever else bears its number by now, is left alone.
 */
export function howToEndStopped(target: Target, name: string): readonly string[] {
  const node = describeNode(target, name);
  const { dataDir } = node;
  const pid = `pid=$(head -n 1 ${quoteWord(pidFile(dataDir))} 2>/dev/null)`;
  const works = `[ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f ${quoteWord(dataDir)})" ]`;
  const script = `(if ${pid} && ${works} && grep -q '(postgres) T ' "/proc/$pid/stat"; then pkill -KILL -P "$pid" || [ $? -eq 1 ]; kill -KILL "$pid"; fi)`;
  // Its own first process, where the server is a container's: nobody inside may signal that.
  const first =
    node.runsOn.kind === 'docker' ? [signalByHand(node, { pid: 1, startTicks: '', bootId: '' }, 'KILL', { ifStopped: true })] : [];
  return [...first, onHost(node, script)];
}

/** Present, not writable: a node that lost its role while it was away is back when it is in recovery. */
export async function proveNodeBack(live: LiveTarget, name: string): Promise<FaultProof> {
  const nodes = await live.controller.status();
  const node = nodes.find((each) => each.node === name);
  const writable = nodes.filter((each) => each.up && each.inRecovery === false).map((each) => each.node);
  const up = node?.up === true;
  return {
    holds: up && writable.length === 1,
    by: `${name} is ${!up ? `down: ${node?.error ?? 'unknown'}` : node.inRecovery === false ? 'up and primary' : 'up and in recovery'}; writable: ${writable.join(', ') || 'none'}`,
    facts: { node: name, up, inRecovery: node?.inRecovery ?? null, writable },
  };
}
