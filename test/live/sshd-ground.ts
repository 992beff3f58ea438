/**
 * An sshd of the test's own, with keys of its own, on an address of its own; as root also a login that may become the servers' user and root by sudo. The
 * machine's passwd and sudoers are not touched: sshd sees others in a mount namespace. It ends only what it started.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { descendants, identify, signal, type ProcessId } from '../../core/process';
import type { TargetHost } from '../../model/target';
import { freePort } from './own-servers';

const SSHD = '/usr/sbin/sshd';
/** Exists for this sshd alone. */
const SUDOER = 'gameday-caller';

export type SshWay = Extract<TargetHost, { kind: 'ssh' }>;

export interface SshdGround {
  /** A way in as whoever runs the test. */
  way(change?: Partial<SshWay>): SshWay;
  /** The login that needs sudo; null where the test does not run as root. */
  readonly sudoer: string | null;
  /** Known hosts that name another key for this sshd. */
  readonly wrongKnownHosts: string;
  /** A key that nobody's authorized_keys hold. */
  readonly strangersKey: string;
  /** Ends every connection at once, as a network that is gone; sshd takes new ones. */
  cut(): void;
  close(): void;
}

const keygen = (path: string): void => void execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);

/** Files that stand over the machine's own for sshd and what it starts, and the script that lays them. */
function layMounts(dir: string, osUser: string): string {
  // A shell whose start-up files cost nothing.
  const own = readFileSync('/etc/passwd', 'utf8').replace(/^(root:.*:)[^:]*$/m, '$1/bin/sh');
  const passwd = `${own}${SUDOER}:*:64123:64123::${dir}:/bin/sh\n`;
  writeFileSync(join(dir, 'passwd'), passwd, { mode: 0o644 });
  writeFileSync(join(dir, 'sudoers'), `${SUDOER} ALL=(${osUser}) NOPASSWD: ALL\n${SUDOER} ALL=(root) NOPASSWD: ALL\n`);
  chmodSync(join(dir, 'sudoers'), 0o440);
  return 'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/sudoers" /etc/sudoers && shift && exec "$@"';
}

function writeConfig(dir: string, address: string, port: number): string {
  const settings = {
    ListenAddress: `${address}:${port}`,
    HostKey: join(dir, 'host'),
    AuthorizedKeysFile: join(dir, 'authorized'),
    PidFile: 'none',
    UsePAM: 'no',
    StrictModes: 'no',
    PermitRootLogin: 'prohibit-password',
    PasswordAuthentication: 'no',
  };
  const path = join(dir, 'sshd_config');
  writeFileSync(
    path,
    Object.entries(settings)
      .map(([key, value]) => `${key} ${value}\n`)
      .join(''),
  );
  return path;
}

/** `osUser`: whom the sudoer may become; null where the test does not run as root. */
export async function startSshd(dir: string, address: string, osUser: string | null): Promise<SshdGround> {
  if (!existsSync(SSHD)) throw new Error('no sshd: `npm test` installs openssh-server, or apt-get install it; it need not run');
  if (osUser !== null && !existsSync('/usr/bin/sudo')) throw new Error('no sudo: `npm test` installs it, or apt-get install sudo');
  const port = await freePort(address);
  for (const name of ['host', 'client', 'stranger']) keygen(join(dir, name));
  copyFileSync(join(dir, 'client.pub'), join(dir, 'authorized'));
  const known = (name: string, key: string): string => {
    const words = readFileSync(join(dir, `${key}.pub`), 'utf8')
      .split(' ')
      .slice(0, 2)
      .join(' ');
    writeFileSync(join(dir, name), `[${address}]:${port} ${words}\n`);
    return join(dir, name);
  };
  const [knownHosts, wrongKnownHosts] = [known('known', 'host'), known('known-otherwise', 'stranger')];
  // Where it runs as root it insists on this directory, which its own unit would make.
  if (osUser !== null) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const argv = [SSHD, '-D', '-e', '-f', writeConfig(dir, address, port)];
  const [command = '', ...args] =
    osUser === null ? argv : ['unshare', '--mount', 'sh', '-c', layMounts(dir, osUser), 'gameday', dir, ...argv];
  const sshd: ChildProcess = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  sshd.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  await until(async () => (said.includes('Server listening') ? true : null), {
    timeoutMs: 10_000,
    onTimeout: () => new Error(`sshd did not start: ${said}`),
  });
  const listener = sshd.pid === undefined ? null : identify(sshd.pid);
  /** What sshd forked to serve connections; what those run is somebody else's. */
  const sessions = (): readonly ProcessId[] =>
    listener === null
      ? []
      : descendants(listener.pid).filter(({ pid }) => {
          try {
            return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sshd: ');
          } catch {
            return false;
          }
        });
  const cut = (): void => {
    for (const id of sessions()) signal(id, 'SIGKILL');
  };
  return {
    way: (change = {}) => ({
      kind: 'ssh',
      address,
      port,
      user: userInfo().username,
      identityFile: join(dir, 'client'),
      knownHosts,
      ...change,
    }),
    sudoer: osUser === null ? null : SUDOER,
    wrongKnownHosts,
    strangersKey: join(dir, 'stranger'),
    cut,
    close() {
      cut();
      if (listener !== null) signal(listener, 'SIGKILL');
    },
  };
}
