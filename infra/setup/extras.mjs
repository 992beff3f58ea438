// Parts of the distribution that single features need and no server of the lab: installed as root from Debian packages, and never insisted on.
// What is missing is said once; the feature refuses itself, with the reason, where somebody asks for it.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hasApt, installPackage, isRoot } from './debian.mjs';
import { onPath } from './find.mjs';
import { ensureOscalSchema } from './oscal-schema.mjs';
import { cacheRoot } from './places.mjs';
import { say, SetupError } from './progress.mjs';

function hasFaketime() {
  const places = ['/usr/lib', '/usr/lib64', '/usr/local/lib'].filter((place) => existsSync(place));
  const below = places.flatMap((place) => [place, ...readdirSync(place).map((name) => join(place, name))]);
  return below.some((place) => existsSync(join(place, 'faketime', 'libfaketime.so.1')));
}

const EXTRAS = [
  { name: 'libfaketime', for: 'the fault clock-skew', present: () => hasFaketime() },
  {
    name: 'iptables',
    for: 'the faults host-net-cut and host-stop',
    present: (env) => onPath('iptables', env) !== null || onPath('nft', env) !== null,
  },
  { name: 'patroni', for: '`lab up --topology patroni`', present: () => existsSync('/usr/bin/patroni') },
  { name: 'etcd-server', for: '`lab up --topology patroni`', present: () => existsSync('/usr/bin/etcd') },
  { name: 'pg-auto-failover-cli', for: '`lab up --topology pg-auto-failover`', present: () => existsSync('/usr/bin/pg_autoctl') },
  {
    name: 'postgresql-15-auto-failover',
    for: '`lab up --topology pg-auto-failover`',
    present: () => existsSync('/usr/lib/postgresql/15/lib/pgautofailover.so'),
  },
  { name: 'openssh-client', for: 'approvals of drills on production', present: (env) => onPath('ssh-keygen', env) !== null },
];

/** What the tests need besides; installed, never started. */
const FOR_TESTS = [
  { name: 'openssh-server', for: 'the test of hosts behind ssh', present: () => existsSync('/usr/sbin/sshd') },
  { name: 'sudo', for: 'the test of hosts behind ssh', present: () => existsSync('/usr/bin/sudo') },
  {
    name: 'postgresql-15-repmgr',
    for: 'the test of clusters under repmgr',
    present: () => existsSync('/usr/lib/postgresql/15/bin/repmgrd') && existsSync('/usr/lib/postgresql/15/lib/repmgr.so'),
  },
  { name: 'pgbackrest', for: 'tests of archives that pgBackRest made', present: (env) => onPath('pgbackrest', env) !== null },
  {
    name: 'barman-cli-cloud',
    for: 'tests of archives that barman-cloud made',
    present: (env) => onPath('barman-cloud-backup', env) !== null,
  },
  { name: 'nftables', for: 'the test of host-net-cut without iptables', present: (env) => onPath('nft', env) !== null },
  { name: 'iproute2', for: 'the test of hosts in containers', present: (env) => onPath('ip', env) !== null },
  { name: 'docker.io', for: 'the test of hosts in containers', present: () => existsSync('/usr/sbin/dockerd') },
  { name: 'chromium', for: 'the test of the report in a browser', present: (env) => onPath('chromium', env) !== null },
];

/** Says what is missing and goes on; the test that needs it says so again. */
async function ensureSchema(env) {
  try {
    await ensureOscalSchema(cacheRoot(env), env);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`without NIST’s schema of OSCAL: its test is not possible (${error.message.split('\n')[0]})`);
  }
}

export async function ensureExtras(env = process.env, { forTests = false } = {}) {
  if (forTests) await ensureSchema(env);
  for (const extra of (forTests ? FOR_TESTS : EXTRAS).filter((each) => !each.present(env))) {
    try {
      if (!isRoot() || !hasApt(env)) throw new SetupError('it is installed by root only');
      await installPackage(extra.name);
      say(`${extra.name} · package`);
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      say(`without ${extra.name}: ${extra.for} is not possible (apt-get install ${extra.name})`);
    }
  }
}
