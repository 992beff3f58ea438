/**
 * A target's own runbook on real servers: a shell script promotes, leads the others and the router over, and rewinds the old primary. The ground's cluster is
 * made by the standalone controller, and then belongs to the script alone.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Target } from '../../model/target';
import { createCluster } from '../../targets/controllers/standalone-cluster';
import { nodeSocketDir, upstreamConninfo } from '../../targets/controllers/standalone-config';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';
import { startGround, type Ground } from './standalone-ground';

const NET = '127.0.53';
const never = new AbortController().signal;
let ground: Ground;
let live: LiveTarget;

/** How each node reaches each upstream, in files that the scripts read. */
function writeConninfos(target: Target, dir: string): void {
  for (const node of target.nodes)
    for (const { name } of target.nodes)
      if (name !== node.name)
        writeFileSync(
          join(dir, `${node.name}-${name}`),
          `primary_conninfo = '${upstreamConninfo(target, node, name).replaceAll("'", "''")}'\n`,
        );
}

function writeScripts(target: Target, dir: string): void {
  const [first] = target.nodes;
  if (first === undefined) throw new Error('the ground has nodes');
  const as = first.osUser === null ? '' : `runuser -u ${first.osUser} --`;
  const places = target.nodes.map((node) => `  ${node.name}) data=${node.dataDir} sock=${nodeSocketDir(node)} log=${node.logFile} ;;`);
  const prelude = [
    '#!/bin/sh',
    'set -eu',
    `bin=${first.binDir}`,
    `at() { case $1 in\n${places.join('\n')}\n  esac; }`,
    `as() { ${as} "$@"; }`,
    'up() { at $1; $bin/pg_isready -q -h $sock; }',
    'sql() { at $1; as $bin/psql -qAtX -h $sock -d postgres -c "$2"; }',
    `lead() { at $1; as sh -c "cat ${dir}/$1-$2 > $data/postgresql.auto.conf"; }`,
    `nodes="${target.nodes.map(({ name }) => name).join(' ')}"`,
  ];
  const router = `const s=require("net").connect(${JSON.stringify(target.router.socket)});s.end(process.argv[1]+"\\n");s.resume()`;
  const script = (name: string, lines: readonly string[]): void => {
    writeFileSync(join(dir, name), [...prelude, ...lines, ''].join('\n'));
    chmodSync(join(dir, name), 0o755);
  };
  script('status', ['for n in $nodes; do if [ "$(sql $n "SELECT pg_is_in_recovery()" 2>/dev/null)" = f ]; then echo $n; fi; done']);
  script('failover', [
    'to=$1 from=$2',
    'at $from; if up $from; then as $bin/pg_ctl stop -s -m immediate -D $data; fi',
    'at $to; as $bin/pg_ctl promote -s -w -D $data',
    'for n in $nodes; do if [ $n != $to ] && [ $n != $from ] && up $n; then lead $n $to; as $bin/pg_ctl reload -s -D $data; fi; done',
    `tell() { ${process.execPath} -e '${router}' "$1"; }`,
    'tell "set server primary/$from state maint"; tell "shutdown sessions server primary/$from"; tell "set server primary/$to state ready"',
  ]);
  // A killed server may stand in the process table yet, and its lock files in the way; that is for whoever starts it.
  script('start', [
    'at $1; if up $1; then exit 0; fi',
    'as rm -f $data/postmaster.pid $sock/.s.PGSQL.*; as $bin/pg_ctl start -s -w -D $data -l $log',
  ]);
  script('rejoin', [
    'at $1; own="$data/postgresql.conf $data/pg_hba.conf $data/pg_ident.conf"',
    'if up $1; then as $bin/pg_ctl stop -s -m fast -D $data; fi',
    // The rewind takes over the primary's configuration with everything else.
    'as mkdir -p $data.own; as cp $own $data.own/; target=$data',
    // Until its first checkpoint a promoted primary's control file names the old timeline, and nothing seems to need a rewind.
    'sql $2 CHECKPOINT; at $2; as $bin/pg_rewind -D $target --source-server "host=$sock user=postgres dbname=postgres" >/dev/null 2>&1',
    'at $1; as cp $data.own/* $data/; as touch $data/standby.signal; lead $1 $2',
    'as $bin/pg_ctl start -s -w -D $data -l $log',
  ]);
}

beforeAll(async () => {
  ground = await startGround(NET, 1);
  await createCluster(ground.live);
  await ground.live.router.steer(['n1']);
  const dir = join(ground.dir, 'runbook');
  mkdirSync(dir);
  writeConninfos(ground.target, dir);
  writeScripts(ground.target, dir);
  const target: Target = {
    ...ground.target,
    controller: {
      kind: 'command',
      syncStandbys: 1,
      status: [join(dir, 'status')],
      failover: [join(dir, 'failover'), '{candidate}', '{primary}'],
      rejoin: [join(dir, 'rejoin'), '{node}', '{primary}'],
      expectedMs: 20_000,
    },
    nodes: ground.target.nodes.map((node) => ({
      ...node,
      agent: {
        find: ['sh', '-c', `head -n 1 ${node.dataDir}/postmaster.pid 2>/dev/null || true`],
        start: [join(dir, 'start'), node.name],
      },
    })),
  };
  live = openTarget(target);
}, 60_000);
afterAll(() => ground.close(), 60_000);

const rows = async (node: string): Promise<string | null | undefined> =>
  (await live.sql(node, 'operate', (sql) => sql.query('SELECT count(*) AS n FROM gameday.t')))[0]?.['n'];

test('a lost primary is replaced by the runbook, its fork is saved, and it comes back as a standby', async () => {
  await live.sql('n1', 'operate', (sql) => sql.query('CREATE TABLE gameday.t AS SELECT generate_series(1, 10) AS i'));
  expect(await Promise.all(['n1', 'n2'].map((node) => live.controller.mayWrite(node)))).toEqual([true, false]);
  const before = await live.controller.topology();
  expect([before.primary, Object.keys(before.replication).sort(), before.routed]).toEqual(['n1', ['n2', 'n3'], ['n1']]);

  // Rows that nobody else has: without them there is nothing to save.
  for (const link of live.links?.list().filter(({ to }) => to === 'n1') ?? []) await live.links?.setEnabled(link, false);
  await live.sql('n1', 'operate', async (sql) => {
    await sql.query('SET synchronous_commit = local');
    await sql.query('INSERT INTO gameday.t SELECT generate_series(11, 17)');
  });
  const postmaster = await live.host('n1').postmaster();
  if (postmaster === null) throw new Error('n1 does not run');
  await live.host('n1').killTree(postmaster);
  for (const link of live.links?.list() ?? []) await live.links?.setEnabled(link, true);

  const stamps: string[] = [];
  const order = {
    token: 'drill-000001/failover',
    candidate: 'n3',
    timeoutMs: 20_000,
    signal: never,
    on: async (name: string, phase: string) => void stamps.push(`${name} ${phase}`),
  };
  const result = await live.controller.failover(order);
  expect(result).toMatchObject({ from: 'n1', to: 'n3', timeline: 2 });
  for (const name of ['detect', 'decide', 'promote', 'route', 'follow']) expect(stamps).toContain(`${name} done`);
  expect(await live.router.routed()).toEqual(['n3']);
  expect(await live.controller.failover(order)).toMatchObject({ to: 'n3', timeline: 2 });

  const started = await live.controller.startNode('n1');
  expect(started).toMatchObject({ role: 'fenced', salvage: { node: 'n1', timeline: 1 } });
  expect(started.salvage?.divergedBytes).toBeGreaterThan(0);
  // Fenced, it still shows what it alone held.
  expect(await rows('n1')).toBe('17');
  expect(await live.controller.mayWrite('n3')).toBe(true);
  expect(await live.controller.rejoin('n1', { timeoutMs: 30_000, signal: never })).toEqual({ method: 'follow', movedAside: null });
  const after = await live.controller.topology();
  expect([after.primary, Object.keys(after.replication).sort(), after.routed]).toEqual(['n3', ['n1', 'n2'], ['n3']]);
  expect(after.settings).toEqual(before.settings);
  expect(await rows('n1')).toBe('10');
}, 60_000);
