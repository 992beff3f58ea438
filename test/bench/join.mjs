/**
 * The ledger join at its size: ten million writes, written by the real ledger writer in blocks as small as the prober's, joined with ten million rows of
 * a real PostgreSQL of its own, from which a few thousand were left out. The join runs in a fresh process, whose time and memory are what is reported.
 * Progress on stderr; the last line on stdout is one JSON line. `node test/bench/join.mjs [writes]`; needs `npm run build`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);
const root = join(dirname(self), '..', '..');
const load = createRequire(join(root, 'dist', 'package.cjs'));

const ADDRESS = { host: '127.0.71.31', port: 5432, user: 'postgres', password: null, database: 'postgres' };
const TABLE = 'probe_000001';
const STREAMS = 4;
const LOST_IN_THE_MIDDLE = 3_000;
const LOST_AT_THE_END = 2_000;
const say = (text) => process.stderr.write(`${text}\n`);
const secondsSince = (began) => Number(process.hrtime.bigint() - began) / 1e9;

/** What the child does: nothing but the join. */
async function joinOnly(dir) {
  const { joinLedger } = load('./probe/join.js');
  const { readSurvivors } = load('./probe/survivors.js');
  const info = { t0: null, synchronousCommit: 'on', joinedOn: 'n1', replicas: [], rpoBytes: null };
  const began = process.hrtime.bigint();
  const rpo = await joinLedger(dir, readSurvivors(ADDRESS, TABLE), info);
  return { rpo, seconds: secondsSince(began), maxRssMb: process.resourceUsage().maxRSS / 1024 };
}

const settings = {
  periodMs: 1,
  writeStreams: STREAMS,
  readStreams: 0,
  paths: [],
  naive: false,
  otherPeriodMs: 50,
  maxConnections: 48,
  clientDeadlineMs: 2_000,
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 1_500,
  minWritesDue: 100,
};

/** Every stream sends once a millisecond and is acknowledged 1.5 ms later: each write() holds one intent and one earlier outcome. */
function writeLedger(dir, writes) {
  const { LedgerWriter } = load('./probe/ledger-writer.js');
  const streams = Array.from({ length: STREAMS }, () => ({ kind: 'write', path: 'entry', client: 'tuned', periodMs: 1 }));
  const header = {
    version: 1,
    drill: 'drill-000001',
    table: TABLE,
    settings,
    nodes: ['n1'],
    streams,
    monotonicZeroNs: '0',
    pid: process.pid,
  };
  const ledger = new LedgerWriter(dir, header, () => 0);
  const acked = (stream, seq) =>
    ledger.add({
      kind: 'outcome',
      stream,
      seq,
      outcome: 'acked',
      doneNs: seq * 1e6 + 1.5e6,
      sqlstate: null,
      xid: 1_000 + (seq - 1) * STREAMS + stream,
      lsn: 1e8 + seq * 200,
      timeline: 1,
      server: null,
    });
  const rounds = writes / STREAMS;
  for (let seq = 1; seq <= rounds; seq += 1) {
    for (let stream = 0; stream < STREAMS; stream += 1) {
      ledger.add({ kind: 'intent', stream, seq, dueNs: seq * 1e6, sentNs: seq * 1e6, connection: stream });
      if (seq > 1) acked(stream, seq - 1);
      ledger.flush();
    }
  }
  for (let stream = 0; stream < STREAMS; stream += 1) acked(stream, rounds);
  ledger.close();
  return ledger.bytes;
}

function startPostgres(base) {
  const { locateTools } = load('./infra/tools.js');
  const { lookUpUser } = load('./core/process.js');
  const owner = process.getuid() === 0 ? lookUpUser('postgres') : null;
  const dir = join(base, 'pg');
  mkdirSync(dir);
  chmodSync(base, 0o755);
  if (owner !== null) chownSync(dir, owner.uid, owner.gid);
  const who = owner === null ? {} : { uid: owner.uid, gid: owner.gid };
  const tool = (name, args) => execFileSync(join(locateTools().postgresBin, name), args, { cwd: dir, stdio: 'ignore', ...who });
  const data = join(dir, 'data');
  tool('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync']);
  const lines = [`listen_addresses = '${ADDRESS.host}'`, `port = ${ADDRESS.port}`, `unix_socket_directories = '${dir}'`, 'fsync = off'];
  appendFileSync(join(data, 'postgresql.conf'), `${lines.join('\n')}\nmax_wal_size = 4GB\n`);
  tool('pg_ctl', ['-D', data, '-l', join(dir, 'log'), '-w', 'start']);
  return () => tool('pg_ctl', ['-D', data, '-m', 'immediate', '-w', 'stop']);
}

async function fillTable(writes) {
  const { withSql } = load('./targets/sql.js');
  const rounds = writes / STREAMS;
  const middle = Math.floor(rounds / 2);
  const left = `NOT (stream = 1 AND seq > ${middle} AND seq <= ${middle + LOST_IN_THE_MIDDLE}) AND NOT (stream = 2 AND seq > ${rounds - LOST_AT_THE_END})`;
  const statements = [
    'CREATE SCHEMA gameday',
    `CREATE TABLE gameday.${TABLE} (stream integer NOT NULL, seq bigint NOT NULL, sent_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
    `INSERT INTO gameday.${TABLE} (stream, seq) SELECT stream, seq FROM generate_series(1, ${rounds}) seq, generate_series(0, ${STREAMS - 1}) stream WHERE ${left}`,
    `CREATE INDEX ${TABLE}_order ON gameday.${TABLE} (stream, seq)`,
  ];
  await withSql(
    ADDRESS,
    async (sql) => {
      for (const statement of statements) await sql.query(statement);
    },
    { queryTimeoutMs: 300_000 },
  );
}

/** Runs the join in a process of its own; its answer, or an error that says how it ended. */
function joinInChild(ledger) {
  const child = spawn(process.execPath, [self, '--join', ledger], { stdio: ['ignore', 'pipe', 'inherit'] });
  let answer = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (answer += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(answer));
      else reject(new Error(`the join ended with ${signal ?? code}`));
    });
  });
}

async function measure(writes) {
  const base = mkdtempSync(join(tmpdir(), 'gameday-join-'));
  let stop = null;
  const clean = () => {
    stop?.();
    rmSync(base, { recursive: true, force: true });
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'])
    process.once(signal, () => {
      say(`the benchmark of the join was ended by ${signal}`);
      clean();
      process.exit(128 + constants.signals[signal]);
    });
  try {
    let began = process.hrtime.bigint();
    const ledger = join(base, 'ledger');
    const bytes = writeLedger(ledger, writes);
    say(`a ledger of ${writes} writes, ${Math.round(bytes / 1e6)} MB, in ${secondsSince(began).toFixed(0)} s`);
    began = process.hrtime.bigint();
    stop = startPostgres(base);
    await fillTable(writes);
    say(`a table with as many rows but ${LOST_IN_THE_MIDDLE + LOST_AT_THE_END}, in ${secondsSince(began).toFixed(0)} s`);
    const { rpo, seconds, maxRssMb } = await joinInChild(ledger);
    const lost = LOST_IN_THE_MIDDLE + LOST_AT_THE_END;
    // The last two of the lost were still under way when the last kept ones were sent.
    const expected = { attempted: writes, acked: writes, kept: writes - lost, lost, holes: lost - 2, phantoms: 0, duplicates: 0 };
    for (const [name, value] of Object.entries(expected))
      if (rpo[name] !== value) throw new Error(`the join found ${name} = ${rpo[name]}, planted were ${value}`);
    return { joinRows: writes, joinSeconds: Number(seconds.toFixed(1)), joinMaxRssMb: Math.round(maxRssMb), lost };
  } finally {
    clean();
  }
}

const [mode, dir] = process.argv.slice(2);
const result = mode === '--join' ? await joinOnly(dir) : await measure(Number(mode ?? 10_000_000));
process.stdout.write(`${JSON.stringify(result)}\n`);
