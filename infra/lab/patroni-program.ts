/**
 * Which Patroni a lab runs: the distribution's, or a version from PyPI that set-up fetches into the cache, pinned with checksums under infra/tools/patroni.
 * A lab keeps the one that it was made with. Proves that the servers' user can start it before anything else is done.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { packageRoot } from '../../core/files';
import { lookUpUser, run } from '../../core/process';
import { isReachable } from './places';

/** What people write for the distribution's. */
export const DISTRIBUTION = 'distribution';
/** Debian's packages of what Patroni needs lie beside this one; a python3 that comes first on PATH may lack them. */
export const DISTRIBUTION_ARGV = ['/usr/bin/python3', '/usr/bin/patroni'] as const;
const FETCH_MS = 20 * 60_000;
const VERSION_MS = 30_000;

/** What a lab remembers. */
export interface PatroniVersion {
  readonly version: string;
  readonly from: 'distribution' | 'PyPI';
}

export interface PatroniProgram extends PatroniVersion {
  /** Python and the program, to be followed by the path of a configuration. */
  readonly argv: readonly [python: string, program: string];
}

/** Of a lab that was made before labs remembered it. */
export const UNRECORDED: PatroniVersion = { version: 'of an unrecorded version', from: 'distribution' };

export const patroniWords = ({ version, from }: PatroniVersion): string =>
  `Patroni ${version} ${from === 'PyPI' ? 'from PyPI' : 'of the distribution'}`;

/** Versions that can be fetched, newest first. */
export function pinnedVersions(root: string = packageRoot()): readonly string[] {
  return readdirSync(join(root, 'infra', 'tools', 'patroni'))
    .flatMap((file) => /^patroni-([0-9.]+)\.txt$/.exec(file)?.[1] ?? [])
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
}

const isOf = (version: string, series: string): boolean => version === series || version.startsWith(`${series}.`);

/** `distribution`, or the newest pinned version that is `wanted` or of that series: 4.1 is the newest 4.1.x. Throws `setting_invalid` where there is none. */
export function choosePatroni(wanted: string, pinned: readonly string[]): string {
  if (wanted === DISTRIBUTION) return DISTRIBUTION;
  const found = pinned.find((version) => isOf(version, wanted));
  if (found === undefined)
    throw new GamedayError(
      'setting_invalid',
      `Patroni ${wanted} is not among those that can be had: ${[DISTRIBUTION, ...pinned].join(', ')}`,
      'a further version is one file of pinned packages under infra/tools/patroni, made as those there say.',
    );
  return found;
}

/** Throws `setting_invalid` where a lab that exists runs another one than is asked for: its members would meet their own past in the store. */
export function checkUnchanged(before: PatroniVersion, wanted: string | undefined): void {
  if (
    wanted === undefined ||
    (wanted === DISTRIBUTION ? before.from === 'distribution' : before.from === 'PyPI' && isOf(before.version, wanted))
  )
    return;
  throw new GamedayError(
    'setting_invalid',
    `the lab’s cluster was made by ${patroniWords(before)}, not by ${wanted}`,
    '`gameday lab down --purge` removes it; or set GAMEDAY_HOME, and --net, for a second lab beside it.',
  );
}

export interface PatroniRequest {
  readonly lab: string;
  /** Owner of the servers; null: whoever runs gameday. */
  readonly user: string | null;
  /** `distribution`, a version or a series; default: as before, else the distribution's. */
  readonly wanted: string | undefined;
  /** What the lab here was made with; null: there is none yet. */
  readonly before: PatroniVersion | null;
}

/** The program, fetched if need be, and startable by the servers' user. Throws `setting_invalid`, `tool_missing`. */
export async function providePatroni({ lab, user, wanted, before }: PatroniRequest, say: (text: string) => void): Promise<PatroniProgram> {
  if (before !== null) checkUnchanged(before, wanted);
  const known = before === null ? wanted : before.from === 'PyPI' ? before.version : DISTRIBUTION;
  const chosen = choosePatroni(known ?? DISTRIBUTION, pinnedVersions());
  if (chosen !== DISTRIBUTION) {
    if (before === null) say(`Patroni ${chosen} from PyPI; the first time it is fetched`);
    return fromPyPI(chosen, lab, user);
  }
  if (!existsSync(DISTRIBUTION_ARGV[1]))
    throw new GamedayError(
      'tool_missing',
      `patroni is not at ${DISTRIBUTION_ARGV[1]}`,
      '`apt-get install patroni etcd-server`, which set-up does when it runs as root; or `--patroni 4.1` takes it from PyPI.',
    );
  return { argv: DISTRIBUTION_ARGV, version: await versionOf(DISTRIBUTION_ARGV, user), from: 'distribution' };
}

async function fromPyPI(version: string, lab: string, user: string | null): Promise<PatroniProgram> {
  const command = [process.execPath, join(packageRoot(), 'infra', 'bin', 'patroni.mjs'), version];
  const made = await run(command, { timeoutMs: FETCH_MS });
  if (made.code !== 0) throw asError(made.stderr, version);
  const directory = await whereReachable(made.stdout.trim(), lab, user);
  const argv = [join(directory, 'bin', 'python3'), join(directory, 'bin', 'patroni')] as const;
  const found = await versionOf(argv, user);
  if (found !== version)
    throw new GamedayError('tool_missing', `${argv[1]} is Patroni ${found}, not ${version}`, `remove ${directory}, then run it again.`);
  return { argv, version, from: 'PyPI' };
}

/** Set-up says what is wrong, then what to do. */
function asError(stderr: string, version: string): GamedayError {
  const [what = '', hint] = stderr.split('\nHINT: ');
  const text = what
    .split('\n')
    .filter((line) => !line.startsWith('['))
    .join('\n')
    .trim();
  return new GamedayError(
    'tool_missing',
    text === '' ? `Patroni ${version} could not be fetched` : text.slice(-1_500),
    hint?.trim() ?? null,
  );
}

/** The environment itself, or where the servers' user cannot reach the cache, a copy of it in the lab. */
async function whereReachable(cached: string, lab: string, user: string | null): Promise<string> {
  if (isReachable(join(cached, 'bin', 'python3'), user)) return cached;
  const own = join(lab, 'bin', cached.split('/').at(-1) ?? 'patroni');
  if (existsSync(own)) return own;
  mkdirSync(join(lab, 'bin'), { recursive: true, mode: 0o755 });
  const temporary = `${own}.${process.pid}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  cpSync(cached, temporary, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  renameSync(temporary, own);
  return own;
}

/** As the servers' user: a Python that only its owner may start, or one without what Patroni needs, is found here. */
async function versionOf(argv: readonly string[], user: string | null): Promise<string> {
  const said = await run([...argv, '--version'], {
    timeoutMs: VERSION_MS,
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8' },
    ...(user === null ? {} : lookUpUser(user)),
  }).catch((error: unknown) => ({ code: -1, stdout: '', stderr: messageOf(error) }));
  const version = /^patroni (\S+)/m.exec(said.stdout)?.[1];
  if (said.code === 0 && version !== undefined) return version;
  throw new GamedayError(
    'tool_missing',
    `${user ?? 'this user'} cannot start ${argv.join(' ')}: ${said.stderr.trim().slice(-300) || `exit ${said.code}`}`,
    '`apt-get install python3 python3-venv` gives a Python that every user may start; or run gameday as an ordinary user.',
  );
}
