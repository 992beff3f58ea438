/**
 * `npm run bench:thaw`: a primary that hangs, is replaced and wakes up, under each Patroni that can be had: `node test/bench/thaw.mjs [--runs 5] [--patroni distribution,4.1]`.
 * On 3.0 the node that woke up must be seen to take the lead back at least once (whether it does is a race within Patroni), and every such drill to fail; from 3.1
 * on it must step down each time, with nothing lost: the negative case and its remedy. Ends with 1 where either is otherwise. Progress on stderr; the last line on
 * stdout is one JSON line.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const load = createRequire(join(root, 'dist', 'package.cjs'));
const { labUp } = load('./infra/lab/up.js');
const { labDown } = load('./infra/lab/down.js');
const { readLabFile } = load('./infra/lab/lab-file.js');

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    patroni: { type: 'string', default: 'distribution,4.1' },
    net: { type: 'string', default: '127.0.83' },
  },
});
const RUNS = Number(options.runs);
const SERIES_MS = (RUNS + 1) * 420_000;
const say = (text) => process.stderr.write(`${text}\n`);
const isNewer = (version) => version.localeCompare('3.1', 'en', { numeric: true }) >= 0;

/** The last line of JSON that `gameday run` prints. */
function runLine(home, scenario, more) {
  const ended = spawnSync(process.execPath, [join(root, 'infra', 'bin', 'gameday.js'), 'run', scenario, '--json', ...more], {
    env: { ...process.env, GAMEDAY_HOME: home },
    encoding: 'utf8',
    timeout: SERIES_MS,
  });
  const line = ended.stdout.trim().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) throw new Error(`${scenario}: exit ${ended.status}\n${ended.stdout}${ended.stderr}`);
  return JSON.parse(line);
}

const recordOf = ({ evidence }) => JSON.parse(readFileSync(join(evidence, 'record.json'), 'utf8'));

const spread = (values) => {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  return { min: sorted[0] ?? null, median: sorted[Math.floor((sorted.length - 1) / 2)] ?? null, max: sorted.at(-1) ?? null };
};

const middleS = (interval) =>
  interval === null || interval === undefined ? null : Math.round((interval.lowMs + interval.highMs) / 2) / 1000;

/** Who led at last, of the nodes' own answers. */
const leader = ({ nodeSpans }) =>
  nodeSpans
    .filter(({ role }) => role === 'primary')
    .reduce((latest, each) => (latest === null || each.toMs > latest.toMs ? each : latest), null)?.node ?? null;

function figures(record) {
  const [fault] = record.faults;
  const objective = (name) => record.judgement.objectives.find((each) => each.objective.name === name);
  const woke = record.steps.find(({ kind }) => kind === 'fault')?.output?.facts?.node ?? null;
  const promoted = record.steps.find(({ kind }) => kind === 'failover')?.output?.to ?? null;
  const last = leader(record);
  return {
    verdict: record.judgement.verdict,
    frozenS: (Date.parse(fault.removedAt) - Date.parse(fault.injectedAt)) / 1000,
    firstAckS: middleS(record.rto.firstAck),
    downS: middleS(record.rto.downMs),
    lost: record.rpo.lost ?? null,
    acked: record.rpo.acked ?? null,
    bothMs: objective('split_brain').high,
    woke,
    promoted,
    ledAtLast: last,
    tookItBack: last === woke,
    reasons: record.judgement.reasons,
    findings: record.findings.map(({ severity, text }) => `${severity}: ${text}`),
  };
}

/** A machine that stalls meanwhile may cost a run its RTO, never a write and never the lead. */
const stepsDown = (runs) =>
  runs.some(({ verdict }) => verdict === 'pass') && runs.every(({ lost, tookItBack }) => lost === 0 && !tookItBack);
/** A taking back that passed would be gameday's own failure. */
const takesItBack = (runs) =>
  runs.some((each) => each.tookItBack) && runs.every(({ verdict, tookItBack }) => !tookItBack || verdict === 'fail');

async function underOne(wanted) {
  const home = mkdtempSync(join(tmpdir(), 'gameday-bench-'));
  chmodSync(home, 0o755);
  try {
    say(`starting a lab under Patroni: ${wanted}`);
    await labUp({ home, net: options.net, topology: 'patroni', patroni: wanted });
    const { version } = readLabFile(home).patroni;
    const loss = recordOf(runLine(home, 'primary-loss', ['--set', 'rto=40s'])).judgement.verdict;
    say(`${version}: primary-loss ${loss}`);
    const series = runLine(home, 'primary-thaws', ['--repeat', String(RUNS), '--seed', '1', '--no-control']);
    const runs = series.runs.map((each) => figures(recordOf(each)));
    for (const { reasons, findings, ...short } of runs)
      say(`${version}: ${JSON.stringify(short)}\n  ${[...reasons, ...findings].join('\n  ')}`);
    if (series.stopped !== null) say(`${version}: ${series.stopped}`);
    const of = (name) => spread(runs.map((each) => each[name]));
    const asExpected = loss === 'pass' && runs.length === RUNS && (isNewer(version) ? stepsDown(runs) : takesItBack(runs));
    return {
      patroni: version,
      primaryLoss: loss,
      runs: runs.length,
      verdicts: runs.map(({ verdict }) => verdict),
      frozenS: of('frozenS'),
      firstAckS: of('firstAckS'),
      downS: of('downS'),
      lostAcked: of('lost'),
      acked: of('acked'),
      bothWritableMs: of('bothMs'),
      tookTheLeadBack: runs.filter(({ tookItBack }) => tookItBack).length,
      asExpected,
    };
  } finally {
    await labDown({ home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
}

const versions = [];
for (const wanted of options.patroni.split(',')) versions.push(await underOne(wanted));
process.stdout.write(`${JSON.stringify({ versions })}\n`);
process.exitCode = versions.every(({ asExpected }) => asExpected) ? 0 : 1;
