// The tools of the lab: which versions are good, how each tells its version, and what provides it. Data only; adding a tool is one entry.

const KNOWN_PLACES = ['/usr/local/bin', '/usr/bin', '/usr/sbin', '/sbin', '/bin'];

/** Compares dotted versions number by number: negative, zero or positive. */
export function compareVersions(a, b) {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

const between = (low, below) => (version) => compareVersions(version, low) >= 0 && compareVersions(version, below) < 0;

/**
 * name: key in the manifest · programs: all that must stand in one directory, the first tells the version · places: looked at after PATH
 * good: which versions will do · wanted: what a person is told · debian: pattern of package names and the packages' bin directory
 * go: the pinned module under infra/tools/<name>, its main package, and the linker's name for the version
 */
export const CATALOG = [
  {
    name: 'postgres',
    programs: [
      'postgres',
      'initdb',
      'pg_ctl',
      'pg_basebackup',
      'pg_rewind',
      'pg_controldata',
      'pg_waldump',
      'pg_verifybackup',
      'pg_isready',
      'psql',
    ],
    places: ['/usr/lib/postgresql/18/bin', '/usr/lib/postgresql/17/bin', '/usr/lib/postgresql/16/bin', '/usr/lib/postgresql/15/bin'],
    versionArguments: ['--version'],
    versionPattern: /PostgreSQL\) (\d+(?:\.\d+)*)/,
    good: between('15', '19'),
    wanted: '15 to 18',
    debian: {
      pattern: /^postgresql-(1[5-8])$/,
      search: '^postgresql-[0-9]+$',
      bin: (name) => `usr/lib/postgresql/${name.split('-')[1]}/bin`,
      hint: 'postgresql',
    },
    go: null,
  },
  {
    name: 'haproxy',
    programs: ['haproxy'],
    places: KNOWN_PLACES,
    versionArguments: ['-v'],
    versionPattern: /version (\d+(?:\.\d+)*)/,
    good: between('2.4', '4'),
    wanted: '2.4 or newer',
    debian: { pattern: /^haproxy$/, search: '^haproxy$', bin: () => 'usr/sbin', hint: 'haproxy' },
    go: null,
  },
  {
    name: 'pgbouncer',
    programs: ['pgbouncer'],
    places: KNOWN_PLACES,
    versionArguments: ['--version'],
    versionPattern: /PgBouncer (\d+(?:\.\d+)*)/,
    good: between('1.16', '2'),
    wanted: '1.16 or newer',
    debian: { pattern: /^pgbouncer$/, search: '^pgbouncer$', bin: () => 'usr/sbin', hint: 'pgbouncer' },
    go: null,
  },
  {
    name: 'toxiproxy',
    programs: ['toxiproxy-server'],
    places: KNOWN_PLACES,
    versionArguments: ['--version'],
    versionPattern: /version (\d+(?:\.\d+)*)/,
    good: between('2.5.0', '3'),
    wanted: '2.5',
    debian: null,
    go: {
      version: '2.5.0',
      main: 'github.com/Shopify/toxiproxy/v2/cmd/server',
      symbol: 'github.com/Shopify/toxiproxy/v2.Version',
      about: 40,
    },
  },
  {
    name: 'versitygw',
    programs: ['versitygw'],
    places: KNOWN_PLACES,
    versionArguments: ['--version'],
    versionPattern: /Version\s*: v?(\d+(?:\.\d+)*)/,
    good: between('1.8.0', '2'),
    wanted: '1.8',
    debian: null,
    go: { version: '1.8.0', main: 'github.com/versity/versitygw/cmd/versitygw', symbol: 'main.Version', about: 60 },
  },
  {
    name: 'temporal',
    programs: ['temporal'],
    places: KNOWN_PLACES,
    versionArguments: ['--version'],
    versionPattern: /version (\d+(?:\.\d+)*)/,
    good: between('1.5.1', '2'),
    wanted: '1.5.1 or newer',
    debian: null,
    go: {
      version: '1.5.1',
      main: 'github.com/temporalio/cli/cmd/temporal',
      symbol: 'github.com/temporalio/cli/temporalcli.Version',
      about: 190,
    },
  },
];
