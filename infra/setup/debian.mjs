// Gets a tool from the distribution's packages: installed as root, by sudo if a person agrees, else unpacked into the cache without touching the system.
// Never leaves a service running or a cluster on port 5432; apt-install.sh sees to that.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { tmpdir } from 'node:os';
import { intoCache } from './cache.mjs';
import { execute, lastLines } from './execute.mjs';
import { onPath, versionOf } from './find.mjs';
import { checkout } from './places.mjs';
import { say, sayWhile, SetupError } from './progress.mjs';

const installScript = join(checkout, 'infra', 'setup', 'apt-install.sh');

export function isRoot() {
  return process.getuid?.() === 0;
}

/** True where apt and dpkg are at hand. */
export function hasApt(env = process.env) {
  return ['apt-get', 'apt-cache', 'dpkg'].every((program) => onPath(program, env) !== null);
}

/** Without root, apt can still keep package lists of its own, in a directory of ours. */
function privateLists(cache) {
  const root = join(cache, 'apt');
  for (const name of ['lists/partial', 'archives/partial']) mkdirSync(join(root, name), { recursive: true });
  return [
    '-o',
    `Dir::State::lists=${join(root, 'lists')}`,
    '-o',
    `Dir::Cache=${root}`,
    '-o',
    `Dir::Cache::archives=${join(root, 'archives')}`,
  ];
}

/** The newest package whose name fits, or null. */
async function bestPackage(tool, options) {
  const result = await execute(['apt-cache', ...options, 'search', '--names-only', tool.debian.search], { timeoutMs: 60_000 });
  const names = result.stdout
    .split('\n')
    .map((line) => line.split(' ')[0])
    .filter((name) => tool.debian.pattern.test(name));
  return names.sort().at(-1) ?? null;
}

/** Looks in the package lists that are there, and refreshes them once if they know nothing. Returns { name, options } or null. */
async function findPackage(tool, cache) {
  const known = await bestPackage(tool, []);
  if (known !== null) return { name: known, options: [] };
  const options = isRoot() ? [] : privateLists(cache);
  const update = await sayWhile('refreshing the list of Debian packages', () =>
    execute(['apt-get', ...options, 'update'], { timeoutMs: 300_000 }),
  );
  if (update.code !== 0) say(`apt-get update failed: ${lastLines(update, 2)}`);
  const name = await bestPackage(tool, options);
  return name === null ? null : { name, options };
}

async function mayUseSudo(name, env) {
  if (isRoot() || env.CI === 'true' || !process.stdin.isTTY || !process.stderr.isTTY || onPath('sudo', env) === null) return false;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(
      `Install ${name} for the whole system with sudo? Otherwise it is unpacked into the cache for you alone. [y/N] `,
    );
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    prompt.close();
  }
}

/** `prefix`: what makes it root, if that is needed. Throws SetupError with what apt said. */
export async function installPackage(name, prefix = []) {
  const argv = [...prefix, 'sh', installScript, name];
  const inherit = prefix.length > 0;
  const install = () => execute(argv, { timeoutMs: 900_000, inherit });
  let result = await sayWhile(`installing the Debian package ${name} (no service is started)`, install);
  if (result.code !== 0 && prefix.length === 0) {
    // Old lists name versions that the archive no longer holds.
    await sayWhile('refreshing the list of Debian packages', () => execute(['apt-get', 'update'], { timeoutMs: 300_000 }));
    result = await install();
  }
  if (result.code !== 0)
    throw new SetupError(`the Debian package ${name} could not be installed:\n${lastLines(result)}`, `apt-get install ${name}`);
}

async function installWith(prefix, tool, name) {
  await installPackage(name, prefix);
  const directory = `/${tool.debian.bin(name)}`;
  const version = await versionOf(tool, directory);
  if (version === null || !tool.good(version))
    throw new SetupError(`the Debian package ${name} holds ${version ?? 'no'} ${tool.name}; ${tool.wanted} is needed`);
  return { directory, version, source: 'package' };
}

/** Names of the package and of what it needs and this system lacks. */
async function missingPackages(names, options) {
  const result = await execute(['apt-get', ...options, '-s', '--no-install-recommends', 'install', ...names], { timeoutMs: 60_000 });
  if (result.code !== 0)
    throw new SetupError(
      `the Debian packages that ${names.join(', ')} needs are not known:\n${lastLines(result)}`,
      `sudo apt-get install ${names.join(' ')}`,
    );
  return result.stdout.split('\n').flatMap((line) => /^Inst (\S+)/.exec(line)?.[1] ?? []);
}

/** Downloads packages with what they need and unpacks them below `root`, as an ordinary user can. */
export async function unpackPackages(names, options, root) {
  const download = mkdtempSync(join(tmpdir(), 'gameday-packages-'));
  try {
    // A package that is installed already is not in the list, though its files may be unusable; take it all the same.
    const wanted = [...new Set([...names, ...(await missingPackages(names, options))])];
    const fetch = await execute(['apt-get', ...options, 'download', ...wanted], { cwd: download, timeoutMs: 600_000 });
    if (fetch.code !== 0)
      throw new SetupError(`${wanted.join(', ')} could not be downloaded:\n${lastLines(fetch)}`, `sudo apt-get install ${names.join(' ')}`);
    for (const file of readdirSync(download).filter((entry) => entry.endsWith('.deb'))) {
      const unpack = await execute(['dpkg', '-x', join(download, file), root], { timeoutMs: 120_000 });
      if (unpack.code !== 0) throw new SetupError(`${file} could not be unpacked:\n${lastLines(unpack)}`);
    }
  } finally {
    rmSync(download, { recursive: true, force: true });
  }
}

/** Directories with shared libraries below an unpacked root, as they will be called at `final`. */
function libraryPath(root, final) {
  const found = [];
  for (const base of ['usr/lib', 'lib']) {
    if (!existsSync(join(root, base))) continue;
    for (const entry of readdirSync(join(root, base), { withFileTypes: true })) {
      if (entry.isDirectory() && /-linux-gnu/.test(entry.name)) found.push(join(final, base, entry.name));
    }
  }
  return found.join(':');
}

/** Unpacked programs look for their libraries in the system. A one-line starter that execs them leads them to the unpacked ones; the process stays one. */
function writeStarters(root, final, bin, libraries) {
  mkdirSync(join(root, 'bin'));
  for (const program of readdirSync(join(root, bin))) {
    const starter = join(root, 'bin', program);
    const setting = libraries === '' ? '' : `LD_LIBRARY_PATH='${libraries}'"\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" `;
    writeFileSync(starter, `#!/bin/sh\n${setting}exec '${join(final, bin, program)}' "$@"\n`);
    chmodSync(starter, 0o755);
  }
}

async function unpackTool(tool, found, cache) {
  const policy = await execute(['apt-cache', ...found.options, 'policy', found.name], { timeoutMs: 60_000 });
  const version = /Candidate: (?:\d+:)?(\d+(?:\.\d+)*)/.exec(policy.stdout)?.[1];
  if (version === undefined)
    throw new SetupError(`the version of the Debian package ${found.name} is not known`, `sudo apt-get install ${found.name}`);
  const root = await intoCache(cache, `${tool.name}-${version}`, async (temporary, final) => {
    await sayWhile(`unpacking the Debian package ${found.name} into the cache`, () =>
      unpackPackages([found.name], found.options, temporary),
    );
    writeStarters(temporary, final, tool.debian.bin(found.name), libraryPath(temporary, final));
  });
  const directory = join(root, 'bin');
  const reported = await versionOf(tool, directory);
  if (reported !== null && tool.good(reported)) return { directory, version: reported, source: 'unpacked package' };
  rmSync(root, { recursive: true, force: true });
  throw new SetupError(`${tool.name} from the unpacked Debian package ${found.name} does not start`, `sudo apt-get install ${found.name}`);
}

/** The tool from the distribution: { directory, version, source }, or null where there is no apt or no package that will do. */
export async function fromDebian(tool, cache, env = process.env) {
  if (tool.debian === null || !hasApt(env)) return null;
  const found = await findPackage(tool, cache);
  if (found === null) return null;
  if (isRoot()) return installWith([], tool, found.name);
  if (await mayUseSudo(found.name, env)) return installWith(['sudo'], tool, found.name);
  return unpackTool(tool, found, cache);
}
