/**
 * Set-up in its order: PATH, cache, package, Go modules, and then a message with the command to run. Runs the real set-up in processes of its own
 * with made-up PATH and cache directories; installs and downloads nothing.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../core/files';
import { locateTools } from '../infra/tools';

let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'gameday-set-up-test-'));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

const setup = (file: string): string => JSON.stringify(join(packageRoot(), 'infra', 'setup', file));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a module that imports from infra/setup; PATH holds nothing but `<scratch>/path`, and everything that set-up writes stays below scratch. */
function runModule(body: string): Outcome {
  mkdirSync(join(scratch, 'path'), { recursive: true });
  const env = { PATH: join(scratch, 'path'), HOME: join(scratch, 'home'), XDG_CACHE_HOME: join(scratch, 'cache'), CI: 'true' };
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', body], { env, encoding: 'utf8', timeout: 60_000 });
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** A program that reports a version as toxiproxy-server does. */
function placeProgram(directory: string, version: string): string {
  mkdirSync(directory, { recursive: true });
  const program = join(directory, 'toxiproxy-server');
  writeFileSync(program, `#!/bin/sh\necho "toxiproxy-server version ${version}"\n`);
  chmodSync(program, 0o755);
  return program;
}

const onPath = (): string => join(scratch, 'path');
const inCache = (version: string): string => join(scratch, 'cache', 'gameday', `toxiproxy-${version}`, 'bin');

/** Where the real finders see Toxiproxy; a package and a Go build are stood in for by sources that only say that they were asked. */
function resolveToxiproxy(): { readonly directory?: string; readonly source: string; readonly version?: string } {
  const result = runModule(`
    import { CATALOG } from ${setup('catalog.mjs')};
    import { findCached, findInstalled } from ${setup('find.mjs')};
    import { cacheRoot } from ${setup('places.mjs')};
    import { resolveTool } from ${setup('resolve.mjs')};
    const tool = { ...CATALOG.find((each) => each.name === 'toxiproxy'), places: [] };
    const found = await resolveTool(tool, [
      { name: 'PATH', find: (each) => findInstalled(each) },
      { name: 'cache', find: (each) => findCached(each, cacheRoot()) },
      { name: 'package', find: () => null },
      { name: 'Go modules', find: () => ({ source: 'asked to build' }) },
    ]);
    console.log(JSON.stringify(found));
  `);
  expect(result.stderr).toBe('');
  return JSON.parse(result.stdout) as ReturnType<typeof resolveToxiproxy>;
}

describe('where a tool comes from', () => {
  test('a good version on PATH is taken before the cache', () => {
    placeProgram(onPath(), '2.7.0');
    placeProgram(inCache('2.5.0'), '2.5.0');
    expect(resolveToxiproxy()).toEqual({ directory: onPath(), version: '2.7.0', source: 'path' });
  });

  test.each(['2.4.9', '3.0.0', 'git'])('version %s on PATH will not do: the cache is taken', (version) => {
    placeProgram(onPath(), version);
    placeProgram(inCache('2.5.0'), '2.5.0');
    expect(resolveToxiproxy()).toEqual({ directory: inCache('2.5.0'), version: '2.5.0', source: 'cache' });
  });

  test('a program in the cache that does not start is passed over', () => {
    const program = placeProgram(inCache('2.5.0'), '2.5.0');
    writeFileSync(program, 'cut off half-way');
    expect(resolveToxiproxy()).toEqual({ source: 'asked to build' });
  });

  test('a directory still being made is not taken for a cached tool', () => {
    placeProgram(join(scratch, 'cache', 'gameday', '.making-toxiproxy-2.5.0-abc', 'bin'), '2.5.0');
    expect(resolveToxiproxy()).toEqual({ source: 'asked to build' });
  });
});

test('without Go, pip and apt, set-up ends with 2 and the command to run', () => {
  const result = runModule(`
    import { CATALOG } from ${setup('catalog.mjs')};
    import { fromDebian } from ${setup('debian.mjs')};
    import { buildFromGo } from ${setup('go.mjs')};
    import { cacheRoot } from ${setup('places.mjs')};
    import { explain } from ${setup('progress.mjs')};
    import { resolveTool } from ${setup('resolve.mjs')};
    const tool = CATALOG.find((each) => each.name === 'temporal');
    const sources = [{ name: 'Debian package', find: (each) => fromDebian(each, cacheRoot()) }, { name: 'Go modules', find: (each) => buildFromGo(each, cacheRoot()) }];
    await resolveTool(tool, sources).catch((error) => { process.exitCode = explain(error); });
  `);
  expect(result.code).toBe(2);
  expect(result.stderr).toContain('temporal 1.5.1 or newer was not found');
  expect(result.stderr).toMatch(/HINT: run `apt-get install .+`, then the same command again\./);
  expect(existsSync(join(scratch, 'cache', 'gameday', 'temporal-1.5.1'))).toBe(false);
});

test('a Go that is too old on PATH is not used to build', () => {
  mkdirSync(onPath(), { recursive: true });
  writeFileSync(join(onPath(), 'go'), '#!/bin/sh\necho go1.19.8\n');
  chmodSync(join(onPath(), 'go'), 0o755);
  const result = runModule(`
    import { goToolchain } from ${setup('go.mjs')};
    import { cacheRoot } from ${setup('places.mjs')};
    import { explain } from ${setup('progress.mjs')};
    await goToolchain(cacheRoot()).catch((error) => { process.exitCode = explain(error); });
  `);
  expect(result.code).toBe(2);
  expect(result.stderr).toContain('Go 1.19.8 on PATH is older than 1.25.0');
});

describe('Patroni from PyPI', () => {
  test('takes nothing without a pinned checksum, and builds only with tools that have one', () => {
    const { stdout } = runModule(
      `import { installCommands } from ${setup('patroni.mjs')}; console.log(JSON.stringify(installCommands(['env', 'pip'], '4.1.5')));`,
    );
    const commands = JSON.parse(stdout) as string[][];
    expect(commands.map((argv) => argv.at(-1)?.replace(/^.*\/infra\//, ''))).toEqual([
      'tools/patroni/build.txt',
      'tools/patroni/patroni-4.1.5.txt',
    ]);
    for (const argv of commands) {
      expect(argv.slice(0, 3)).toEqual(['env', 'pip', 'install']);
      expect(argv).toEqual(expect.arrayContaining(['--require-hashes', '--no-deps']));
    }
    // What builds is not itself built, and nothing else is fetched to build with.
    expect(commands[0]).toContain('--only-binary=:all:');
    expect(commands[1]).toContain('--no-build-isolation');
  });

  const find = (system: string): Outcome =>
    runModule(`
      import { findPython } from ${setup('patroni.mjs')};
      import { explain } from ${setup('progress.mjs')};
      await findPython(process.env, ${JSON.stringify(system)}).then((python) => console.log(python), (error) => { process.exitCode = explain(error); });
    `);
  const placePython = (directory: string, version: string): string => {
    mkdirSync(directory, { recursive: true });
    const program = join(directory, 'python3');
    writeFileSync(program, `#!/bin/sh\necho ${version}\n`);
    chmodSync(program, 0o755);
    return program;
  };

  test('prefers the system’s Python, which every user may start, to the first on PATH', () => {
    const own = placePython(onPath(), '3.13.1');
    const system = placePython(join(scratch, 'system'), '3.11.2');
    expect(find(system).stdout.trim()).toBe(system);
    placePython(join(scratch, 'system'), '3.8.20');
    expect(find(system).stdout.trim()).toBe(own);
  });

  test('without a Python that will do, it says which packages to install', () => {
    placePython(onPath(), '3.8.20');
    const result = find(join(scratch, 'none'));
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('needs Python 3.9 or newer with its module venv');
    expect(result.stderr).toContain('HINT: run `apt-get install python3 python3-venv python3-pip`');
  });

  test('a version that is not pinned is not fetched', () => {
    const result = runModule(`
      import { ensurePatroni } from ${setup('patroni.mjs')};
      import { cacheRoot } from ${setup('places.mjs')};
      import { explain } from ${setup('progress.mjs')};
      await ensurePatroni('4.1.999', cacheRoot()).catch((error) => { process.exitCode = explain(error); });
    `);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('Patroni 4.1.999 is not pinned');
    expect(existsSync(join(scratch, 'cache'))).toBe(false);
  });
});

test('the manifest is trusted only while the program is the file that was looked at', () => {
  const program = placeProgram(onPath(), '2.5.0');
  const check = (): string =>
    runModule(`
      import { existsSync, readFileSync, writeFileSync } from 'node:fs';
      import { CATALOG } from ${setup('catalog.mjs')};
      import { entryFor, isCurrent } from ${setup('manifest.mjs')};
      const file = ${JSON.stringify(join(scratch, 'tools.json'))};
      const tool = CATALOG.find((each) => each.name === 'toxiproxy');
      if (!existsSync(file)) writeFileSync(file, JSON.stringify(entryFor(tool, { directory: ${JSON.stringify(onPath())}, version: '2.5.0', source: 'path' })));
      console.log(isCurrent(tool, JSON.parse(readFileSync(file, 'utf8'))));
    `).stdout.trim();
  expect(check()).toBe('true');
  utimesSync(program, 1, 1);
  expect(check()).toBe('false');
  rmSync(program);
  expect(check()).toBe('false');
});

test('two set-ups at once take turns, and a lock whose holder died is set aside', () => {
  mkdirSync(join(scratch, 'cache', 'gameday'), { recursive: true });
  writeFileSync(join(scratch, 'cache', 'gameday', 'set-up.lock'), '999999 1');
  const result = runModule(`
    import { withLock } from ${setup('lock.mjs')};
    import { cacheRoot } from ${setup('places.mjs')};
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, (inside += 1));
      await new Promise((resolve) => setTimeout(resolve, 50));
      inside -= 1;
    };
    await Promise.all([withLock(cacheRoot(), work), withLock(cacheRoot(), work)]);
    console.log(most);
  `);
  expect(result.stdout.trim()).toBe('1');
  expect(existsSync(join(scratch, 'cache', 'gameday', 'set-up.lock'))).toBe(false);
});

describe('the suite counts honestly', () => {
  const count = (code: number, report: unknown): unknown =>
    JSON.parse(
      runModule(
        `import { countJest } from ${setup('suite.mjs')}; console.log(JSON.stringify(countJest('unit', ${code}, ${JSON.stringify(report)})));`,
      ).stdout,
    );
  const report = (passed: number, failed: number, broken: number): unknown => ({
    numPassedTests: passed,
    numFailedTests: failed,
    numRuntimeErrorTestSuites: broken,
  });

  test.each([
    ['all passed', 0, report(5, 0, 0), 5, 0],
    ['one failed', 1, report(4, 1, 0), 4, 1],
    ['a file that did not load', 1, report(5, 0, 1), 5, 1],
    ['a teardown that failed after every test passed', 1, report(5, 0, 0), 5, 1],
    ['no test at all', 0, report(0, 0, 0), 0, 1],
    ['no report', 1, null, 0, 1],
  ])('%s', (_what, code, given, passed, failed) => {
    expect(count(code, given)).toEqual({ name: 'unit', passed, failed });
  });
});

test('each pinned module names the version that the catalog builds, and go.sum verifies it', () => {
  const { stdout } = runModule(
    `import { CATALOG } from ${setup('catalog.mjs')}; console.log(JSON.stringify(CATALOG.filter((tool) => tool.go !== null).map(({ name, go }) => ({ name, go }))));`,
  );
  const built = JSON.parse(stdout) as { name: string; go: { version: string; main: string } }[];
  expect(built.map((tool) => tool.name)).toEqual(['toxiproxy', 'versitygw', 'temporal']);
  for (const { name, go } of built) {
    const module = join(packageRoot(), 'infra', 'tools', name);
    const text = readFileSync(join(module, 'go.mod'), 'utf8');
    expect(text).toContain(`tool ${go.main}\n`);
    const path = go.main.replace(/\/cmd\/.*$/, '');
    expect(text).toMatch(new RegExp(`^(require |\\t)${path} v${go.version}( // indirect)?$`, 'm'));
    expect(readFileSync(join(module, 'go.sum'), 'utf8')).toMatch(new RegExp(`^${path} v${go.version} h1:`, 'm'));
  }
});

test('package-lock.json names every binding, also of other platforms, so that npm ci accepts it', () => {
  const result = runModule(`
    import { readFileSync } from 'node:fs';
    import { missingBindings } from ${setup('lock-file.mjs')};
    const lock = JSON.parse(readFileSync(${JSON.stringify(join(packageRoot(), 'package-lock.json'))}, 'utf8'));
    const parent = { dev: true, optionalDependencies: { '@a/b-darwin-x64': '1.2.3' } };
    const planted = missingBindings({ packages: { 'node_modules/@a/b': parent } });
    console.log(JSON.stringify({ missing: Object.keys(missingBindings(lock)), planted }));
  `);
  expect(JSON.parse(result.stdout)).toEqual({
    missing: [],
    planted: { 'node_modules/@a/b-darwin-x64': { version: '1.2.3', cpu: ['x64'], os: ['darwin'], dev: true, optional: true } },
  });
});

describe('locateTools', () => {
  test('says which tool is missing and how to get it', () => {
    expect(() => locateTools(scratch)).toThrow(expect.objectContaining({ code: 'tool_missing', message: 'postgres is not set up' }));
  });

  test('notices a tool that has gone since', () => {
    mkdirSync(join(scratch, 'dist'));
    writeFileSync(
      join(scratch, 'dist', 'tools.json'),
      JSON.stringify({ postgres: { path: join(scratch, 'gone'), version: '15.1', source: 'path' } }),
    );
    expect(() => locateTools(scratch)).toThrow(/postgres is no longer at .*gone/);
  });
});

test('the package script leaves neither its policy nor its setting behind when the install fails', () => {
  const script = readFileSync(join(packageRoot(), 'infra', 'setup', 'apt-install.sh'), 'utf8');
  const local = script
    .replaceAll('/usr/sbin/policy-rc.d', join(scratch, 'policy-rc.d'))
    .replaceAll('/etc/postgresql-common', join(scratch, 'postgresql-common'));
  writeFileSync(join(scratch, 'policy-rc.d'), 'as it was');
  writeFileSync(join(scratch, 'install.sh'), local);
  mkdirSync(onPath());
  const seen = join(scratch, 'seen');
  const fakeApt = `#!/bin/sh\ncat "${scratch}/policy-rc.d" "${scratch}"/postgresql-common/createcluster.d/*.conf >"${seen}"\nexit 100\n`;
  writeFileSync(join(onPath(), 'apt-get'), fakeApt);
  chmodSync(join(onPath(), 'apt-get'), 0o755);
  const run = (): unknown =>
    execFileSync('sh', [join(scratch, 'install.sh'), 'postgresql-15'], { env: { PATH: `${onPath()}:/usr/bin:/bin` }, stdio: 'pipe' });
  expect(run).toThrow();
  expect(readFileSync(seen, 'utf8')).toBe('#!/bin/sh\nexit 101\ncreate_main_cluster = false\n');
  expect(readFileSync(join(scratch, 'policy-rc.d'), 'utf8')).toBe('as it was');
  expect(existsSync(join(scratch, 'postgresql-common'))).toBe(false);
});
