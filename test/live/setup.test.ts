/**
 * Set-up on a machine without Go: hidden from PATH, the toolchain comes from its Python package, and Toxiproxy is built with it into an empty cache.
 * The real download and the real build, so it takes a minute or two; it touches no cache but its own.
 */
import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';
import { fullTest } from './drawn';

const scratch = mkdtempSync(join(tmpdir(), 'gameday-no-go-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function holdsGo(directory: string): boolean {
  try {
    accessSync(join(directory, 'go'), constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

fullTest(
  'with Go hidden from PATH, Toxiproxy is built by the toolchain from its wheel',
  async () => {
    const path = (process.env['PATH'] ?? '')
      .split(':')
      .filter((directory) => !holdsGo(directory))
      .join(':');
    const program = `
    import { CATALOG } from ${JSON.stringify(join(packageRoot(), 'infra/setup/catalog.mjs'))};
    import { buildFromGo, removeGoWork } from ${JSON.stringify(join(packageRoot(), 'infra/setup/go.mjs'))};
    import { cacheRoot } from ${JSON.stringify(join(packageRoot(), 'infra/setup/places.mjs'))};
    const found = await buildFromGo(CATALOG.find((tool) => tool.name === 'toxiproxy'), cacheRoot());
    removeGoWork(cacheRoot());
    console.log(JSON.stringify(found));
  `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      env: { ...process.env, PATH: path, XDG_CACHE_HOME: scratch },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining('fetching the Go 1.26.6 toolchain') });
    const found = JSON.parse(stdout) as { directory: string; version: string; source: string };
    expect(found).toEqual({ directory: join(scratch, 'gameday', 'toxiproxy-2.5.0', 'bin'), version: '2.5.0', source: 'go' });

    const built = join(found.directory, 'toxiproxy-server');
    expect(execFileSync(built, ['--version'], { encoding: 'utf8' })).toContain('version 2.5.0');
    // The binary names the toolchain that built it.
    expect(readFileSync(built).includes('go1.26.6')).toBe(true);
    expect(readdirSync(join(scratch, 'gameday')).sort()).toEqual(['go-1.26.6', 'toxiproxy-2.5.0']);
  },
  600_000,
);
