/**
 * `npm run bench:measure`: is the ruler straight? Makes outages of exactly known length before a quorum-committing cluster of three and lays what the
 * judge reports beside them; compares commits through the prober with pgbench; and joins ten million ledger rows. Progress on stderr; the last line
 * on stdout is one JSON line. `--outages N --longest MS --seed S` change the calibration, `--skip join` leaves a part out.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { present } from '../../core/assert';
import { sleep } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { locateTools } from '../../infra/tools';
import type { ProberStatus } from '../../probe/contract';
import { withSql } from '../../targets/sql';
import { calibrate, planOutages, seeded, statementText, type Calibration, type Planned } from '../calibration/calibrate';
import { CALIBRATION_SETTINGS, startGround, type Ground } from '../calibration/ground';

const NET = '127.0.64';
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const round = (value: number, digits = 2): number => Number(value.toFixed(digits));
const sorted = (values: readonly number[]): readonly number[] => [...values].sort((a, b) => a - b);
/** Nearest rank. */
const quantile = (values: readonly number[], q: number): number => sorted(values)[Math.max(0, Math.ceil(q * values.length) - 1)] ?? NaN;

/** Fields of /proc/PID/stat from the third on, or null if there is no such process (any more). */
function statOf(pid: number | string): readonly string[] | null {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? null;
  } catch {
    return null;
  }
}

/** CPU time of a process in seconds, user and system. */
function cpuSeconds(pid: number): number {
  const fields = statOf(pid) ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** CPU time in seconds of all servers' processes: the postmasters, their children, and those of them that have ended. */
function serversCpuSeconds(ground: Ground): number {
  const postmasters = (['n1', 'n2', 'n3'] as const).map((node) => String(ground.postmaster(node)));
  let ticks = 0;
  for (const pid of readdirSync('/proc')) {
    const fields = /^[0-9]+$/.test(pid) ? statOf(pid) : null;
    if (fields === null) continue;
    const own = Number(fields[11]) + Number(fields[12]);
    if (postmasters.includes(pid)) ticks += own + Number(fields[13]) + Number(fields[14]);
    else if (postmasters.includes(fields[1] ?? '')) ticks += own;
  }
  return ticks / 100;
}

function tellCalibration({ outages, invented, connectCommitMs, restedConnectCommitMs, rto }: Calibration): Record<string, number> {
  const cuts = outages.filter(({ way }) => way === 'cut');
  const freezes = outages.filter(({ way }) => way === 'freeze');
  const widths = cuts.flatMap(({ widthMs }) => (widthMs === null ? [] : [widthMs]));
  const allowedMs = 2 * CALIBRATION_SETTINGS.periodMs + 2 + quantile(connectCommitMs, 0.99);
  for (const each of outages) if (!each.contained) say(`not contained: ${JSON.stringify(each)}`);
  const byWidth = [...cuts].sort((a, b) => (b.widthMs ?? 0) - (a.widthMs ?? 0));
  for (const { widthMs, t0, tRec, began, ended, backMs } of byWidth.slice(0, WIDEST_SHOWN))
    say(`wide: ${JSON.stringify({ widthMs, t0, began, tRec, ended, backMs })}`);
  for (const each of invented) say(`not made by us: ${JSON.stringify(each)}`);
  return {
    outages: cuts.length,
    contained: cuts.filter(({ contained }) => contained).length,
    containedOrExplained: cuts.filter(({ explained }) => explained).length,
    freezes: freezes.length,
    freezesContained: freezes.filter(({ contained }) => contained).length,
    invented: invented.length,
    widthP50Ms: round(quantile(widths, 0.5)),
    widthP99Ms: round(quantile(widths, 0.99)),
    connectCommitP99Ms: round(quantile(connectCommitMs, 0.99)),
    restedConnectCommitP99Ms: round(quantile(restedConnectCommitMs, 0.99)),
    widthExcessP99Ms: round(quantile(widths, 0.99) - allowedMs),
    truthWidthMaxMs: round(Math.max(...outages.map(({ truth }) => truth.highMs - truth.lowMs))),
    dueOnTimePct: round(rto.onTimeRatio * 100, 3),
  };
}

const WIDEST_SHOWN = 5;
const CLIENTS = 8;
const ROUND_S = 6;
const ROUNDS = 3;

/** What one party did in a round, and what it cost in milliseconds of processor time a commit. */
interface Pace {
  readonly perSecond: number;
  readonly clientMs: number;
  readonly serversMs: number;
}

/** What the servers' processes used between the first and the last second of a round. */
async function serverCores(ground: Ground): Promise<number> {
  await sleep(1_000);
  const [before, begun] = [serversCpuSeconds(ground), process.hrtime.bigint()];
  await sleep((ROUND_S - 2) * 1_000);
  return (serversCpuSeconds(ground) - before) / (Number(process.hrtime.bigint() - begun) / 1e9);
}

const INTO = 'INSERT INTO gameday.pgbench_rows (stream, seq) VALUES';

/** One-row commits a second by pgbench, simple protocol, into a table of the same shape. */
async function pgbench(ground: Ground, statement: string): Promise<Pace> {
  const { base, primary } = ground;
  const script = join(base, 'insert.sql');
  writeFileSync(script, `${statement};\n`);
  const how = ['-n', '-M', 'simple', '-c', String(CLIENTS), '-j', '1', '-T', String(ROUND_S), '-f', script];
  const args = [...how, '-h', primary.host, '-U', primary.user, primary.database];
  const running = promisify(execFile)(join(locateTools().postgresBin, 'pgbench'), args);
  const [{ stdout }, cores, own] = await Promise.all([running, serverCores(ground), childCores(running.child.pid ?? 0)]);
  const perSecond = Number(/tps = ([0-9.]+)/.exec(stdout)?.[1]);
  return { perSecond, clientMs: (own / perSecond) * 1e3, serversMs: (cores / perSecond) * 1e3 };
}

async function childCores(pid: number): Promise<number> {
  await sleep(1_000);
  const [before, begun] = [cpuSeconds(pid), process.hrtime.bigint()];
  await sleep((ROUND_S - 2) * 1_000);
  return (cpuSeconds(pid) - before) / (Number(process.hrtime.bigint() - begun) / 1e9);
}

/** The prober's own statement as a script of pgbench, which else would send its two statements one after the other. */
function proberStatement(): string {
  return statementText('pgbench_rows', 0).replace('; ', '\\; ').replace('VALUES (0,', 'VALUES (:client_id,');
}

/** The same by the prober: more is due than can be done, one connection a stream. */
async function throughProber(ground: Ground, round: number): Promise<Pace> {
  const settings = { ...CALIBRATION_SETTINGS, periodMs: 1, writeStreams: CLIENTS, maxConnections: CLIENTS };
  // Straight to the primary, as pgbench goes.
  const { host, port, database } = ground.primary;
  const paths = [{ name: 'entry', hosts: [{ host, port }], database }];
  const { calls, child } = await ground.startProber(`probe_tps_${round}`, { settings, paths });
  const pid = child.pid ?? 0;
  await sleep(1_000);
  const [before, begun] = [await calls.status(), process.hrtime.bigint()];
  const [cores, own] = await Promise.all([serverCores(ground), childCores(pid)]);
  const [after, seconds] = [await calls.status(), Number(process.hrtime.bigint() - begun) / 1e9];
  await calls.stop();
  const perSecond = (after.acked - before.acked) / seconds;
  return { perSecond, clientMs: (own / perSecond) * 1e3, serversMs: (cores / perSecond) * 1e3 };
}

async function compareCommits(ground: Ground): Promise<Record<string, number>> {
  await withSql(ground.primary, async (sql) => {
    await sql.query(
      'CREATE TABLE gameday.pgbench_rows (stream integer NOT NULL, seq bigint NOT NULL, sent_at timestamptz NOT NULL DEFAULT clock_timestamp())',
    );
    await sql.query('CREATE INDEX ON gameday.pgbench_rows (stream, seq)');
  });
  const [ours, theirs, same]: [Pace[], Pace[], Pace[]] = [[], [], []];
  for (let at = 0; at < ROUNDS; at += 1) {
    ours.push(await throughProber(ground, at));
    theirs.push(await pgbench(ground, `${INTO} (:client_id, 1)`));
    same.push(await pgbench(ground, proberStatement()));
    say(`commits/s with ${CLIENTS} clients: ${[ours, theirs, same].map((paces) => tellPace(paces.at(-1))).join(' · ')}`);
  }
  const middle = (paces: readonly Pace[], what: keyof Pace): number =>
    quantile(
      paces.map((pace) => pace[what]),
      0.5,
    );
  const perSecond = middle(ours, 'perSecond');
  return {
    proberCommitsPerSecond: round(perSecond, 0),
    pgbenchCommitsPerSecond: round(middle(theirs, 'perSecond'), 0),
    pgbenchSameStatementPerSecond: round(middle(same, 'perSecond'), 0),
    // Each acknowledgement says who gave it, at which position, within a timeout: pgbench has the servers do the same for its own.
    commitsVsPgbench: round(perSecond / middle(same, 'perSecond'), 3),
    commitsVsPgbenchBareInsert: round(perSecond / middle(theirs, 'perSecond'), 3),
    proberCpuCoresFlatOut: round((middle(ours, 'clientMs') * perSecond) / 1e3, 3),
    proberCpuMsPerCommit: round(middle(ours, 'clientMs'), 4),
    pgbenchCpuMsPerCommit: round(middle(theirs, 'clientMs'), 4),
    serversCpuMsPerCommit: round(middle(ours, 'serversMs'), 4),
    serversCpuMsPerCommitPgbench: round(middle(theirs, 'serversMs'), 4),
    serversCpuMsPerCommitSameStatement: round(middle(same, 'serversMs'), 4),
  };
}

function tellPace(pace: Pace | undefined): string {
  const { perSecond, clientMs, serversMs } = present(pace, 'a round');
  return `${perSecond.toFixed(0)} (${clientMs.toFixed(3)} + ${serversMs.toFixed(3)} ms CPU)`;
}

/** Share of the time for which the prober's event loop was busy: at 1 it could do no more, and would be late. */
function loopBusy(before: ProberStatus, after: ProberStatus): number {
  return (after.loopBusyMs - before.loopBusyMs) / (after.upMs - before.upMs);
}

/** CPU, event loop and lateness of a prober at the lab's pace, with nothing else going on. */
async function atRest(ground: Ground): Promise<Record<string, number>> {
  const { calls, child } = await ground.startProber('probe_rest', { settings: { ...CALIBRATION_SETTINGS, readStreams: 1 } });
  const [before, cpuBefore, begun] = [await calls.status(), cpuSeconds(child.pid ?? 0), process.hrtime.bigint()];
  await sleep(20_000);
  const share = (cpuSeconds(child.pid ?? 0) - cpuBefore) / (Number(process.hrtime.bigint() - begun) / 1e9);
  const after = await calls.status();
  const { onTimeRatio } = after;
  await calls.stop();
  return {
    proberCpuCores: round(share, 3),
    proberLoopBusyPct: round(loopBusy(before, after) * 100, 1),
    restOnTimePct: round(onTimeRatio * 100, 3),
  };
}

/** `stop` is told how to end it early. */
async function join10M(stop: (how: (signal: NodeJS.Signals) => void) => void): Promise<Record<string, number>> {
  const child = spawn(process.execPath, [join(packageRoot(), 'test', 'bench', 'join.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  stop((signal) => child.kill(signal));
  let answer = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (answer += text));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  if (code !== 0) throw new Error(`join.mjs ended with ${signal ?? code ?? 'nothing'}`);
  return JSON.parse(answer.trim().split('\n').at(-1) ?? '') as Record<string, number>;
}

/** All cuts first, then as many freezes as a tenth of them. */
function plan(count: number, longestMs: number, seed: number): readonly Planned[] {
  const random = seeded(seed);
  const cuts = planOutages(count, longestMs, random).map((each): Planned => ({ ...each, way: 'cut' }));
  const freezes = planOutages(Math.ceil(count / 10), 4_000, random).map((each): Planned => ({
    ...each,
    way: 'freeze',
    lengthMs: Math.max(400, each.lengthMs),
  }));
  return [...cuts, ...freezes];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      outages: { type: 'string', default: '300' },
      longest: { type: 'string', default: '20000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      skip: { type: 'string', multiple: true, default: [] },
    },
  });
  say(`seed ${values.seed}`);
  const figures: Record<string, number> = {};
  const run: Run = { part: 'the start of the servers', stop: () => undefined };
  tellHowItEnds(run, figures);
  const measure = async (part: string, name: string, work: () => Promise<Record<string, number>>): Promise<void> => {
    if (values.skip.includes(name)) return;
    run.part = part;
    Object.assign(figures, await work());
  };
  const on = async (under: 'disk' | 'memory', work: (ground: Ground) => Promise<void>): Promise<void> => {
    const ground = await startGround(NET, under);
    run.stop = () => ground.stop();
    try {
      await work(ground);
    } finally {
      run.stop = () => undefined;
      ground.stop();
    }
  };
  await on('memory', async (ground) => {
    const planned = plan(Number(values.outages), Number(values.longest), Number(values.seed));
    await measure('the calibration', 'calibration', async () =>
      tellCalibration(await calibrate(ground, 'probe_calibration', planned, say)),
    );
    say(JSON.stringify(figures));
  });
  await on('disk', async (ground) => {
    await measure('the figures at rest', 'rest', () => atRest(ground));
    await measure('the comparison with pgbench', 'commits', () => compareCommits(ground));
  });
  await measure('the join', 'join', () => join10M((how) => (run.stop = how)));
  run.part = null;
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}

interface Run {
  /** What is being measured; null: everything was. */
  part: string | null;
  stop: (signal: NodeJS.Signals) => void;
}

/** What was measured is said whoever ends this early, and that it is not all; so is an end that nobody asked for. */
function tellHowItEnds(run: Run, figures: Readonly<Record<string, number>>): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.once(signal, () => {
      say(`ended by ${signal}`);
      run.stop(signal);
      process.exit(128 + constants.signals[signal]);
    });
  process.on('exit', (code) => {
    if (run.part === null) return;
    say(`not finished (exit code ${code}): it ended during ${run.part}; so far: ${JSON.stringify(figures)}`);
    process.exitCode = code === 0 ? 1 : code;
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
});
