/** `gameday lab up|down|status`: the lab that gameday starts itself. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { labDown } from '../../infra/lab/down';
import { repairLab } from '../../infra/lab/repair';
import { labStatus, type LabServerStatus, type LabStatus } from '../../infra/lab/status';
import { REPLICATIONS, replicationWords, type Replication } from '../../infra/lab/replication';
import { RUNTIMES, TOPOLOGIES, type Runtime, type Topology } from '../../infra/lab/topology';
import { readLabFile } from '../../infra/lab/lab-file';
import { servicesUp } from '../../infra/lab/services';
import { labUp } from '../../infra/lab/up';
import { parseSizeBytes } from '../../core/units';
import { GamedayError } from '../../core/errors';
import { EXIT } from '../../model/constants';
import { defineCommand, type CommandContext } from '../command';
import { listRunningDrills, nameOfDrill } from '../drill-handles';
import { withTemporal } from '../temporal';
import { exitWith } from '../terminal';

interface UpOptions {
  readonly runtime?: Runtime;
  readonly dockerSocket?: string;
  readonly net?: string;
  readonly topology?: Topology | 'none';
  readonly patroni?: string;
  readonly replication?: Replication;
  readonly syncStandbys?: number;
  readonly nodeDisk?: number;
  readonly watchdog?: boolean;
}

export function labCommand(): Command {
  const up = new Command('up')
    .description('start the lab, or what of it does not run')
    .addOption(new Option('--runtime <kind>', 'where its servers run: as processes of this machine, or in containers').choices(RUNTIMES))
    .option('--docker-socket <path>', 'socket of the Docker engine; default /var/run/docker.sock')
    .option('--net <net>', 'first three numbers of its addresses, e.g. 127.0.9; in containers of a private network')
    .addOption(
      new Option('--topology <kind>', 'what fails over; none: no cluster, only what drills on one of your own need').choices([
        ...TOPOLOGIES,
        'none',
      ]),
    )
    .option('--patroni <version>', 'which Patroni: distribution (the default), or a version or series from PyPI, e.g. 4.1')
    .addOption(
      new Option('--replication <kind>', 'commits wait for the first standbys, for any of them, or for nobody; default: as before').choices(
        REPLICATIONS,
      ),
    )
    .option('--sync-standbys <n>', 'standbys that must confirm a commit; 0: asynchronous', parseCount)
    .option('--node-disk <size>', 'gives each node a small disk of its own, e.g. 2GB, which `disk-full` may fill; as root', parseSize)
    .option('--watchdog', 'gives each node of a Patroni lab a watchdog, which resets a node whose Patroni no longer feeds it');
  const down = new Command('down')
    .description('stop the lab; its data is kept')
    .option('--purge', 'remove its data too; drills and keys are kept');
  return new Command('lab')
    .description('a complete target on this machine')
    .addCommand(
      defineCommand(up, async (context, options: UpOptions) => {
        const { home, terminal } = context;
        const { topology, ...rest } = options;
        if ((topology ?? readLabFile(home)?.topology) === 'none') return upServices(context, rest);
        const target = await labUp({
          home,
          onProgress: (text) => terminal.progress(text),
          ...(options.runtime === undefined ? {} : { runtime: options.runtime }),
          ...(options.dockerSocket === undefined ? {} : { dockerSocket: options.dockerSocket }),
          ...(options.net === undefined ? {} : { net: options.net }),
          ...(topology === undefined || topology === 'none' ? {} : { topology }),
          ...(options.patroni === undefined ? {} : { patroni: options.patroni }),
          ...(options.replication === undefined ? {} : { replication: options.replication }),
          ...(options.syncStandbys === undefined ? {} : { syncStandbys: options.syncStandbys }),
          ...(options.nodeDisk === undefined ? {} : { nodeDiskBytes: options.nodeDisk }),
          ...(options.watchdog === undefined ? {} : { watchdog: options.watchdog }),
        });
        const running = await withTemporal(home, listRunningDrills);
        if (running.length === 0) await repairLab(home, target, (text) => terminal.progress(text));
        else terminal.progress(`${running.map(nameOfDrill).join(', ')} runs: its nodes are its own to put right`);
        terminal.print(
          `the lab runs: ${target.nodes.map((node) => `${node.name} ${node.host}:${node.port}`).join(' · ')} · clients enter at ${target.entry.host}:${target.entry.port}`,
        );
        terminal.result({ up: true, target });
      }),
    )
    .addCommand(
      defineCommand(down, async ({ home, terminal }, options: { readonly purge?: boolean }) => {
        await labDown({ home, purge: options.purge === true, onProgress: (text) => terminal.progress(text) });
        terminal.print('the lab is down');
        terminal.result({ up: false });
      }),
    )
    .addCommand(
      defineCommand(new Command('status').description('what of the lab runs, where, and its logs'), async ({ home, terminal }) => {
        const status = await labStatus({ home });
        terminal.print(labText(status));
        terminal.result(status);
        exitWith(status.up ? EXIT.pass : EXIT.unavailable);
      }),
    );
}

/** Temporal, guardian and worker for clusters of one's own. */
async function upServices({ home, terminal }: CommandContext, options: Omit<UpOptions, 'topology'>): Promise<void> {
  const { net, ...others } = options;
  const [misplaced] = Object.keys(others);
  if (misplaced !== undefined)
    throw new GamedayError('usage', `${misplaced} says how a lab’s cluster is made, and --topology none makes none`, 'leave it out.');
  const services = await servicesUp({ home, onProgress: (text) => terminal.progress(text), ...(net === undefined ? {} : { net }) });
  terminal.print(
    `drills can run: Temporal ${services.temporal} · targets in ${services.targets} · what the guardian may touch: ${services.allowFile}`,
  );
  terminal.result({ up: true, ...services });
}

/** One line per server and node. */
export function labText(status: LabStatus): string {
  if (status.net === null) return `no lab was made in ${status.home}; \`gameday lab up\` makes one`;
  const server = ({ name, running, pid, address, restarts, lastEnd, logFile }: LabServerStatus): string =>
    `  ${running ? '●' : '○'} ${name.padEnd(11)} ${(running ? (pid === null ? 'runs' : `pid ${pid}`) : 'down').padEnd(12)} ${(address ?? '').padEnd(20)}${restarts > 0 ? ` restarted ${restarts} times, last: ${lastEnd ?? '?'}` : ''}${running ? '' : ` log: ${logFile}`}`;
  return [
    `lab on ${status.net} in ${status.home}: ${status.up ? 'up' : 'not up'}${status.patroni === null ? '' : `, ${status.patroni}`}`,
    server(status.supervisor),
    ...status.servers.map(server),
    ...status.nodes.map(
      (node) =>
        `  ${node.running ? '●' : '○'} ${node.name.padEnd(11)} ${(node.running ? `pid ${node.pid ?? '?'}` : 'down').padEnd(12)} ${node.address.padEnd(20)} ${node.role}${node.timeline === null ? '' : `, timeline ${node.timeline}`}${node.streamingFrom === null ? '' : `, streams from ${node.streamingFrom}`}${node.error === null ? '' : ` · ${node.error}`}`,
    ),
    ...(status.entry === null
      ? []
      : [
          `  clients → ${status.entry.host}:${status.entry.port} → ${status.routed.join(', ') || 'nobody'} · ${status.replication === null ? 'no cluster' : replicationWords(status.replication)}`,
        ]),
    ...status.archive.map(({ name, ok, found }) => `  ${ok ? '✓' : '✕'} ${name}: ${found}`),
    ...(status.temporalUi === null ? [] : [`  Temporal's own pages: ${status.temporalUi}`]),
  ].join('\n');
}

function parseSize(value: string): number {
  const bytes = parseSizeBytes(value);
  if (bytes === null) throw new InvalidArgumentError('must be a size with a unit, e.g. 2GB.');
  return bytes;
}

function parseCount(value: string): number {
  if (!/^[0-9]{1,2}$/.test(value)) throw new InvalidArgumentError('must be a number of standbys.');
  return Number(value);
}
