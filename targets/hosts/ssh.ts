/**
 * A node on another machine, by the system's own OpenSSH: its configuration, agents and keys are the operator's. One connection a node is kept and shared;
 * keys alone are accepted, known hosts are checked, nothing is ever typed, and no secret stands in a process list.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { run, type RunResult } from '../../core/process';
import type { TargetHost, TargetNode } from '../../model/target';
import type { Host } from '../ports';
import { openRemoteHost, type Identity, type RemoteShell } from './remote-host';
import { commandLine } from './shell-words';

export type SshHost = Extract<TargetHost, { kind: 'ssh' }>;

const CONNECT_S = 5;
/** A shared connection that nobody used for this long ends. */
const PERSIST_S = 60;
/** A connection used this lately is taken to be there still. */
const WARM_MS = (PERSIST_S - 10) * 1_000;
/** A peer that is silent for this long is gone; without it a cut network would keep a command waiting for its whole time. */
const [ALIVE_EVERY_S, ALIVE_TRIES] = [5, 3];
/** sshd grants 10 sessions a connection (MaxSessions), and another process of ours may share this one. Whoever comes later gets a connection of its own. */
const MAX_SHARING = 5;
/** sun_path holds 107 bytes; ssh makes the socket under its name with 17 more behind it. */
const MAX_SOCKET_BYTES = 107 - 17;

const isOurs = (dir: string): boolean => {
  try {
    const stat = lstatSync(dir);
    return stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0;
  } catch {
    return false;
  }
};

/** Two ways to one machine with other keys or other known hosts must never share a connection. */
function socketName({ address, port, user, identityFile, knownHosts }: SshHost): string {
  const way = JSON.stringify([address, port, user, identityFile, knownHosts]);
  return `ssh-${createHash('sha256').update(way).digest('hex').slice(0, 16)}`;
}

/** Path of the shared connection's socket: in `runDir` where that is ours alone and short enough. Whoever could write there could take connections over. */
export function controlPath(host: SshHost, runDir: string): string {
  const path = join(runDir, socketName(host));
  if (Buffer.byteLength(path) <= MAX_SOCKET_BYTES && isOurs(runDir)) return path;
  const dir = join(tmpdir(), `gameday-ssh-${process.getuid?.() ?? 0}`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (!isOurs(dir))
    throw new GamedayError('host_refused', `${dir} is not ours alone`, 'remove it: connections over it could be taken over.');
  return join(dir, socketName(host));
}

/** ssh takes several file names apart at blanks, expands `%` and `${…}`, and knows no escape but for the first two. */
function optionPath(path: string): string {
  if (/["\n]|\$\{/.test(path))
    throw new GamedayError('setting_invalid', `ssh cannot be told of the file ${path}`, 'give it a plainer name.');
  return `"${path.replaceAll('%', '%%')}"`;
}

/** Words of the ssh command before the remote command. `socket`: of the shared connection, null for one of its own; `master`: opens it if it is not there. */
export function sshArgv(
  { address, port, user, identityFile, knownHosts }: SshHost,
  socket: string | null,
  master: boolean,
): readonly string[] {
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    UpdateHostKeys: 'no',
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    LogLevel: 'ERROR',
    ConnectTimeout: String(CONNECT_S),
    ConnectionAttempts: '1',
    ServerAliveInterval: String(ALIVE_EVERY_S),
    ServerAliveCountMax: String(ALIVE_TRIES),
    ControlMaster: master ? 'auto' : 'no',
    ControlPersist: String(PERSIST_S),
    ControlPath: socket === null ? 'none' : optionPath(socket),
    ForwardAgent: 'no',
    ForwardX11: 'no',
    ClearAllForwardings: 'yes',
    RequestTTY: 'no',
    RemoteCommand: 'none',
    PermitLocalCommand: 'no',
    ...(knownHosts === null ? {} : { UserKnownHostsFile: optionPath(knownHosts), GlobalKnownHostsFile: '/dev/null' }),
    ...(identityFile === null ? {} : { IdentityFile: optionPath(identityFile), IdentitiesOnly: 'yes' }),
  };
  const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return ['ssh', '-T', ...words, '-p', String(port), '-l', user, '--', address];
}

/** What makes the login user whoever the command shall run as. */
export function becoming(login: string, osUser: string | null, as: Identity): readonly string[] {
  const own = login === 'root' ? 'root' : (osUser ?? login);
  const wanted = { root: 'root', node: osUser ?? login, own }[as];
  if (wanted === login) return [];
  // Root needs nobody's leave, and sudo may not be there.
  return login === 'root' ? ['runuser', '-u', wanted, '--'] : ['sudo', '-n', '-u', wanted, '--'];
}

const REFUSED = /Host key verification failed|Permission denied|Too many authentication failures|UNPROTECTED PRIVATE KEY|Bad configuration/;

/** Trying again helps against a network that is down, not against a key that is not taken. */
export function explainSsh(where: string, stderr: string): GamedayError {
  const lines = stderr.split('\n').filter((line) => /\S/.test(line) && !/^@+$/.test(line.trim()));
  const text = lines.slice(-3).join(' ').slice(0, 400) || 'the connection was lost';
  if (/^(sudo|runuser): /m.test(stderr))
    return new GamedayError('host_refused', `${where}: ${text}`, 'docs/HOSTS.md lists the sudoers lines that it takes.');
  return new GamedayError(REFUSED.test(stderr) ? 'host_refused' : 'host_unreachable', `${where}: ${text}`);
}

function openShell(node: TargetNode, host: SshHost, runDir: string): RemoteShell {
  const where = `${node.name} (ssh ${host.user}@${host.address}:${host.port})`;
  let sharing = 0;
  let warmUntil = -Infinity;
  let connecting: Promise<void> | null = null;

  /** Two first commands at once would both try to be the shared connection, and the later one would complain of it on the command's stderr. */
  async function connect(): Promise<void> {
    const argv = [...sshArgv(host, controlPath(host, runDir), true), 'exit 0'];
    const { code, stderr } = await run(argv, { timeoutMs: CONNECT_S * 4_000 }).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new GamedayError('host_unreachable', `${where} did not answer`);
      throw new GamedayError('tool_missing', 'ssh was not found', 'apt-get install openssh-client');
    });
    if (code === 255) throw explainSsh(where, stderr);
    warmUntil = performance.now() + WARM_MS;
  }
  async function warm(): Promise<void> {
    if (performance.now() < warmUntil) return;
    connecting ??= connect().finally(() => (connecting = null));
    await connecting;
  }

  return {
    kind: 'ssh',
    async run(argv, { as, ...options }) {
      await warm();
      options.signal?.throwIfAborted();
      const socket = sharing < MAX_SHARING ? controlPath(host, runDir) : null;
      sharing += 1;
      try {
        const remote = commandLine([...becoming(host.user, node.osUser, as), ...argv]);
        const result = await run([...sshArgv(host, socket, false), remote], options);
        warmUntil = result.code === 255 ? -Infinity : performance.now() + WARM_MS;
        return result;
      } finally {
        sharing -= 1;
      }
    },
    explain: ({ stderr }: RunResult) => explainSsh(where, stderr),
  };
}

/** The node's machine behind ssh. Opening touches nothing. */
export function openSshHost(node: TargetNode, host: SshHost, runDir: string): Host {
  return openRemoteHost(node, openShell(node, host, runDir));
}
