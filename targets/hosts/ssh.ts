/**
 * A node on another machine, by the system's own OpenSSH: its configuration, agents and keys are the operator's. One connection a node is kept and shared;
 * keys alone are accepted, known hosts are checked, nothing is ever typed, and no secret stands in a process list.
 */
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { run, type RunResult } from '../../core/process';
import type { TargetHost, TargetNode } from '../../model/target';
import type { Host } from '../ports';
import { openRemoteHost, type Identity, type Shell } from './remote-host';
import { commandLine } from './shell-words';

type SshHost = Extract<TargetHost, { kind: 'ssh' }>;

const CONNECT_S = 5;
/** A shared connection that nobody used for this long ends. */
const PERSIST_S = 60;
/** A peer that is silent for this long is gone; without it a cut network would keep a command waiting for its whole time. */
const [ALIVE_EVERY_S, ALIVE_TRIES] = [5, 3];
/** Time for the far end to end by itself, and for its answer to arrive. */
const GRACE_MS = 5_000;
/** Last line of stderr: how the command itself ended. Without it the connection broke, whatever ssh's own code says. */
const ENDED = 'gameday-ended';

/** Directory of the shared connections' sockets: ours alone, and short, because a socket's name may have 107 bytes. */
function controlDir(): string {
  const uid = process.getuid?.() ?? 0;
  const dir = join(tmpdir(), `gameday-ssh-${uid}`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const stat = lstatSync(dir);
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o077) !== 0)
    throw new GamedayError(
      'host_unreachable',
      `${dir} is not a directory of ours alone`,
      'remove it; connections over it could be taken over.',
    );
  return dir;
}

/** Words of the ssh command before the remote command. Exported for its test. */
export function sshArgv({ address, port, user, identityFile, knownHosts }: SshHost, sockets: string): readonly string[] {
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    ConnectTimeout: String(CONNECT_S),
    ServerAliveInterval: String(ALIVE_EVERY_S),
    ServerAliveCountMax: String(ALIVE_TRIES),
    ControlMaster: 'auto',
    ControlPersist: String(PERSIST_S),
    ControlPath: join(sockets, '%C'),
    ForwardAgent: 'no',
    ForwardX11: 'no',
    ClearAllForwardings: 'yes',
    ...(knownHosts === null ? {} : { UserKnownHostsFile: knownHosts, GlobalKnownHostsFile: '/dev/null' }),
    ...(identityFile === null ? {} : { IdentityFile: identityFile, IdentitiesOnly: 'yes' }),
  };
  return [
    'ssh',
    '-T',
    ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    '-p',
    String(port),
    '-l',
    user,
    '--',
    address,
  ];
}

/** What makes the login user whoever the command shall run as. Exported for its test. */
export function becoming(login: string, node: Pick<TargetNode, 'osUser'>, as: Identity): readonly string[] {
  const wanted = as === 'root' ? 'root' : (node.osUser ?? login);
  if (wanted === login) return [];
  // Root needs nobody's leave, and sudo may not be there.
  return login === 'root' ? ['runuser', '-u', wanted, '--'] : ['sudo', '-n', '-u', wanted, '--'];
}

function parseEnd(result: RunResult): RunResult | null {
  const at = result.stderr.lastIndexOf(`${ENDED} `);
  const code = at < 0 ? null : /^[0-9]+/.exec(result.stderr.slice(at + ENDED.length + 1))?.[0];
  return code === null || code === undefined ? null : { code: Number(code), stdout: result.stdout, stderr: result.stderr.slice(0, at) };
}

function why(stderr: string): string {
  const text = stderr.trim().split('\n').slice(-3).join(' ').slice(0, 400);
  return text === '' ? 'the connection was lost' : text;
}

/** The node's machine behind ssh. Opening touches nothing. */
export function openSshHost(node: TargetNode, host: SshHost): Host {
  const shell: Shell = async (argv, { as, timeoutMs, input, signal }) => {
    // Bounded at the far end too: a command whose caller is gone must not go on for ever.
    const bounded = ['timeout', '-k', '5', String(Math.ceil(timeoutMs / 1_000)), 'env', 'LC_ALL=C.UTF-8', ...argv];
    const remote = `${commandLine([...becoming(host.user, node, as), ...bounded])}; echo "${ENDED} $?" >&2`;
    const result = await run([...sshArgv(host, controlDir()), remote], {
      timeoutMs: timeoutMs + GRACE_MS,
      ...(input === undefined ? {} : { input }),
      ...(signal === undefined ? {} : { signal }),
    });
    const ended = parseEnd(result);
    if (ended === null)
      throw new GamedayError('host_unreachable', `${node.name} (ssh ${host.user}@${host.address}:${host.port}): ${why(result.stderr)}`);
    if (ended.code === 124) throw new GamedayError('step_failed', `${argv[0] ?? ''} on ${node.name} did not end within ${timeoutMs} ms`);
    if (ended.code === 127) throw new GamedayError('tool_missing', `${argv[0] ?? ''} was not found on ${node.name}: ${why(ended.stderr)}`);
    return ended;
  };
  return openRemoteHost('ssh', node, shell);
}
