/**
 * What a person types when gameday cannot: lines for a POSIX shell with nothing to fill in. They are typed where the guardian ran; what must happen on
 * another host is led there by the line itself. A password is read from where the target says it is, and stands in no line and in no process list.
 */
import { dirname, join } from 'node:path';
import { packageRoot } from '../core/files';
import type { Target, TargetNode, TargetService } from '../model/target';
import { commandLine, quoteWord } from '../targets/hosts/shell-words';
import { becoming } from '../targets/hosts/ssh';
import { describeNode, type ProcessHandle } from './node-process';

type Place = Pick<TargetNode | TargetService, 'runsOn' | 'osUser'>;

/** The secret as one word of a shell, which fails where it is not to be had. */
export function secretWord(name: string): string {
  const rest = name.slice(name.indexOf(':') + 1);
  return name.startsWith('env:') ? `"\${${rest}:?}"` : `"$(cat ${quoteWord(rest)})"`;
}

export const dockerWords = (socket: string, ...words: readonly string[]): readonly string[] => [
  'docker',
  '--host',
  `unix://${socket}`,
  ...words,
];

/** The script, run at that place as root or as the user of the node's server. It must hold no `exit`: on this machine it may be the person's own shell. */
export function onHost({ runsOn, osUser }: Place, script: string, as: 'root' | 'node' = 'root'): string {
  switch (runsOn.kind) {
    case 'local':
      return as === 'node' && osUser !== null ? commandLine(['su', '-s', '/bin/sh', osUser, '-c', script]) : script;
    case 'docker': {
      const user = as === 'root' ? '0' : osUser;
      return commandLine([
        ...dockerWords(runsOn.socket, 'exec', '-i', ...(user === null ? [] : ['--user', user])),
        runsOn.container,
        'sh',
        '-c',
        script,
      ]);
    }
    case 'ssh': {
      const { address, port, user, identityFile, knownHosts } = runsOn;
      const key = identityFile === null ? [] : ['-i', identityFile, '-o', 'IdentitiesOnly=yes'];
      const known = knownHosts === null ? [] : ['-o', `UserKnownHostsFile=${knownHosts}`];
      const remote = commandLine([...becoming(user, osUser, as), 'sh', '-c', script]);
      return commandLine(['ssh', '-T', '-p', String(port), ...key, ...known, '-l', user, '--', address, remote]);
    }
  }
}

/** A container that was switched off with what ran in it is switched on first. */
export function switchOn({ runsOn }: Place): readonly string[] {
  return runsOn.kind === 'docker' ? [commandLine(dockerWords(runsOn.socket, 'start', runsOn.container))] : [];
}

interface Whom {
  /** Its children first. */
  readonly children?: boolean;
  /** Only a process that stands stopped. */
  readonly ifStopped?: boolean;
}

/** Signals exactly this process; one that is another by now, or gone, is left alone. */
export function signalByHand(
  place: Place,
  { pid, startTicks, bootId }: ProcessHandle,
  name: 'CONT' | 'KILL',
  { children = false, ifStopped = false }: Whom = {},
): string {
  // Nobody inside a container may signal its first process.
  if (place.runsOn.kind === 'docker' && pid === 1) {
    const kill = commandLine(dockerWords(place.runsOn.socket, 'kill', '--signal', name, place.runsOn.container));
    return ifStopped ? `(if ${onHost(place, "grep -q ') T ' /proc/1/stat")}; then ${kill}; fi)` : kill;
  }
  const same = `stat=$(cat /proc/${pid}/stat 2>/dev/null) && set -- \${stat##*') '} && [ "\${20}" = ${startTicks} ] && grep -qx ${bootId} /proc/sys/kernel/random/boot_id`;
  const meant = ifStopped ? `${same} && [ "$1" = T ]` : same;
  const others = children ? `pkill -${name} -P ${pid} || [ $? -eq 1 ]; ` : '';
  return onHost(place, `(if ${meant}; then ${others}kill -${name} ${pid}; fi)`);
}

/** Ends those of them that stand stopped, with their children: a kill that was cut off had stopped all before. What runs is left alone. */
export function endStoppedByHand(place: Place, processes: readonly ProcessHandle[]): readonly string[] {
  return [...switchOn(place), ...processes.map((each) => signalByHand(place, each, 'KILL', { children: true, ifStopped: true }))];
}

/** Value of a connection string (libpq, "Keyword/Value Connection Strings"). */
const conninfoWord = (name: string, value: string): string =>
  `${name}=${/^[^\s'\\]+$/.test(value) ? value : `'${value.replaceAll(/['\\]/g, '\\$&')}'`}`;

const psqlOf = (target: Target): string => {
  const local = target.nodes.find(({ runsOn }) => runsOn.kind === 'local');
  return local === undefined ? 'psql' : join(local.binDir, 'psql');
};

/** psql on this node, or on whichever node takes writes, past every router and link. Nobody's commit waits for a standby that is away. */
export function psqlByHand(target: Target, node: string | null, role: 'operate' | 'probe', words: readonly string[]): string {
  const nodes = node === null ? target.nodes : [describeNode(target, node)];
  const { user, password } = target.roles[role];
  const conninfo = [
    conninfoWord('host', nodes.map(({ host }) => host).join(',')),
    conninfoWord('port', nodes.map(({ port }) => port).join(',')),
    conninfoWord('user', user),
    conninfoWord('dbname', target.entry.database),
    ...(node === null ? ['target_session_attrs=read-write'] : []),
  ].join(' ');
  const secret = password === null ? '' : `PGPASSWORD=${secretWord(password)} `;
  const argv = [psqlOf(target), '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', conninfo, ...words];
  return `PGCONNECT_TIMEOUT=5 PGOPTIONS='-c synchronous_commit=local' ${secret}${commandLine(argv)}`;
}

/** These statements, all of them or none. */
export function sqlByHand(target: Target, node: string | null, role: 'operate' | 'probe', statements: readonly string[]): string {
  return psqlByHand(target, node, role, ['-1', ...statements.flatMap((text) => ['-c', text])]);
}

/** What brings a lab's own servers back, supervisor and all, from whatever directory it is typed in. */
export function labUpByHand({ runDir }: Target): string {
  return `GAMEDAY_HOME=${quoteWord(dirname(runDir))} ${commandLine([join(packageRoot(), 'infra', 'bin', 'gameday.js'), 'lab', 'up'])}`;
}
