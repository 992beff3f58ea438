/** The standalone controller on real servers: failover, fencing, salvage and rebuild, with a power cut in the middle of a drill. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { examineFork } from '../../activities/examine-fork';
import { until } from '../../core/clock';
import type { ForkRecord } from '../../model/record';
import type { Target } from '../../model/target';
import { createCluster, currentPrimary, startCluster } from '../../targets/controllers/standalone-cluster';
import { nodeSocketDir } from '../../targets/controllers/standalone-config';
import { epochDir, withEpochLock } from '../../targets/controllers/standalone-epoch';
import { noteUndone } from '../../targets/controllers/standalone-undone';
import type { Controller, LiveTarget, SalvageResult } from '../../targets/ports';
import { startGround, type Ground } from './standalone-ground';

const NET = '127.0.69';
const never = new AbortController().signal;
let ground: Ground;
let watch: { stop(): Promise<readonly string[][]> };

/** Asks every node directly, past all routers, which of them would accept a write; keeps every different answer. */
function watchWriters(): typeof watch {
  const seen: string[][] = [];
  let stopped = false;
  const loop = (async () => {
    while (!stopped) {
      const statuses = await ground.live.controller.status();
      const writers = statuses.filter((node) => node.inRecovery === false).map((node) => node.node);
      if (JSON.stringify(seen.at(-1)) !== JSON.stringify(writers)) seen.push(writers);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await loop;
      return seen;
    },
  };
}

async function kill(node: string): Promise<void> {
  const host = ground.live.host(node);
  const postmaster = await host.postmaster();
  if (postmaster === null) throw new Error(`${node} does not run`);
  const killed = await host.killTree(postmaster);
  expect(killed.length).toBeGreaterThan(3);
  expect(await host.postmaster()).toBeNull();
}

const write = (node: string, sql: string): Promise<unknown> => ground.live.sql(node, 'operate', (connection) => connection.query(sql));
const count = async (node: string): Promise<string | null | undefined> =>
  (await ground.live.sql(node, 'operate', (connection) => connection.query('SELECT count(*) AS n FROM gameday.t')))[0]?.['n'];
const failover = (
  token: string,
  on: (name: string, phase: string) => Promise<void> = async () => undefined,
): ReturnType<Ground['live']['controller']['failover']> =>
  ground.live.controller.failover({ token, candidate: null, timeoutMs: 30_000, on, signal: never });

/** Cuts the links of all standbys to `primary` and commits rows there that no standby can have. */
async function writeUnreplicated(primary: string, rows: number): Promise<void> {
  const links = ground.live.links;
  if (links === null) throw new Error('the ground has links');
  for (const link of links.list().filter((each) => each.to === primary)) await links.setEnabled(link, false);
  await ground.live.sql(primary, 'operate', async (connection) => {
    await connection.query('SET synchronous_commit = local');
    await connection.query(`INSERT INTO gameday.t SELECT generate_series(1, ${rows})`);
    await connection.query('INSERT INTO gameday.probe_fork SELECT 0, generate_series(4, 10)').catch(() => undefined);
  });
}

async function restoreLinks(): Promise<void> {
  for (const link of ground.live.links?.list() ?? []) await ground.live.links?.setEnabled(link, true);
}

beforeAll(async () => {
  ground = await startGround(NET);
  await createCluster(ground.live);
  await startCluster(ground.live);
  await write('n1', 'CREATE TABLE gameday.t (i int)');
}, 120_000);

afterAll(async () => {
  await ground.close();
}, 60_000);

test('creating a cluster again changes nothing', async () => {
  const before = await ground.live.controller.topology();
  const { systemIdentifier } = await createCluster(ground.live);
  expect(systemIdentifier).toBe(before.nodes[0]?.systemIdentifier);
  const after = await ground.live.controller.topology();
  expect(after.settings).toEqual(before.settings);
  expect(after.replication).toEqual({ n2: 'quorum', n3: 'quorum' });
  expect(after.routed).toEqual(['n1']);
}, 60_000);

test('a killed primary is succeeded by the most advanced standby, and its undo brings it back present, not writable', async () => {
  await write('n1', 'INSERT INTO gameday.t SELECT generate_series(1, 100)');
  await write('n1', 'CREATE TABLE gameday.probe_fork (stream integer, seq bigint)');
  await write('n1', 'GRANT SELECT ON gameday.probe_fork TO PUBLIC');
  await write('n1', 'INSERT INTO gameday.probe_fork SELECT 0, generate_series(1, 3)');
  await writeUnreplicated('n1', 5_000);
  watch = watchWriters();
  await kill('n1');
  await restoreLinks();
  const instants: string[] = [];
  const result = await failover('first', async (name, phase) => void instants.push(`${name} ${phase}`));
  expect(instants).toEqual(['detect', 'decide', 'promote', 'route', 'follow'].flatMap((name) => [`${name} about-to`, `${name} done`]));
  expect(result).toMatchObject({ from: 'n1', epoch: 2, timeline: 2 });
  expect(await ground.live.router.routed()).toEqual([result.to]);
  expect(await failover('first')).toEqual(result);

  const started = await ground.live.controller.startNode('n1');
  expect(started.role).toBe('fenced');
  expect(started.salvage?.divergedBytes).toBeGreaterThan(100_000);
  expect(existsSync(join(started.salvage?.directory ?? '', 'pg_control'))).toBe(true);
  await expect(write('n1', 'INSERT INTO gameday.t VALUES (0)')).rejects.toThrow(/read-only/);
  expect(await count('n1')).toBe('5100');
  const probe = { socket: '', dir: ground.dir, table: 'probe_fork' };
  const fork = await examineFork(ground.live, started.salvage!, { plan: { target: ground.target }, probe, survivor: result.to });
  expect(fork.probeRows).toMatchObject({ count: 7 });
  expect(fork.wal).toMatchObject({ commits: 2, aborts: 0, firstCommitAt: expect.stringMatching(/^20.*Z$/) });
  expect('relations' in fork.wal ? fork.wal.relations : []).toEqual(
    expect.arrayContaining([
      { database: 'gameday', relation: 'gameday.t', inserts: 5_000, updates: 0, deletes: 0, other: 0 },
      { database: 'gameday', relation: 'gameday.probe_fork', inserts: 7, updates: 0, deletes: 0, other: 0 },
    ]),
  );
  const rows = gunzipSync(readFileSync(`${started.salvage!.directory}.probe_fork.ndjson.gz`)).toString('utf8');
  expect(
    rows
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { seq: number }).seq),
  ).toEqual([4, 5, 6, 7, 8, 9, 10]);
  expect(await count(result.to)).toBe('100');
  await encryptedOutsideLabs(started.salvage!, fork, result.to);
  for (const writers of await watch.stop()) expect(writers.length).toBeLessThanOrEqual(1);
}, 60_000);

/** The same fork on a target that is no lab: encrypted, gone in the clear, and read by whoever has the key. */
async function encryptedOutsideLabs(salvage: SalvageResult, found: ForkRecord, survivor: string): Promise<void> {
  const [key, certificate] = [join(ground.dir, 'quarantine.key'), join(ground.dir, 'quarantine.pem')];
  const openssl = (...argv: string[]): Buffer => execFileSync('openssl', argv, { stdio: ['ignore', 'pipe', 'ignore'] });
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=q', '-keyout', key, '-out', certificate);
  const target: Target = { ...ground.target, kind: 'staging', quarantine: { certificate } };
  const live = Object.assign(Object.create(ground.live) as LiveTarget, { target });
  const examine = () =>
    examineFork(live, salvage, { plan: { target }, probe: { socket: '', dir: ground.dir, table: 'probe_fork' }, survivor });
  const sealed = await examine();
  expect(sealed).toEqual({
    ...found,
    quarantine: { ...found.quarantine, encrypted: expect.objectContaining({ files: found.quarantine.files }) },
  });
  const beside = readdirSync(dirname(salvage.directory)).filter((name) => name.startsWith(basename(salvage.directory)));
  expect(beside.filter((name) => !name.endsWith('.cms')).sort()).toEqual([`${basename(salvage.directory)}.json`]);
  // An activity that died after it is tried again, and tells the same of what nobody can look into any more.
  expect(await examine()).toEqual(sealed);
  const plain = join(ground.dir, 'decrypted');
  mkdirSync(plain);
  for (const name of readdirSync(`${salvage.directory}.cms`))
    openssl(
      'cms',
      '-decrypt',
      '-binary',
      '-inform',
      'DER',
      '-inkey',
      key,
      '-in',
      join(`${salvage.directory}.cms`, name),
      '-out',
      join(plain, name.slice(0, -4)),
    );
  const argv = ['-p', plain, '-t', String(salvage.timeline), '-s', salvage.forkLsn, '-e', salvage.endLsn];
  const wal = execFileSync(join(ground.target.nodes[0]?.binDir ?? '', 'pg_waldump'), argv, { maxBuffer: 64 << 20 }).toString();
  expect(wal.split('\n').filter((line) => line.includes('desc: COMMIT'))).toHaveLength('commits' in found.wal ? found.wal.commits : -1);
  // The rebuild after this finds it saved.
  expect((await ground.live.controller.startNode('n1')).salvage).toEqual(salvage);
}

test('after a power cut in mid-drill the cluster comes back with one writable node, the old primary fenced and out of the router', async () => {
  const primary = currentPrimary(ground.target);
  await ground.cutPower();
  expect(await ground.live.router.routed()).toEqual([primary]);
  watch = watchWriters();
  const started = await startCluster(ground.live);
  expect(started.find((each) => each.node === 'n1')?.role).toBe('fenced');
  expect(started.filter((each) => each.role === 'primary').map((each) => each.node)).toEqual([primary]);
  await expect(write('n1', 'CREATE TABLE gameday.second ()')).rejects.toThrow(/read-only/);
  await write(primary, 'INSERT INTO gameday.t VALUES (1)');
  expect((await watch.stop()).flat()).not.toContain('n1');
}, 60_000);

test('a fenced node started by hand, past gameday, still does not take writes', async () => {
  const node = ground.target.nodes[0];
  if (node === undefined) throw new Error('n1 is declared');
  await kill('n1');
  // In a container whose init reaps late, PostgreSQL takes the killed postmaster's zombie for a live one.
  for (const lock of [join(node.dataDir, 'postmaster.pid'), join(nodeSocketDir(node), `.s.PGSQL.${node.port}.lock`)])
    await ground.live.host('n1').remove(lock);
  const started = await ground.live
    .host('n1')
    .exec([join(node.binDir, 'pg_ctl'), 'start', '-s', '-w', '-D', node.dataDir, '-l', node.logFile], { asNode: true, timeoutMs: 30_000 });
  expect(started.code).toBe(0);
  await expect(write('n1', 'CREATE TABLE gameday.second ()')).rejects.toThrow(/read-only/);
}, 60_000);

test('the lost node is rebuilt beside its old data, which stays', async () => {
  const primary = currentPrimary(ground.target);
  const result = await ground.live.controller.rejoin('n1', { timeoutMs: 60_000, signal: never });
  expect(result.method).toBe('rebuild');
  expect(existsSync(join(result.movedAside ?? '', 'PG_VERSION'))).toBe(true);
  const topology = await ground.live.controller.topology();
  expect(Object.keys(topology.replication).sort()).toEqual(['n1', 'n2', 'n3'].filter((name) => name !== primary));
  expect(await ground.live.controller.rejoin('n1', { timeoutMs: 60_000, signal: never })).toEqual({
    method: 'streaming',
    movedAside: null,
  });
}, 90_000);

/** Asks for `node` anew. */
const rebuild = (
  node: string,
  signal = never,
  onLook = async (): Promise<void> => undefined,
  token: string = randomUUID(),
): Promise<{ readonly movedAside: string | null }> => {
  const { controller } = ground.live;
  if (controller.rebuild === undefined) throw new Error('this controller makes no standby anew');
  return controller.rebuild(node, { token, timeoutMs: 60_000, signal, onLook });
};

const undoRebuild = async (node: string, token: string): ReturnType<NonNullable<Controller['undoRebuild']>> => {
  const { controller } = ground.live;
  if (controller.undoRebuild === undefined) throw new Error('this controller makes no standby anew');
  return controller.undoRebuild(node, { token, start: true, signal: never });
};

const standby = (): string => {
  const primary = currentPrimary(ground.target);
  const node = ground.target.nodes.find(({ name }) => name !== primary);
  if (node === undefined) throw new Error('a standby is declared');
  return node.name;
};

test('a standby that streams is made anew all the same, beside its old data; a primary is not', async () => {
  const node = standby();
  const looks: string[] = [];
  const { movedAside } = await rebuild(node, never, async () => void looks.push(node));
  // Before it is started, and at least once when it may stream: what lies between is when it began.
  expect(looks.length).toBeGreaterThan(1);
  expect(existsSync(join(movedAside ?? '', 'PG_VERSION'))).toBe(true);
  expect(Object.keys((await ground.live.controller.topology()).replication)).toContain(node);
  await expect(rebuild(currentPrimary(ground.target))).rejects.toMatchObject({ code: 'setting_invalid' });
}, 90_000);

test('a rebuild that is cut off, or cannot have its base backup, leaves the standby streaming and no half copy', async () => {
  const node = standby();
  const { dataDir } = ground.target.nodes.find(({ name }) => name === node) ?? { dataDir: '' };
  const copy = `${dataDir}.rebuild`;
  const halt = new AbortController();
  const cutOff = rebuild(node, halt.signal);
  const began = setInterval(() => existsSync(join(copy, 'PG_VERSION')) && halt.abort(new Error('halted')), 5);
  await expect(cutOff).rejects.toThrow('halted');
  clearInterval(began);
  expect([existsSync(copy), existsSync(dataDir)]).toEqual([false, true]);
  expect(await ground.live.controller.rejoin(node, { timeoutMs: 60_000, signal: never })).toEqual({
    method: 'streaming',
    movedAside: null,
  });

  for (const link of ground.live.links?.list().filter(({ from }) => from === node) ?? []) await ground.live.links?.setEnabled(link, false);
  await expect(rebuild(node)).rejects.toThrow(/the base backup of .* failed/);
  await restoreLinks();
  expect(existsSync(copy)).toBe(false);
  const { method } = await ground.live.controller.rejoin(node, { timeoutMs: 60_000, signal: never });
  expect(['streaming', 'follow']).toContain(method);
}, 120_000);

test('a worker that dies behind the swap leaves the standby down: its undo, or the next try, starts it and knows where the old data is', async () => {
  const node = standby();
  const die = async (): Promise<void> => Promise.reject(new Error('dead'));
  await expect(rebuild(node, never, die, 'first')).rejects.toThrow('dead');
  expect(await ground.live.host(node).postmaster()).toBeNull();
  const undone = await undoRebuild(node, 'first');
  expect(undone).toEqual({ movedAside: expect.stringContaining('.aside-') as string, problem: null });
  expect(await undoRebuild(node, 'first')).toEqual(undone);
  expect(await undoRebuild(node, 'another')).toEqual({ movedAside: null, problem: null });
  await expect(rebuild(node, never, undefined, 'first')).rejects.toMatchObject({ code: 'step_failed' });

  await expect(rebuild(node, never, die, 'second')).rejects.toThrow('dead');
  const { movedAside } = await rebuild(node, never, undefined, 'second');
  expect(movedAside).not.toBe(undone.movedAside);
  expect(await rebuild(node, never, undefined, 'second')).toEqual({ movedAside });
  expect(existsSync(join(movedAside ?? '', 'PG_VERSION'))).toBe(true);
}, 120_000);

const signalCopy = (name: 'STOP' | 'CONT', dataDir: string): boolean =>
  spawnSync('pkill', [`-${name}`, '-f', `pg_basebackup -D ${dataDir}.rebuild `]).status === 0;
/** Held in its midst, as by a slow link. */
const holdCopy = async (dataDir: string): Promise<void> => {
  const hold = (): true | null => signalCopy('STOP', dataDir) || null;
  await until(hold, { timeoutMs: 30_000, everyMs: 2, onTimeout: () => new Error('no base backup began') });
};

test('while a standby is copied nobody waits for it: the epoch’s lock is free; and an undo ends the copy', async () => {
  const node = standby();
  const { dataDir } = ground.target.nodes.find(({ name }) => name === node) ?? { dataDir: '' };
  const cut = rebuild(node, never, undefined, 'cut').catch((error: unknown) => error);
  await holdCopy(dataDir);
  await withEpochLock(epochDir(ground.target), 2_000, async () => undefined);
  expect(await undoRebuild(node, 'cut')).toEqual({ movedAside: null, problem: null });
  expect(existsSync(`${dataDir}.rebuild`)).toBe(false);
  expect(await cut).toMatchObject({ code: 'step_failed' });
}, 90_000);

test('whoever copies on behind its undo, unheard, takes no place: the old data stays in it', async () => {
  const node = standby();
  const { dataDir } = ground.target.nodes.find(({ name }) => name === node) ?? { dataDir: '' };
  const asides = (): readonly string[] => readdirSync(dirname(dataDir)).filter((name) => name.startsWith(`${basename(dataDir)}.aside-`));
  const before = asides();
  const unheard = rebuild(node, never, undefined, 'unheard').catch((error: unknown) => error);
  await holdCopy(dataDir);
  // All that an undo did that died behind its first line.
  await withEpochLock(epochDir(ground.target), 2_000, async () => noteUndone(epochDir(ground.target), 'unheard'));
  expect(signalCopy('CONT', dataDir)).toBe(true);
  expect(await unheard).toMatchObject({ code: 'step_failed', message: expect.stringContaining('the rebuild undone') as string });
  expect([existsSync(`${dataDir}.rebuild`), asides()]).toEqual([false, before]);
  expect(await ground.live.controller.rejoin(node, { timeoutMs: 60_000, signal: never })).toEqual({
    method: 'streaming',
    movedAside: null,
  });
}, 90_000);

test('a worker that dies while the directories are swapped leaves a standby that is rejoined', async () => {
  const node = standby();
  const { dataDir } = ground.target.nodes.find(({ name }) => name === node) ?? { dataDir: '' };
  await kill(node);
  await ground.live.host(node).rename(dataDir, `${dataDir}.aside-of-a-dead-worker`);
  expect(await ground.live.controller.rejoin(node, { timeoutMs: 60_000, signal: never })).toEqual({ method: 'rebuild', movedAside: null });
  expect(Object.keys((await ground.live.controller.topology()).replication)).toContain(node);
}, 90_000);

test('a power cut between decision and promotion leaves nobody writable until the failover is finished at the next start', async () => {
  const old = currentPrimary(ground.target);
  await kill(old);
  const cut = failover('cut short', async (name, phase) => {
    if (name === 'promote' && phase === 'about-to') throw new Error('power cut');
  });
  await expect(cut).rejects.toThrow('power cut');
  const chosen = currentPrimary(ground.target);
  expect(chosen).not.toBe(old);
  expect((await ground.live.controller.startNode(old)).role).not.toBe('primary');
  await expect(write(old, 'INSERT INTO gameday.t VALUES (0)')).rejects.toThrow(/read-only/);
  await ground.cutPower();
  watch = watchWriters();
  await startCluster(ground.live);
  expect((await failover('cut short')).to).toBe(chosen);
  await write(chosen, 'INSERT INTO gameday.t VALUES (2)');
  expect((await watch.stop()).flat().filter((name) => name !== chosen)).toEqual([]);
}, 90_000);

test('a failover that finds no candidate leaves the primary alone', async () => {
  const primary = currentPrimary(ground.target);
  const others = ground.target.nodes.map((node) => node.name).filter((name) => name !== primary);
  for (const name of others) await kill(name);
  await expect(failover('nobody there')).rejects.toMatchObject({ code: 'no_candidate' });
  expect((await ground.live.controller.status()).find((node) => node.node === primary)?.inRecovery).toBe(false);
  await startCluster(ground.live);
}, 60_000);

test('a node that does not start fails the start of the cluster, unless a fault holds it down since', async () => {
  const primary = currentPrimary(ground.target);
  const node = ground.target.nodes.find(({ name }) => name !== primary);
  if (node === undefined) throw new Error('a standby is declared');
  await kill(node.name);
  const occupier = createServer().listen(node.port, node.host);
  await once(occupier, 'listening');
  try {
    await expect(startCluster(ground.live)).rejects.toThrow(`node ${node.name} did not start`);
    let asked = 0;
    const since = async (): Promise<ReadonlySet<string>> => new Set((asked += 1) === 1 ? [] : [node.name]);
    const started = await startCluster(ground.live, since);
    expect(started.map((each) => each.node).sort()).toEqual(['n1', 'n2', 'n3'].filter((name) => name !== node.name));
  } finally {
    occupier.close();
    await once(occupier, 'close');
  }
  expect(await startCluster(ground.live)).toHaveLength(3);
}, 60_000);

test('without its epoch file every node starts fenced, and the error says what to do', async () => {
  const path = join(epochDir(ground.target), 'epoch.json');
  const text = readFileSync(path, 'utf8');
  await ground.cutPower();
  rmSync(path);
  await expect(startCluster(ground.live)).rejects.toMatchObject({
    code: 'epoch_unreadable',
    hint: expect.stringContaining('gameday.epoch') as string,
  });
  const statuses = await ground.live.controller.status();
  expect(statuses.map((node) => node.inRecovery)).toEqual([true, true, true]);
  await ground.live.host('n1').writeFile(path, text);
  const started = await startCluster(ground.live);
  expect(started.filter((each) => each.role === 'primary').map((each) => each.node)).toEqual([currentPrimary(ground.target)]);
}, 90_000);
