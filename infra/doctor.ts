/**
 * What `gameday doctor` says: every tool with place, version and source, and whether this machine lets the lab run.
 * Looks only: installs nothing, starts nothing but short-lived checks, and never throws for something that is missing.
 */
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { messageOf } from '../core/errors';
import { gamedayHome } from '../core/home';
import { lookUpUser } from '../core/process';
import { formatBytes } from '../core/units';
import { readLabFile } from './lab/lab-file';
import { DISTRIBUTION_ARGV, patroniWords, pinnedVersions } from './lab/patroni-program';
import { readToolManifest, TOOL_NAMES, type ToolName } from './tools';

export interface ToolFinding {
  readonly tool: ToolName;
  readonly ok: boolean;
  /** Absolute path; null when missing. */
  readonly path: string | null;
  readonly version: string | null;
  readonly source: string | null;
  /** The exact command that provides it; null when it is there. */
  readonly command: string | null;
}

export interface MachineFinding {
  readonly check: 'node' | 'user' | 'disk' | 'home' | 'proc' | 'loopback' | 'patroni';
  readonly ok: boolean;
  /** What was seen, with values. */
  readonly seen: string;
  /** What to do; null when all is well. */
  readonly remedy: string | null;
}

export interface DoctorReport {
  /** True when nothing stands in the way of the lab. */
  readonly ok: boolean;
  readonly tools: readonly ToolFinding[];
  readonly machine: readonly MachineFinding[];
}

const OLDEST_NODE = [20, 19] as const;
/** A lab with three nodes, a sandbox and its archive stays below this for a day of drills. */
const DISK_NEEDED_BYTES = 2 * 1024 ** 3;
/** Servers that refuse to run as root run as this user. */
const SERVER_USER = 'postgres';

function checkTools(): ToolFinding[] {
  const manifest = readToolManifest();
  return TOOL_NAMES.map((tool) => {
    const found = manifest[tool];
    if (found === undefined || !existsSync(found.path))
      return { tool, ok: false, path: null, version: null, source: null, command: 'npm run setup' };
    return { tool, ok: true, path: found.path, version: found.version, source: found.source, command: null };
  });
}

function checkNode(): MachineFinding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return { check: 'node', ok, seen: `Node ${process.versions.node}`, remedy: ok ? null : `install Node ${OLDEST_NODE.join('.')} or newer` };
}

/** Root gives PostgreSQL to an ordinary user; anyone else runs it as himself. */
function checkUser(): MachineFinding {
  const uid = process.getuid?.() ?? -1;
  if (uid !== 0) return { check: 'user', ok: true, seen: `user id ${uid}; servers run as this user`, remedy: null };
  try {
    return {
      check: 'user',
      ok: true,
      seen: `root; PostgreSQL drops to ${SERVER_USER} (user id ${lookUpUser(SERVER_USER).uid})`,
      remedy: null,
    };
  } catch {
    return {
      check: 'user',
      ok: false,
      seen: `root, and there is no user ${SERVER_USER} to drop to`,
      remedy: `run \`useradd --system ${SERVER_USER}\``,
    };
  }
}

/** The nearest directory above a path that exists. */
function existingAncestor(path: string): string {
  let at = path;
  while (!existsSync(at)) at = dirname(at);
  return at;
}

function checkDisk(home: string): MachineFinding {
  const place = existingAncestor(home);
  const { bavail, bsize } = statfsSync(place);
  const free = bavail * bsize;
  const ok = free >= DISK_NEEDED_BYTES;
  const remedy = ok ? null : `free ${formatBytes(DISK_NEEDED_BYTES - free)} there, or set GAMEDAY_HOME to a larger file system`;
  return { check: 'disk', ok, seen: `${formatBytes(free)} free for ${home}`, remedy };
}

/** The first directory from / down to `path` that others may not enter; null when there is none. */
function closedDirectory(path: string): string | null {
  const ancestors: string[] = [];
  for (let at = existingAncestor(path); at !== dirname(at); at = dirname(at)) ancestors.unshift(at);
  return ancestors.find((at) => (statSync(at).mode & 0o001) === 0) ?? null;
}

/** The home must be writable for us and, as root, lie where the user that runs PostgreSQL can reach it; the lab goes to /var/lib/gameday otherwise. */
function checkHome(home: string): MachineFinding {
  const place = existingAncestor(home);
  try {
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch {
    return { check: 'home', ok: false, seen: `${place} is not writable`, remedy: 'set GAMEDAY_HOME to a directory that you may write' };
  }
  const closed = process.getuid?.() === 0 ? closedDirectory(home) : null;
  const seen =
    closed === null
      ? `${home} can be reached by the servers`
      : `${home} lies below ${closed}, which other users may not enter; the lab's data goes to /var/lib/gameday`;
  return { check: 'home', ok: true, seen, remedy: null };
}

function checkProc(): MachineFinding {
  const lacking = ['self/stat', 'uptime', 'sys/kernel/random/boot_id'].filter((name) => !existsSync(join('/proc', name)));
  const ok = lacking.length === 0;
  return {
    check: 'proc',
    ok,
    seen: ok ? '/proc is usable' : `/proc lacks ${lacking.join(', ')}`,
    remedy: ok ? null : 'run on Linux with /proc mounted',
  };
}

/** The lab gives each node an address of its own in 127/8, which Linux has and other systems have not. */
function checkLoopback(): Promise<MachineFinding> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) =>
      resolve({
        check: 'loopback',
        ok: false,
        seen: `cannot listen on 127.0.1.11: ${messageOf(error)}`,
        remedy: 'give the loopback interface 127.0.0.0/8 (`ip addr add 127.0.0.1/8 dev lo`)',
      }),
    );
    server.listen(0, '127.0.1.11', () =>
      server.close(() => resolve({ check: 'loopback', ok: true, seen: 'addresses in 127.0.0.0/8 are usable', remedy: null })),
    );
  });
}

/** Never a problem: only labs under Patroni need one, and they say so. */
function checkPatroni(home: string): MachineFinding {
  const used = readLabFile(home)?.patroni;
  const installed = existsSync(DISTRIBUTION_ARGV[1]) ? `the distribution’s at ${DISTRIBUTION_ARGV[1]}` : 'none of the distribution';
  const choice = `${installed}; from PyPI by \`lab up --patroni\`: ${pinnedVersions().join(', ')}`;
  return {
    check: 'patroni',
    ok: true,
    seen: used === undefined ? choice : `the lab here runs ${patroniWords(used)}; ${choice}`,
    remedy: null,
  };
}

/** Looks at everything the lab needs. Never throws for what is missing: that is its result. */
export async function diagnose(home: string = gamedayHome()): Promise<DoctorReport> {
  const tools = checkTools();
  const machine = [checkNode(), checkUser(), checkDisk(home), checkHome(home), checkProc(), await checkLoopback(), checkPatroni(home)];
  return { ok: [...tools, ...machine].every((finding) => finding.ok), tools, machine };
}

/** The report for a terminal: one line per finding, problems with what to do beneath them. */
export function formatDoctor(report: DoctorReport): string {
  const lines: string[] = [];
  for (const { tool, ok, path, version, source, command } of report.tools) {
    lines.push(ok ? `ok       ${tool.padEnd(10)} ${(version ?? '').padEnd(8)} ${path ?? ''} (${source ?? ''})` : `missing  ${tool}`);
    if (command !== null) lines.push(`         run: ${command}`);
  }
  for (const { check, ok, seen, remedy } of report.machine) {
    lines.push(`${ok ? 'ok      ' : 'problem '} ${check.padEnd(10)} ${seen}`);
    if (remedy !== null) lines.push(`         do: ${remedy}`);
  }
  lines.push(report.ok ? 'everything the lab needs is here' : 'the lab cannot run yet: see above');
  return lines.join('\n');
}
