/**
 * Personal data planted where a drill could pick it up, on a real server: in tables, in errors of every kind, in notices, names of sessions, roles and restore
 * points, in statements that are logged, in the answers to a scenario's own SQL. None of it may reach the bundle, whichever way its bytes are written there.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { check } from '../../activities/check-activities';
import type { SealInput, SealResult } from '../../activities/contract';
import { keepExcerpts, noteMarks } from '../../activities/excerpt-files';
import { judge } from '../../activities/judge-activities';
import { register } from '../../activities/register-activities';
import { seal } from '../../activities/seal-activities';
import { until } from '../../core/clock';
import { sha256Hex } from '../../core/files';
import { encodePlan } from '../../evidence/bundle';
import { openSigner } from '../../evidence/signing';
import { verifyBundle } from '../../evidence/verify';
import { locateTools } from '../../infra/tools';
import type { EventBody } from '../../model/event';
import type { CheckSpec, Plan } from '../../model/plan';
import type { CheckResult } from '../../model/record';
import { openTarget } from '../../targets/open-target';
import { withSql } from '../../targets/sql';
import { evaluateStop } from '../../targets/stop-checks';
import { bundleTexts, findWords } from '../fixtures/bundle-text';
import { measure, planFor } from '../fixtures/sealed-drill';
import { createPostgres, freePort, type OwnPostgres } from './own-servers';

const HOST = '127.0.52.1';
/** Nobody's, and unlike anything else in a bundle. */
const NAME = 'Zedekiah Plantagenette';
const MAIL = 'zedekiah@plantagenette.example';
const PHONE = '4915199988877';
const PLANTED = [NAME, MAIL, PHONE, 'Plantagenette', 'plantagenette', 'Zedekiah'];

const dir = mkdtempSync(join(tmpdir(), 'gd-planted-'));
chmodSync(dir, 0o755);
let postgres: OwnPostgres;
let port: number;
let plan: Plan;
const home = join(dir, 'home');
const hand = { home, isRunning: () => Promise.resolve(true) };

const sql = (...statements: readonly string[]): Promise<void> =>
  withSql({ host: HOST, port, user: 'postgres', password: null, database: 'postgres' }, async (connection) => {
    for (const statement of statements) await connection.query(statement);
  });
/** Statements that fail on purpose, each in a session of its own. */
const fails = async (statement: string): Promise<void> => expect(sql(statement)).rejects.toThrow();

beforeAll(async () => {
  mkdirSync(home);
  port = await freePort(HOST);
  postgres = await createPostgres({
    dir: join(dir, 'pg'),
    host: HOST,
    port,
    settings: [
      "log_statement = 'all'",
      "log_line_prefix = '%m [%p] %u@%d %a '",
      'log_connections = on',
      'log_error_verbosity = verbose',
      'wal_level = replica',
    ],
  });
  await postgres.start();
  const sample = planFor({});
  const [node] = sample.target.nodes;
  if (node === undefined) throw new Error('the sample has no node');
  const osUser = process.getuid?.() === 0 ? 'postgres' : null;
  const role = { user: 'postgres', password: null };
  plan = {
    ...sample,
    target: {
      ...sample.target,
      systemIdentifier: postgres.systemIdentifier,
      nodes: [
        { ...node, host: HOST, port, dataDir: postgres.dataDir, binDir: locateTools().postgresBin, osUser, logFile: postgres.logFile },
      ],
      entry: { host: HOST, port, database: 'postgres' },
      roles: { operate: role, observe: role, probe: role, replicate: role },
    },
  };
}, 60_000);

afterAll(async () => {
  await postgres.stop('immediate').catch(() => undefined);
  rmSync(dir, { recursive: true, force: true });
});

async function plant(): Promise<void> {
  await sql(
    `SET application_name = '${NAME}'`,
    'CREATE TABLE people (name text PRIMARY KEY, mail text, phone bigint CHECK (phone < 5))',
    `INSERT INTO people VALUES ('${NAME}', '${MAIL}', 1)`,
    `CREATE TABLE phones AS SELECT ${PHONE}::bigint AS number`,
    `CREATE ROLE "${MAIL}" LOGIN`,
    `CREATE FUNCTION told() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the customer ${NAME} is not known' USING DETAIL = '${MAIL}', HINT = '${PHONE}'; END $$`,
    `SELECT pg_create_restore_point('${NAME}')`,
    `DO $$ BEGIN RAISE LOG '${NAME} redo starts at 0/4000028'; RAISE WARNING '${MAIL}'; RAISE NOTICE '${PHONE}'; END $$`,
  );
  for (const statement of [
    `INSERT INTO people VALUES ('${NAME}', 'x', 1)`,
    `INSERT INTO people VALUES ('x', '${MAIL}', ${PHONE})`,
    `SELECT '${NAME}'::int`,
    `SELECT * FROM "${NAME}"`,
    'SELECT told()',
    `DO $$ BEGIN RAISE EXCEPTION '${NAME}' USING ERRCODE = '42P01'; END $$`,
  ])
    await fails(statement);
}

/** A standby for a moment, then promoted: what its log says of that, and a second timeline. */
async function promote(): Promise<void> {
  await postgres.stop('fast');
  writeFileSync(join(postgres.dataDir, 'standby.signal'), '');
  await postgres.start();
  await sql('SELECT pg_promote()');
  await until(
    async () =>
      await sql('DO $$ BEGIN ASSERT NOT pg_is_in_recovery(); END $$').then(
        () => true,
        () => null,
      ),
    {
      timeoutMs: 20_000,
      onTimeout: () => new Error('it was not promoted'),
    },
  );
}

const inActivity = <T>(work: () => Promise<T>, attempt = 1): Promise<T> =>
  new MockActivityEnvironment({ attempt }).run<[], T, () => Promise<T>>(work);
const ask = (text: string, expect: string): Promise<CheckResult> => {
  const spec: CheckSpec = { kind: 'sql', on: 'every-node', sql: text, expect, withinMs: 0 };
  return inActivity(() => check({ plan, check: spec, sandbox: null }));
};
const told = (step: string, kind: string, text: string): EventBody => ({
  drill: '',
  writer: 'workflow',
  step,
  kind,
  attempt: 1,
  at: new Date().toISOString(),
  actor: 'mira',
  text,
  facts: {},
});

test('personal data in tables, logs and errors of the database is nowhere in the bundle, and the story of the servers is', async () => {
  const planSha256 = sha256Hex(encodePlan(plan));
  const registration = await inActivity(() =>
    register(hand, { plan, planSha256, owner: { workflowId: 'drill/7', runId: 'a' }, startedBy: 'mira' }),
  );
  const drill = { drill: registration.drill, sequence: registration.sequence, workflowId: 'drill/7', runId: 'a' };
  const ledger = join(home, 'probes', `sample-${drill.drill}`);
  mkdirSync(ledger, { recursive: true });
  const live = openTarget(plan.target);
  await noteMarks(live, ledger);
  await plant();
  await promote();

  // What a scenario asks: the answers and the errors become outputs of steps, events and reasons.
  const answers = [
    await ask('SELECT name FROM people', 'somebody else'),
    await ask('SELECT told()', 't'),
    await ask('SELECT number FROM phones', 't'),
  ];
  expect(answers.map(({ ok }) => ok)).toEqual([false, false, false]);
  expect(await ask('SELECT count(*) FROM people', '2')).toMatchObject({ ok: false, found: '1', expected: '2' });
  const stop = await evaluateStop(live, { kind: 'sql', on: 'every-node', sql: 'SELECT mail FROM people', expect: 'x' }, 2_000);
  const texts = [...answers.map(({ found }) => found), stop.found];

  const { rpo } = await measure(ledger, plan, drill.drill);
  const rpoFile = join(ledger, 'rpo.json');
  writeFileSync(rpoFile, JSON.stringify(rpo));
  await keepExcerpts(live, ledger);
  const probe = { dir: ledger, socket: join(ledger, 'none.sock'), table: 'probe_000001' };
  const common = {
    leases: [],
    restores: [],
    verification: answers,
    redundancy: null,
    redundancySkipped: 'not reached',
    doubts: texts,
    failures: texts,
  };
  const input: SealInput = {
    ...common,
    plan,
    planSha256,
    drill,
    registration,
    state: 'completed',
    startedBy: 'mira',
    trigger: { kind: 'command', name: null },
    startedAt: registration.registeredAt,
    judge: await inActivity(() => judge({ plan, drill, probe, rpoFile, ...common })),
    probe,
    rpoFile,
    phases: [],
    steps: [],
    readiness: answers,
    people: [],
    left: texts,
    pendingEvents: [
      told('register', 'registered', 'x'),
      ...texts.map((text, at) => told(`check-${at}`, 'failed', text)),
      told('seal', 'verdict', 'x'),
    ],
  };
  const { evidence } = await inActivity<SealResult>(() => seal(hand, input), 6);

  // They were really there to be found, in the log that was read.
  const log = readFileSync(postgres.logFile, 'utf8');
  for (const word of [NAME, MAIL, PHONE]) expect(log).toContain(word);
  const bundle = bundleTexts(evidence);
  expect(findWords(bundle, PLANTED)).toEqual([]);
  expect(findWords(new Map([['log', log]]), PLANTED).length).toBe(PLANTED.length);

  const kept = gunzipSync(readFileSync(join(evidence, 'ledger', 'nodes', 'n1', 'postgresql.log.gz'))).toString('utf8');
  for (const said of ['received fast shutdown request', 'entering standby mode', 'received promote request', 'selected new timeline ID: 2'])
    expect(kept).toContain(said);
  expect(kept).toMatch(/ERROR: {2}\(withheld\)/);
  const contents = JSON.parse(readFileSync(join(evidence, 'ledger', 'nodes', 'contents.json'), 'utf8')) as {
    entries: { what: string; files: string[]; withheld?: number; dropped?: number; notRecorded?: string }[];
  };
  const entry = (what: string) => contents.entries.find((one) => one.what === what);
  expect(entry('server log')).toMatchObject({ files: ['n1/postgresql.log.gz'] });
  expect(entry('server log')?.withheld).toBeGreaterThan(5);
  expect(entry('server log')?.dropped).toBeGreaterThan(5);
  expect(entry('controller log')?.notRecorded).toMatch(/no controller’s agent/);
  expect(readFileSync(join(evidence, 'ledger', 'nodes', 'n1', 'timelines', '00000002.history'), 'utf8')).toMatch(
    /^1\t[0-9A-F/]+\tno recovery target specified$/m,
  );
  const control = (when: string): string => readFileSync(join(evidence, 'ledger', 'nodes', 'n1', `pg_controldata.${when}.txt`), 'utf8');
  expect(control('before')).toMatch(/TimeLineID: +1$/m);
  expect(control('after')).toMatch(/TimeLineID: +2$/m);
  expect(control('after')).toContain(postgres.systemIdentifier);
  expect(control('after')).not.toContain('authentication nonce');
  const { checks } = await verifyBundle(evidence, { publicKeyPem: openSigner(join(home, 'keys')).publicKeyPem });
  expect(checks.filter(({ ok }) => !ok)).toEqual([]);
}, 120_000);

test('a log that was begun anew meanwhile is read from its start, and one that is gone is said to be', async () => {
  const live = openTarget(plan.target);
  const at = join(home, 'rotated');
  mkdirSync(at);
  await noteMarks(live, at);
  await postgres.stop('fast');
  rmSync(postgres.logFile);
  await postgres.start();
  await keepExcerpts(live, at);
  const read = (from: string): string => readFileSync(join(from, 'nodes', 'contents.json'), 'utf8');
  expect(read(at)).toContain('the file is another one than when the drill began: read from its start');
  expect(gunzipSync(readFileSync(join(at, 'nodes', 'n1', 'postgresql.log.gz'))).toString('utf8')).toContain('database system is ready');
  const gone = join(home, 'gone');
  mkdirSync(gone);
  const [node] = plan.target.nodes;
  if (node === undefined) throw new Error('no node');
  await keepExcerpts(openTarget({ ...plan.target, nodes: [{ ...node, logFile: '/nonexistent/log' }] }), gone);
  expect(read(gone)).toContain('nobody noted where the log ended when the drill began');
}, 60_000);
