/**
 * `npm run bench:measure`: is the ruler straight? Makes outages of exactly known length before a quorum-committing cluster of three and lays what the
 * judge reports beside them; compares commits through the prober with pgbench; and joins ten million ledger rows. Progress on stderr; the last line
 * on stdout is one JSON line. `--outages N --longest MS --seed S` change the calibration, `--skip join` leaves a part out.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sleep } from '../../core/clock';
import { packageRoot } from '../../core/files';
import { locateTools } from '../../infra/tools';
import type { ProberStatus } from '../../probe/contract';
import { withSql } from '../../targets/sql';
import { calibrate, planOutages, seeded, type Calibration, type Planned } from '../calibration/calibrate';
import { CALIBRATION_SETTINGS, startGround, type Ground } from '../calibration/ground';

const NET = '127.0.64';
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const round = (value: number, digits = 2): number => Number(value.toFixed(digits));
const sorted = (values: readonly number[]): readonly number[] => [...values].sort((a, b) => a - b);
/** Nearest rank. */
const quantile = (values: readonly number[], q: number): number => sorted(values)[Math.max(0, Math.ceil(q * values.length) - 1)] ?? NaN;

/** CPU time of a process in seconds, user and system. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function tellCalibration({ outages, invented, connectCommitMs, rto }: Calibration): Record<string, number> {
  const cuts = outages.filter(({ way }) => way === 'cut');
  const freezes = outages.filter(({ way }) => way === 'freeze');
  const widths = cuts.flatMap(({ widthMs }) => (widthMs === null ? [] : [widthMs]));
  const allowedMs = 2 * CALIBRATION_SETTINGS.periodMs + 2 + quantile(connectCommitMs, 0.99);
  for (const each of outages) if (!each.contained) say(`not contained: ${JSON.stringify(each)}`);
  const byWidth = [...cuts].sort((a, b) => (b.widthMs ?? 0) - (a.widthMs ?? 0));
  for (const { widthMs, t0, tRec, began, ended } of byWidth.slice(0, WIDEST_SHOWN))
    say(`wide: ${JSON.stringify({ widthMs, t0, began, tRec, ended })}`);
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
    widthExcessP99Ms: round(quantile(widths, 0.99) - allowedMs),
    truthWidthMaxMs: round(Math.max(...outages.map(({ truth }) => truth.highMs - truth.lowMs))),
    dueOnTimePct: round(rto.onTimeRatio * 100, 3),
  };
}

const WIDEST_SHOWN = 5;
const CLIENTS = 8;
const ROUND_S = 6;
const ROUNDS = 3;

/** One-row commits a second by pgbench: the same statement, the same table's shape, simple protocol. */
function pgbench({ base, primary }: Ground): number {
  const script = join(base, 'insert.sql');
  writeFileSync(script, 'INSERT INTO gameday.pgbench_rows (stream, seq) VALUES (:client_id, 1);\n');
  const args = [
    '-n',
    '-M',
    'simple',
    '-c',
    String(CLIENTS),
    '-j',
    '1',
    '-T',
    String(ROUND_S),
    '-f',
    script,
    '-h',
    primary.host,
    '-U',
    primary.user,
    primary.database,
  ];
  const text = execFileSync(join(locateTools().postgresBin, 'pgbench'), args, { encoding: 'utf8' });
  return Number(/tps = ([0-9.]+)/.exec(text)?.[1]);
}

/** The same by the prober: more is due than can be done, one connection a stream. */
async function throughProber(
  ground: Ground,
  round: number,
): Promise<{ readonly perSecond: number; readonly cpuShare: number; readonly loopShare: number }> {
  const settings = { ...CALIBRATION_SETTINGS, periodMs: 1, writeStreams: CLIENTS, maxConnections: CLIENTS };
  // Straight to the primary, as pgbench goes.
  const { host, port, database } = ground.primary;
  const paths = [{ name: 'entry', hosts: [{ host, port }], database }];
  const { calls, child } = await ground.startProber(`probe_tps_${round}`, { settings, paths });
  await sleep(1_000);
  const [before, cpuBefore, begun] = [await calls.status(), cpuSeconds(child.pid ?? 0), process.hrtime.bigint()];
  await sleep(ROUND_S * 1_000);
  const [after, cpuAfter] = [await calls.status(), cpuSeconds(child.pid ?? 0)];
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  await calls.stop();
  const loopShare = loopBusy(before, after);
  return { perSecond: (after.acked - before.acked) / seconds, cpuShare: (cpuAfter - cpuBefore) / seconds, loopShare };
}

async function compareCommits(ground: Ground): Promise<Record<string, number>> {
  await withSql(ground.primary, async (sql) => {
    await sql.query(
      'CREATE TABLE gameday.pgbench_rows (stream integer NOT NULL, seq bigint NOT NULL, sent_at timestamptz NOT NULL DEFAULT clock_timestamp())',
    );
    await sql.query('CREATE INDEX ON gameday.pgbench_rows (stream, seq)');
  });
  const [ours, theirs, cpu, loop]: [number[], number[], number[], number[]] = [[], [], [], []];
  for (let at = 0; at < ROUNDS; at += 1) {
    const { perSecond, cpuShare, loopShare } = await throughProber(ground, at);
    ours.push(perSecond);
    cpu.push(cpuShare);
    loop.push(loopShare);
    theirs.push(pgbench(ground));
    say(`commits/s with ${CLIENTS} clients: prober ${perSecond.toFixed(0)}, pgbench ${theirs.at(-1)?.toFixed(0)}`);
  }
  return {
    proberCommitsPerSecond: round(quantile(ours, 0.5), 0),
    pgbenchCommitsPerSecond: round(quantile(theirs, 0.5), 0),
    commitsVsPgbench: round(quantile(ours, 0.5) / quantile(theirs, 0.5), 3),
    proberCpuCoresFlatOut: round(quantile(cpu, 0.5), 3),
    proberLoopBusyPctFlatOut: round(quantile(loop, 0.5) * 100, 1),
  };
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

function join10M(): Record<string, number> {
  const ended = spawnSync(process.execPath, [join(packageRoot(), 'test', 'bench', 'join.mjs')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (ended.status !== 0) throw new Error(`join.mjs ended with ${ended.status}`);
  return JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, number>;
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
  const ground = await startGround(NET);
  const figures: Record<string, number> = {};
  try {
    Object.assign(
      figures,
      tellCalibration(
        await calibrate(ground, 'probe_calibration', plan(Number(values.outages), Number(values.longest), Number(values.seed)), say),
      ),
    );
    say(JSON.stringify(figures));
    if (!values.skip.includes('rest')) Object.assign(figures, await atRest(ground));
    if (!values.skip.includes('commits')) Object.assign(figures, await compareCommits(ground));
  } finally {
    ground.stop();
  }
  if (!values.skip.includes('join')) Object.assign(figures, join10M());
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
});
