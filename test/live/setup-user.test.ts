/**
 * Set-up as an ordinary user: sudo is used only after a yes, and without it the distribution's packages are unpacked into the user's own cache and work from there.
 * The suite runs as root here, so the user is `nobody`, and the system's PostgreSQL is hidden from that user by a mount of its own.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';

const NOBODY = 65_534;
const scratch = mkdtempSync(join(tmpdir(), 'gameday-user-'));
const cache = join(scratch, 'cache');
const node = join(scratch, 'node');
const asked = join(scratch, 'asked-of-sudo');

// What belongs to root, the checkout and perhaps Node itself, may be unreadable to others.
beforeAll(() => {
  chmodSync(scratch, 0o755);
  cpSync(join(packageRoot(), 'infra', 'setup'), join(scratch, 'infra', 'setup'), { recursive: true });
  copyFileSync(process.execPath, node);
  for (const name of ['cache', 'tmp', 'sudo-bin']) mkdirSync(join(scratch, name));
  writeFileSync(join(scratch, 'sudo-bin', 'sudo'), `#!/bin/sh\necho "$@" >>'${asked}'\n`, { mode: 0o755 });
  writeFileSync(
    join(scratch, 'find.mjs'),
    `import { CATALOG } from './infra/setup/catalog.mjs';
     import { fromDebian } from './infra/setup/debian.mjs';
     import { writeFileSync } from 'node:fs';
     const found = await fromDebian(CATALOG.find((tool) => tool.name === process.argv[2]), process.env.XDG_CACHE_HOME);
     writeFileSync(process.argv[3], JSON.stringify(found));`,
  );
  for (const path of ['', 'cache', 'tmp']) chownSync(join(scratch, path), NOBODY, NOBODY);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs a shell line as `nobody`. `hide`: a directory that is empty for it. `input`: typed at a terminal; without it there is none. */
function asNobody(
  line: string,
  { hide, input }: { readonly hide?: string; readonly input?: string } = {},
): { readonly code: number | null; readonly said: string } {
  const drop = `exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups ${input === undefined ? 'sh -c "$LINE"' : 'script -qefc "$LINE" /dev/null'}`;
  const script = hide === undefined ? drop : `mount -t tmpfs none '${hide}' && ${drop}`;
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script], {
    cwd: scratch,
    encoding: 'utf8',
    input: input ?? '',
    timeout: 240_000,
    env: {
      LINE: line,
      PATH: `${join(scratch, 'sudo-bin')}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
      HOME: scratch,
      TMPDIR: join(scratch, 'tmp'),
      XDG_CACHE_HOME: cache,
      SHELL: '/bin/sh',
    },
  });
  return { code: status, said: `${stdout}${stderr}` };
}

interface Found {
  readonly directory: string;
  readonly source: string;
}
function find(
  tool: string,
  options: { readonly hide?: string; readonly input?: string },
): { readonly found: Found; readonly said: string } {
  const answer = join(scratch, 'tmp', 'found.json');
  const { code, said } = asNobody(`'${node}' find.mjs ${tool} '${answer}'`, options);
  expect({ code, said }).toEqual({ code: 0, said: expect.any(String) });
  return { found: JSON.parse(readFileSync(answer, 'utf8')) as Found, said };
}

const asRoot = process.getuid?.() === 0 ? describe : describe.skip;
asRoot('an ordinary user', () => {
  test('is asked before sudo is used; a yes installs the package by it', () => {
    const { found, said } = find('haproxy', { input: 'y\n' });
    expect(said).toContain('Install haproxy for the whole system with sudo?');
    expect(readFileSync(asked, 'utf8')).toBe(`sh ${join(scratch, 'infra', 'setup', 'apt-install.sh')} haproxy\n`);
    expect(found).toMatchObject({ directory: '/usr/sbin', source: 'package' });
    rmSync(asked);
  }, 60_000);

  test.each([
    ['says no', 'n\n'],
    ['has no terminal', undefined],
  ])(
    'who %s gets it unpacked into a cache of their own, and sudo is not touched',
    (_what, input) => {
      const { found } = find('haproxy', input === undefined ? {} : { input });
      expect(found.source).toBe('unpacked package');
      expect(found.directory.startsWith(join(cache, 'haproxy-'))).toBe(true);
      expect(statSync(found.directory).uid).toBe(NOBODY);
      expect(existsSync(asked)).toBe(false);
      rmSync(join(found.directory, '..'), { recursive: true });
    },
    120_000,
  );

  test('runs PostgreSQL from there on a machine that has none', () => {
    const { found } = find('postgres', { hide: '/usr/lib/postgresql' });
    expect(found.source).toBe('unpacked package');
    const data = join(scratch, 'tmp', 'data');
    const lines = [
      `'${found.directory}/initdb' -D '${data}' -U gameday -A trust --no-sync >/dev/null`,
      `'${found.directory}/pg_ctl' -D '${data}' -w -s -l '${data}/log' -o "-c listen_addresses= -c unix_socket_directories='${scratch}/tmp'" start`,
      `'${found.directory}/psql' -h '${scratch}/tmp' -U gameday -d postgres -Atc "SELECT 40 + 2"`,
      `'${found.directory}/pg_ctl' -D '${data}' -w -s -m immediate stop`,
    ];
    expect(asNobody(lines.join(' && '), { hide: '/usr/lib/postgresql' })).toEqual({ code: 0, said: '42\n' });
  }, 300_000);
});
