/**
 * Planted loss: a real prober's ledger against a real PostgreSQL of its own, from which acknowledged writes were removed, doubled or forged; and two ways in
 * which replication loses them by itself. What the join finds is compared with what a plain count over entries and rows says. Listens on 127.0.71.x only.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { lookUpUser, run } from '../../core/process';
import { locateTools } from '../../infra/tools';
import type { RpoMeasurement } from '../../model/measurement';
import { openProber } from '../../probe/client';
import type { ProberConfig } from '../../probe/contract';
import { joinLedger, type JoinInfo } from '../../probe/join';
import { judgeLedger } from '../../probe/judge';
import { packLedger } from '../../probe/ledger-pack';
import { ledgerIn } from '../../probe/ledger-reader';
import { readSurvivors, writeBarrier } from '../../probe/survivors';
import { withSql, type Sql, type SqlAddress } from '../../targets/sql';
import { createPostgres, type OwnPostgres } from './own-servers';

const PORT = 5432;
const addressOf = (host: string): SqlAddress => ({ host, port: PORT, user: 'postgres', password: null, database: 'postgres' });
const [n1, n2, n3] = ['127.0.71.21', '127.0.71.22', '127.0.71.23'].map(addressOf) as [SqlAddress, SqlAddress, SqlAddress];
/** Through here n3 hears of n1's WAL. */
const WIRE = '127.0.71.24';
const settings = {
  periodMs: 2,
  writeStreams: 8,
  readStreams: 0,
  paths: [],
  naive: false,
  otherPeriodMs: 50,
  maxConnections: 40,
  clientDeadlineMs: 1_000,
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 800,
  minWritesDue: 100,
};
const INFO: JoinInfo = { t0: null, synchronousCommit: 'local', joinedOn: 'n1', replicas: [], rpoBytes: null };

let base: string;
let primary: OwnPostgres;
const standbys: { stop(): Promise<void> }[] = [];
const probers: ChildProcess[] = [];
const wire = { server: null as Server | null, sockets: new Set<Socket>() };

const owner = process.getuid?.() === 0 ? lookUpUser('postgres') : null;

async function tool(name: string, args: readonly string[]): Promise<void> {
  const who = owner === null ? {} : { uid: owner.uid, gid: owner.gid };
  const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C' };
  const result = await run([join(locateTools().postgresBin, name), ...args], { timeoutMs: 60_000, cwd: '/', env, ...who });
  if (result.code !== 0) throw new Error(`${name}: ${result.stderr}`);
}

/** A streaming standby of n1; `from` is the address at which it hears of WAL. */
async function startStandby(name: string, { host }: SqlAddress, from: string): Promise<void> {
  const dir = join(base, 'n1', name);
  await tool('pg_basebackup', ['-D', dir, '-h', n1.host, '-p', String(PORT), '-U', 'postgres', '-c', 'fast', '-N']);
  appendFileSync(
    join(dir, 'postgresql.conf'),
    `listen_addresses = '${host}'\nunix_socket_directories = ''\nprimary_conninfo = 'host=${from} port=${PORT} user=postgres application_name=${name}'\n`,
  );
  writeFileSync(join(dir, 'standby.signal'), '');
  if (owner !== null) chmodSync(join(dir, 'standby.signal'), 0o644);
  await tool('pg_ctl', ['start', '-w', '-s', '-D', dir, '-l', `${dir}.log`]);
  standbys.push({ stop: () => tool('pg_ctl', ['stop', '-s', '-m', 'immediate', '-D', dir]) });
}

beforeAll(async () => {
  base = mkdtempSync('/tmp/gd-loss-');
  chmodSync(base, 0o755);
  primary = await createPostgres({ dir: join(base, 'n1'), host: n1.host, port: PORT, settings: ['autovacuum = off'] });
  await primary.start();
  await withSql(n1, (sql) => sql.query('CREATE SCHEMA gameday'));
  wire.server = createServer((inside) => {
    const outside = connect(PORT, n1.host);
    for (const [a, b] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      wire.sockets.add(a);
      a.on('error', () => b.destroy()).on('close', () => b.destroy());
      a.pipe(b);
    }
  });
  await new Promise<void>((resolve) => wire.server?.listen(PORT, WIRE, resolve));
  await startStandby('n2', n2, n1.host);
  await startStandby('n3', n3, WIRE);
}, 60_000);

function cutWire(): void {
  wire.server?.close();
  for (const socket of wire.sockets) socket.destroy();
}

afterAll(async () => {
  for (const prober of probers) prober.kill('SIGKILL');
  cutWire();
  await Promise.allSettled([primary.stop('immediate'), ...standbys.map((standby) => standby.stop())]);
  rmSync(base, { recursive: true, force: true });
}, 30_000);

async function startProber(
  table: string,
  hosts: readonly SqlAddress[],
  nodes: Readonly<Record<string, SqlAddress>>,
): Promise<ProberConfig> {
  const dir = join(base, table);
  mkdirSync(dir);
  const role = { user: 'postgres', password: null };
  const config: ProberConfig = {
    drill: 'drill-000001',
    dir,
    socket: join(dir, 'prober.sock'),
    paths: [{ name: 'entry', hosts: hosts.map(({ host, port }) => ({ host, port })), database: 'postgres' }],
    role,
    table,
    settings,
    nodes: Object.entries(nodes).map(([name, { host, port }]) => ({ name, host, port })),
    observe: role,
    controller: null,
    leaseMs: 60_000,
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const program = join(process.env['GAMEDAY_DIST'] ?? join(packageRoot(), 'dist'), 'probe', 'prober.js');
  probers.push(spawn(process.execPath, [program, join(dir, 'config.json')], { stdio: 'inherit' }));
  return config;
}

/** Waits until the prober has got that many acknowledgements beyond `since`. Returns how many it has. */
async function acknowledged(config: ProberConfig, more: number, since = 0): Promise<number> {
  const enough = async (): Promise<number | null> => {
    const { acked } = await openProber(config.socket).status();
    return acked >= since + more ? acked : null;
  };
  return until(enough, {
    timeoutMs: 30_000,
    onTimeout: (last) => new Error(`${more} more acknowledgements did not come: ${String(last)}`),
  });
}

interface Write {
  readonly stream: number;
  readonly seq: number;
  readonly sentNs: number;
  readonly doneNs: number;
  readonly timeline: number | null;
}
const key = ({ stream, seq }: { readonly stream: number; readonly seq: number }): string => `${stream}/${seq}`;

/** The ledger, read the plain way: acknowledged writes in the order of their acknowledgements, the rejected ones, and when a node was first seen as primary. */
async function readLedger(dir: string): Promise<{ acked: Write[]; rejected: string[]; primarySinceNs: (node: string) => number }> {
  const sent = new Map<string, number>();
  const acked: Write[] = [];
  const rejected: string[] = [];
  const primaries = new Map<string, number>();
  for await (const batch of ledgerIn(dir).batches()) {
    for (const entry of batch) {
      if (entry.kind === 'intent') sent.set(key(entry), entry.sentNs);
      if (entry.kind === 'outcome' && entry.outcome === 'rejected') rejected.push(key(entry));
      if (entry.kind === 'outcome' && entry.outcome === 'acked') acked.push({ ...entry, sentNs: sent.get(key(entry)) as number });
      if (entry.kind === 'sample' && entry.role === 'primary' && !primaries.has(entry.node)) primaries.set(entry.node, entry.answeredNs);
    }
  }
  acked.sort((a, b) => a.doneNs - b.doneNs);
  return { acked, rejected, primarySinceNs: (node) => primaries.get(node) ?? Infinity };
}

async function rowsOn(address: SqlAddress, table: string): Promise<Set<string>> {
  const rows = await withSql(address, (sql) =>
    sql.query(`SELECT stream::text || '/' || seq AS name FROM gameday.${table} WHERE stream >= 0`),
  );
  return new Set(rows.map(({ name }) => name as string));
}

/** MEASUREMENT.md: a lost write W and a kept write K on the same timeline where K was sent after W was acknowledged. */
function holesIn(lost: readonly Write[], kept: readonly Write[]): number {
  const last = new Map<number | null, number>();
  for (const { timeline, sentNs } of kept) last.set(timeline, Math.max(last.get(timeline) ?? -Infinity, sentNs));
  return lost.filter(({ timeline, doneNs }) => doneNs < (last.get(timeline) ?? -Infinity)).length;
}

describe('planted loss', () => {
  const TABLE = 'probe_000001';
  let dir: string;
  let acked: Write[];
  let rejected: string[];
  /** Joins with a copy of the table to which `statements` were done. */
  async function joinWith(statements: readonly string[]): Promise<RpoMeasurement> {
    await withSql(n1, async (sql) => {
      await sql.query('DROP TABLE IF EXISTS gameday.planted');
      await sql.query(`CREATE TABLE gameday.planted AS SELECT stream, seq FROM gameday.${TABLE}`);
      await sql.query('CREATE INDEX planted_order ON gameday.planted (stream, seq)');
      for (const statement of statements) await sql.query(statement);
    });
    return joinLedger(dir, readSurvivors(n1, 'planted'), INFO);
  }
  const removing = (writes: readonly Write[]): string[] =>
    writes.length === 0
      ? []
      : [
          `DELETE FROM gameday.planted WHERE (stream, seq) IN (VALUES ${writes.map(({ stream, seq }) => `(${stream}, ${seq})`).join(', ')})`,
        ];

  beforeAll(async () => {
    // One attempt of a hundred is refused by the server, so that there are rejected ones.
    await withSql(n1, (sql) =>
      sql.query(
        `CREATE TABLE gameday.${TABLE} (stream integer NOT NULL, seq bigint NOT NULL CHECK (seq % 100 <> 50), sent_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
      ),
    );
    const config = await startProber(TABLE, [n1], { n1 });
    await acknowledged(config, 14_000);
    await openProber(config.socket).stop();
    await writeBarrier(n1, TABLE);
    dir = config.dir;
    ({ acked, rejected } = await readLedger(dir));
  }, 60_000);

  it('finds nothing where nothing was planted, also in the packed ledger', async () => {
    const whole = await joinWith([]);
    expect(whole).toMatchObject({
      acked: acked.length,
      kept: acked.length,
      lost: 0,
      holes: 0,
      duplicates: 0,
      phantoms: 0,
      splitBrainWrites: 0,
    });
    expect(acked.length).toBeGreaterThanOrEqual(14_000);
    expect(rejected.length).toBeGreaterThan(50);
    expect(await packLedger(dir)).toEqual({ packed: ['ledger-000001.gdl.gz'], left: [] });
    expect(await joinWith([])).toEqual(whole);
  }, 30_000);

  it.each([0, 1, 2, 399, 10_000])('finds %i acknowledged writes that were removed at the end, and no hole', async (count) => {
    const lost = acked.slice(acked.length - count);
    const rpo = await joinWith(removing(lost));
    expect(rpo).toMatchObject({ lost: count, kept: acked.length - count, holes: 0, phantoms: 0, duplicates: 0 });
    expect(rpo.lostByTimeline).toEqual(count === 0 ? [] : [{ timeline: 1, lost: count }]);
    const first = lost.map(({ stream, seq }) => ({ stream, seq })).sort((a, b) => a.stream - b.stream || a.seq - b.seq);
    expect(rpo.lostSample).toEqual(first.slice(0, 20));
    const ms = count === 0 ? 0 : ((acked.at(-1) as Write).doneNs - (lost[0] as Write).doneNs) / 1e6;
    expect(rpo.rpoTimeMs.lowMs).toBeCloseTo(ms, 6);
  });

  it.each([1, 2, 399, 10_000])('finds %i acknowledged writes that were removed in the middle, each a hole', async (count) => {
    const lost = acked.slice(1_000, 1_000 + count);
    expect(holesIn(lost, [...acked.slice(0, 1_000), ...acked.slice(1_000 + count)])).toBe(count);
    expect(await joinWith(removing(lost))).toMatchObject({ lost: count, holes: count, phantoms: 0, duplicates: 0 });
  });

  it('calls lost writes a hole only if a kept one was sent after they were acknowledged', async () => {
    // Every other one of the last 200: at the very end lost and kept ones were under way at the same time.
    const lost = acked.slice(-200).filter((_, at) => at % 2 === 0);
    const gone = new Set(lost.map(key));
    const kept = acked.filter((write) => !gone.has(key(write)));
    const holes = holesIn(lost, kept);
    expect(holes).toBeLessThan(lost.length);
    expect(await joinWith(removing(lost))).toMatchObject({ lost: lost.length, holes });
  });

  it('finds rows that came twice, rows that nobody wrote, and rows of rejected attempts', async () => {
    const [once, thrice] = [acked[100] as Write, acked[200] as Write];
    const forged = rejected.slice(0, 7).map((name) => `(${name.replace('/', ', ')})`);
    const rpo = await joinWith([
      `INSERT INTO gameday.planted VALUES (${once.stream}, ${once.seq}), (${thrice.stream}, ${thrice.seq}), (${thrice.stream}, ${thrice.seq})`,
      `INSERT INTO gameday.planted VALUES (0, 1000000000), (0, 1000000000), (77, 1), (3, 0)`,
      `INSERT INTO gameday.planted VALUES ${forged.join(', ')}`,
    ]);
    expect(rpo).toMatchObject({ lost: 0, holes: 0, kept: acked.length, duplicates: 3, phantoms: 4 + 7 });
  });
});

describe('reading the survivors', () => {
  const ROWS = 400_000;
  const copying = (sql: Sql): Promise<readonly { readonly [column: string]: string | null }[]> =>
    sql.query(`SELECT pid::text, wait_event FROM pg_stat_activity WHERE query LIKE '%COPY (SELECT stream%' AND pid <> pg_backend_pid()`);
  /** Until the server waits for a reader that is behind. */
  const waiting = (): Promise<string> =>
    withSql(n1, (sql) =>
      until(async () => (await copying(sql)).find(({ wait_event }) => wait_event === 'ClientWrite')?.pid ?? null, {
        timeoutMs: 10_000,
        onTimeout: () => new Error('the server never waited for its reader'),
      }),
    );

  beforeAll(() =>
    withSql(
      n1,
      async (sql) => {
        await sql.query('CREATE TABLE gameday.many (stream integer NOT NULL, seq bigint NOT NULL)');
        await sql.query(`INSERT INTO gameday.many SELECT seq % 3, 5000000000 + seq FROM generate_series(1, ${ROWS}) seq ORDER BY random()`);
        await sql.query('INSERT INTO gameday.many VALUES (-1, 0), (2, 9007199254740991)');
        await sql.query('CREATE INDEX many_order ON gameday.many (stream, seq)');
      },
      { queryTimeoutMs: 30_000 },
    ),
  );

  it('yields every row in order and no barrier, and holds the server back while it is not asked', async () => {
    const batches = readSurvivors(n1, 'many')[Symbol.asyncIterator]();
    let [rows, last] = [0, [-1, 0] as readonly [number, number]];
    for (let next = await batches.next(); next.done !== true; next = await batches.next()) {
      if (rows === 0) await waiting();
      const { count, streams, seqs } = next.value;
      rows += count;
      for (let at = 0; at < count; at += 1) {
        const row = [streams[at] as number, seqs[at] as number] as const;
        if (row[0] < last[0] || (row[0] === last[0] && row[1] < last[1])) throw new Error(`${String(row)} came after ${String(last)}`);
        last = row;
      }
    }
    expect([rows, last]).toEqual([ROWS + 1, [2, 9_007_199_254_740_991]]);
  }, 30_000);

  it('fails when the connection breaks on the way: a part of the rows is never taken for all', async () => {
    const read = async (): Promise<number> => {
      let rows = 0;
      for await (const { count } of readSurvivors(n1, 'many')) {
        if (rows === 0) {
          const pid = await waiting();
          await withSql(n1, (sql) => sql.query(`SELECT pg_terminate_backend(${pid})`));
        }
        rows += count;
      }
      return rows;
    };
    await expect(read()).rejects.toMatchObject({ code: 'database_unreachable', message: expect.stringContaining(n1.host) });
  }, 30_000);

  it('leaves no copy behind when its reader stops early, and finds no rows in a table that is not there', async () => {
    for await (const { count } of readSurvivors(n1, 'many')) {
      expect(count).toBeGreaterThan(0);
      break;
    }
    const none = async (): Promise<true | null> => ((await withSql(n1, copying)).length === 0 ? true : null);
    await until(none, { timeoutMs: 10_000, onTimeout: () => new Error('the copy still runs') });
    for await (const batch of readSurvivors(n1, 'never_made')) throw new Error(`rows: ${batch.count}`);
  }, 30_000);
});

describe('loss by replication', () => {
  it('counts what an old primary acknowledged after another was promoted behind its back: split-brain writes, lost, and no hole', async () => {
    const config = await startProber('probe_000002', [n1], { n1, n2 });
    await acknowledged(config, 1_000);
    await withSql(n2, (sql) => sql.query('SELECT pg_promote()'), { queryTimeoutMs: 20_000 });
    const seen = async (): Promise<number | null> => {
      const { nodes, acked } = await openProber(config.socket).status();
      return nodes.some(({ node, role }) => node === 'n2' && role === 'primary') ? acked : null;
    };
    const then = await until(seen, { timeoutMs: 20_000, onTimeout: () => new Error('the sampler did not see n2 as primary') });
    await acknowledged(config, 1_000, then);
    await openProber(config.socket).stop();
    await writeBarrier(n2, config.table);
    const { acked, primarySinceNs } = await readLedger(config.dir);
    const survived = await rowsOn(n2, config.table);
    const lost = acked.filter((write) => !survived.has(key(write)));
    const rpo = await joinLedger(config.dir, readSurvivors(n2, config.table), { ...INFO, joinedOn: 'n2' });
    expect(lost.length).toBeGreaterThan(500);
    expect(rpo).toMatchObject({
      acked: acked.length,
      lost: lost.length,
      lostByTimeline: [{ timeline: 1, lost: lost.length }],
      holes: 0,
      splitBrainWrites: acked.filter(({ sentNs }) => sentNs > primarySinceNs('n2')).length,
      phantoms: 0,
      duplicates: 0,
    });
    expect(rpo.splitBrainWrites).toBeGreaterThan(500);
    // None of them came to the new primary.
    expect(acked.filter((write) => write.sentNs > primarySinceNs('n2') && survived.has(key(write)))).toEqual([]);
    const judged = await judgeLedger(config.dir, { settings, steady: STEADY, faults: [], fromMs: null, toMs: null });
    expect(judged.splitBrain.map(({ nodes }) => nodes)).toEqual([['n1', 'n2']]);
  }, 60_000);

  it('finds what an ordinary asynchronous failover loses, to the write, and calls none of it a hole', async () => {
    const config = await startProber('probe_000003', [n1, n3], { n1, n3 });
    const before = await acknowledged(config, 1_000);
    cutWire();
    await acknowledged(config, 400, before);
    await primary.stop('immediate');
    const acks = await acknowledged(config, 0);
    await withSql(n3, (sql) => sql.query('SELECT pg_promote()'), { queryTimeoutMs: 20_000 });
    await acknowledged(config, 500, acks);
    await openProber(config.socket).stop();
    await writeBarrier(n3, config.table);
    const { acked } = await readLedger(config.dir);
    const survived = await rowsOn(n3, config.table);
    const lost = acked.filter((write) => !survived.has(key(write)));
    const kept = acked.filter((write) => survived.has(key(write)));
    const judged = await judgeLedger(config.dir, { settings, steady: STEADY, faults: [], fromMs: null, toMs: null });
    const t0 = judged.rto.outages[0]?.t0 ?? null;
    const rpo = await joinLedger(config.dir, readSurvivors(n3, config.table), { ...INFO, t0, joinedOn: 'n3' });
    expect(lost.length).toBeGreaterThanOrEqual(300);
    expect(kept.filter(({ timeline }) => timeline === 2).length).toBeGreaterThan(400);
    expect(rpo).toMatchObject({
      lost: lost.length,
      kept: kept.length,
      lostByTimeline: [{ timeline: 1, lost: lost.length }],
      holes: 0,
      splitBrainWrites: 0,
      phantoms: 0,
      duplicates: 0,
    });
    // Kept ones were sent after lost ones were acknowledged, but to another timeline: that is no hole.
    expect(kept.some(({ sentNs }) => sentNs > (lost[0] as Write).doneNs)).toBe(true);
    const lastMs = Math.max(...acked.filter(({ timeline }) => timeline === 1).map(({ doneNs }) => doneNs)) / 1e6;
    const oldestMs = (lost[0] as Write).doneNs / 1e6;
    expect(rpo.rpoTimeMs.lowMs).toBeLessThanOrEqual(lastMs - oldestMs);
    expect(rpo.rpoTimeMs.highMs).toBeGreaterThanOrEqual(lastMs - oldestMs);
    expect(rpo.recoveryPointAgeMs?.highMs).toBeGreaterThanOrEqual(rpo.rpoTimeMs.lowMs);
  }, 60_000);
});

const STEADY = {
  windowMs: 500,
  timeoutMs: 10_000,
  successRatio: 0.99,
  maxP99Ms: 500,
  recoveryFactor: 2,
  recoveryFloorMs: 500,
  recoveryWindowMs: 200,
};
