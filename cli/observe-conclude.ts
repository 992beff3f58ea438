/**
 * The end of an observation: judge the ledger, join it with the rows, drop the table, and seal the same record in the same bundle as a drill's. Each part
 * that cannot be done becomes a doubt or is named as left behind; the sealing itself is never skipped.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { nowUtc, until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex, writeFileDurably } from '../core/files';
import { homePaths } from '../core/home';
import { resolveSecret } from '../core/secrets';
import { formatMs } from '../core/units';
import { unknownCircumstances } from '../evidence/beside-plan';
import { buildRecord, candidatesRecord, predictedRecord } from '../evidence/build-record';
import { encodeRecord, type BundleFile } from '../evidence/bundle';
import { sealIn } from '../evidence/drill-evidence';
import { readAllEvents } from '../evidence/events';
import { keepFacts, type FactsPlace, type KeptFacts } from '../evidence/kept-facts';
import { writeManifest } from '../evidence/manifest';
import { recordFrame } from '../evidence/record-frame';
import { bundlePrefix, type Registered } from '../evidence/register';
import { reportOnPaper } from '../evidence/report-pdf';
import { openEvidence } from '../evidence/store';
import type { ExitCode } from '../model/constants';
import type { RpoMeasurement, RtoMeasurement } from '../model/measurement';
import { READ_ONLY, type ObservationPlan, type ObservedNode } from '../model/observation';
import type { CheckResult, DrillRecord } from '../model/record';
import type { LedgerJudgement } from '../probe/contract';
import { joinLedger } from '../probe/join';
import { judgeLedger } from '../probe/judge';
import { besidePacking, packLedger } from '../probe/ledger-pack';
import { keepSurvivors, SURVIVORS_FILE } from '../probe/survivor-file';
import { awaitReplay, compareReplica, readCommitPromise, readSurvivors, writeBarrier } from '../probe/survivors';
import { judgeDrill } from '../probe/verdict';
import { renderFurther } from '../report/further';
import { renderHtml } from '../report/html';
import { renderMarkdown } from '../report/markdown';
import { renderTerminal } from '../report/terminal';
import { formatInterval } from '../report/words';
import { withSql, type SqlAddress } from '../targets/sql';
import { exitCodeOf } from './exit-codes';
import type { Course, ObserveSurroundings } from './observe';
import type { ObservationDiary } from './observe-diary';
import { dropSql, findWritable, type Examined } from './observe-examine';

const WRITABLE_TIMEOUT_MS = 30_000;
const REPLAY_TIMEOUT_MS = 10_000;
/** Whoever holds the table (a dump, say) must not make everybody queue behind our drop. */
const DROP = 'SET LOCAL lock_timeout = 3000; DROP TABLE IF EXISTS';

export interface Concluding extends ObserveSurroundings {
  readonly plan: ObservationPlan;
  readonly planSha256: string;
  readonly registration: Registered;
  readonly examined: Examined;
  readonly startedAt: string;
  readonly dir: string;
  readonly diary: ObservationDiary;
  readonly course: Course;
}

/** What came of the rows. */
interface Joined {
  readonly rpo: RpoMeasurement | null;
  readonly verification: readonly CheckResult[];
  readonly doubts: readonly string[];
  readonly left: readonly string[];
  readonly notCompared: readonly string[];
}

export async function concludeObservation(input: Concluding): Promise<ExitCode> {
  const { plan, diary, course, terminal, registration } = input;
  const doubts = [...course.doubts];
  const ledger = await diary.phase('judge', async () => ({ value: await judge(input, doubts), reason: null }));
  terminal.progress(plan.observation.table === null ? 'nothing was written, so nothing is counted' : 'counting the rows that survived');
  const joined = await diary.phase('verify', async () => ({ value: await joinRows(input, ledger), reason: null }));
  const rpo = joined.rpo;
  doubts.push(...joined.doubts);
  const judgement = judgeDrill({
    objectives: plan.objectives,
    rto: ledger?.rto ?? { notRecorded: 'no ledger was judged' },
    predicted: predictedRecord(null),
    views: ledger?.views ?? [],
    rpo: rpo ?? { notRecorded: plan.observation.table === null ? READ_ONLY : 'the ledger was not joined with the surviving rows' },
    splitBrain: ledger?.splitBrain ?? [],
    restores: [],
    faults: [],
    verification: joined.verification,
    redundancy: { notRecorded: NO_REDUNDANCY },
    doubts,
    failures: [],
    nodeSpans: ledger?.nodeSpans ?? [],
    replicaStaleness: ledger?.replicaStaleness ?? [],
    noSafeCandidate: candidatesRecord(ledger),
  });
  const chain = await diary.settle();
  const { problems, ...frame } = recordFrame(homePaths(input.home).drills, plan, registration.drill, nowUtc().slice(0, 10));
  const kept = await keepFacts(chain, plan, {
    ...frame,
    planSha256: input.planSha256,
    drill: registration.drill,
    sequence: registration.sequence,
    registration,
    state: course.state,
    startedBy: input.person,
    trigger: { kind: 'command', name: null },
    startedAt: input.startedAt,
    endedAt: nowUtc(),
    postgresVersion: input.examined.version,
    leases: [],
    restores: [],
    phases: diary.phases,
    steps: [],
    readiness: input.examined.checks,
    verification: joined.verification,
    redundancy: null,
    redundancySkipped: NO_REDUNDANCY,
    doubts,
    failures: [],
    people: [],
    left: [...joined.left, ...(chain.away === null ? [] : [chain.away]), ...problems],
    notExercised: [...course.cut, ...joined.notCompared],
    predicted: null,
    circumstances: unknownCircumstances('an observation looks at clients alone'),
    judged: ledger !== null,
    joined: rpo !== null,
  });
  const record = buildRecord({ ...kept, plan, judgement, measured: ledger, rpo });
  await seal(input, record, { ledger, rpo }, chain, kept);
  show(input, record);
  return exitCodeOf({ state: record.state, verdict: record.verdict });
}

const NO_REDUNDANCY = 'an observation rebuilds nothing';

async function judge({ plan, course, dir }: Concluding, doubts: string[]): Promise<LedgerJudgement | null> {
  if (!course.measured) return null;
  try {
    const judged = judgeLedger(dir, { settings: plan.probe, steady: plan.steady, faults: [], fromMs: null, toMs: null });
    return await besidePacking(dir, judged);
  } catch (error) {
    doubts.push(`the ledger could not be judged: ${messageOf(error).replaceAll(dir, 'ledger')}`);
    return null;
  }
}

async function joinRows(input: Concluding, ledger: LedgerJudgement | null): Promise<Joined> {
  const { plan, course, diary } = input;
  const { table } = plan.observation;
  const nothing: Joined = { rpo: null, verification: [], doubts: [], left: [], notCompared: [] };
  if (table === null) return nothing;
  let address: SqlAddress;
  let found: Pick<Joined, 'rpo' | 'verification' | 'notCompared'> = nothing;
  try {
    address = await writable(plan);
    if (course.measured) found = await countRows(input, ledger, address, table);
  } catch (error) {
    const text = `the ledger could not be joined with the surviving rows: ${messageOf(error)}`;
    await diary.note('not joined', text);
    // The rows are the only proof of what was kept; whoever joins them later needs them.
    return {
      ...nothing,
      doubts: [text],
      left: [`table gameday.${table}, kept because its rows were not counted; drop with: ${dropSql(table)}`],
    };
  }
  try {
    await withSql(address, (sql) => sql.query(`${DROP} gameday.${table}`));
    await diary.note('dropped', `gameday.${table} was dropped`);
    return { ...nothing, ...found };
  } catch (error) {
    return { ...nothing, ...found, left: [`table gameday.${table} (${messageOf(error)}); drop with: ${dropSql(table)}`] };
  }
}

/** The primary, waited for: somebody may just be bringing it back. */
async function writable({ target }: ObservationPlan): Promise<SqlAddress> {
  const [main] = target.paths;
  if (main === undefined) throw new GamedayError('internal', 'the observation has no path');
  return until(() => findWritable(main, target.roles.probe), {
    timeoutMs: WRITABLE_TIMEOUT_MS,
    everyMs: 500,
    onTimeout: (last) => new GamedayError('database_unreachable', `no primary within ${formatMs(WRITABLE_TIMEOUT_MS)}: ${messageOf(last)}`),
  });
}

async function countRows(
  { plan, dir, diary }: Concluding,
  ledger: LedgerJudgement | null,
  address: SqlAddress,
  table: string,
): Promise<Pick<Joined, 'rpo' | 'verification' | 'notCompared'>> {
  const barrier = await writeBarrier(address, table);
  const replicas: RpoMeasurement['replicas'][number][] = [];
  const notCompared: string[] = [];
  for (const node of plan.target.nodes) {
    try {
      const replica = await standby(plan, node);
      if (replica === null) continue;
      await awaitReplay(replica, barrier.lsn, REPLAY_TIMEOUT_MS);
      replicas.push(await compareReplica(node.name, readSurvivors(address, table), readSurvivors(replica, table)));
    } catch (error) {
      notCompared.push(`rows on ${node.name} (not compared: ${messageOf(error)})`);
    }
  }
  const synchronousCommit = await readCommitPromise(address);
  const info = {
    synchronousCommit,
    joinedOn:
      plan.target.nodes.find(({ host, port }) => host === address.host && port === address.port)?.name ?? `${address.host}:${address.port}`,
    replicas,
    rpoBytes: null,
  };
  const rows = keepSurvivors(join(dir, SURVIVORS_FILE), info, readSurvivors(address, table));
  const rpo = await joinLedger(dir, rows, { ...info, t0: ledger?.rto.outages[0]?.t0 ?? null });
  await diary.note('joined', rpo.statement);
  const verification = replicas.map(({ node, missing, extra }): CheckResult => {
    const found = `${missing} missing, ${extra} extra`;
    return {
      name: `${node} holds the same rows as the primary`,
      ok: missing + extra === 0,
      found,
      expected: '0 missing, 0 extra',
      hint: null,
    };
  });
  return { rpo, verification, notCompared };
}

/** The probe role's way straight to a node; null if the node takes writes itself. */
async function standby({ target }: ObservationPlan, { host, port }: ObservedNode): Promise<SqlAddress | null> {
  const { user, password } = target.roles.probe;
  const address = {
    host,
    port,
    user,
    password: password === null ? null : resolveSecret(password),
    database: target.paths[0]?.database ?? 'gameday',
  };
  const recovery = await withSql(
    address,
    async (sql) => (await sql.query('SELECT pg_is_in_recovery()::text AS recovery'))[0]?.['recovery'],
  );
  return recovery === 'true' ? address : null;
}

async function seal(
  { plan, registration, dir, diary, home, terminal }: Concluding,
  record: DrillRecord,
  measured: { readonly ledger: LedgerJudgement | null; readonly rpo: RpoMeasurement | null },
  chain: FactsPlace,
  kept: KeptFacts,
): Promise<void> {
  if (measured.ledger !== null) writeFileDurably(join(dir, 'measurement.json'), JSON.stringify({ ledger: measured.ledger, band: null }));
  if (measured.rpo !== null) writeFileDurably(join(dir, 'rpo.json'), JSON.stringify(measured.rpo));
  const prefix = bundlePrefix(plan.target.name, registration.drill);
  const evidence = openEvidence(home, plan.target.kind);
  const options = { digest: sha256Hex(encodeRecord(record)), keyFingerprint: (await evidence.signer()).fingerprint };
  await diary.note('verdict', `verdict: ${record.verdict} (${record.state})`);
  await diary.flush();
  const reportHtml = renderHtml(record, options);
  const paper = await reportOnPaper(chain, record.drill, reportHtml, process.env);
  await writeManifest(chain, record.drill, plan, kept, (await readAllEvents(chain.store, prefix)).flat());
  const { waiting } = await sealIn(home, evidence, {
    prefix,
    plan,
    record,
    reportHtml,
    reportMarkdown: renderMarkdown(record, options),
    files: [...paper, ...(await ledgerFiles(dir)), ...renderFurther(record, options)],
    events: await readAllEvents(chain.store, prefix),
    sealedAt: nowUtc(),
  });
  if (waiting !== null) terminal.progress(`sealed here; it waits for the evidence store (\`gameday deliver\` tries again): ${waiting}`);
}

async function ledgerFiles(dir: string): Promise<BundleFile[]> {
  if (!existsSync(dir) || !readdirSync(dir).some((name) => name.endsWith('.gdl'))) return [];
  await packLedger(dir);
  return readdirSync(dir)
    .filter((name) => name.endsWith('.gdl') || name.endsWith('.gz') || name === 'measurement.json' || name === 'rpo.json')
    .sort()
    .map((name) => ({ name: `ledger/${name}`, path: join(dir, name) }));
}

function show({ terminal, home, plan, registration }: Concluding, record: DrillRecord): void {
  const evidence = join(homePaths(home).drills, plan.target.name, registration.drill);
  terminal.print(renderTerminal(record, { color: terminal.color }));
  terminal.print([...seenLines(record), `evidence  ${evidence}`, `report    ${evidence}/report.html`].join('\n'));
  terminal.result({
    drill: record.drill,
    sequence: record.sequence,
    target: plan.target.name,
    state: record.state,
    verdict: record.verdict,
    objectives: record.judgement.objectives.map(({ objective: { name, target, unit }, measured, low, high, verdict }) => ({
      name,
      target,
      measured,
      low,
      high,
      unit,
      verdict,
    })),
    outages: 'notRecorded' in record.rto ? null : record.rto.outages.length,
    rto: 'notRecorded' in record.rto ? null : record.rto.rto,
    lost: 'notRecorded' in record.rpo ? null : record.rpo.lost,
    left: record.left,
    faults: [],
    evidence,
  });
}

/** What clients saw, view by view; without an objective the box above says only that it was measured. */
function seenLines(record: DrillRecord): string[] {
  if ('notRecorded' in record.rto) return [`not measured: ${record.rto.notRecorded}`];
  const kind = 'notRecorded' in record.rpo && record.rpo.notRecorded === READ_ONLY ? 'reads' : 'writes';
  return [
    `${kind.padEnd(8)}  ${seenText(record.rto)}`,
    ...record.views.map((view) => `${`${view.kind}s`.padEnd(8)}  by ${view.path}: ${seenText(view.rto)}`),
    ...('notRecorded' in record.rpo ? [] : [`rows      ${record.rpo.statement}`]),
  ];
}

function seenText({ outages, noOutageAboveMs, rto }: RtoMeasurement): string {
  if (outages.length === 0) return noOutageAboveMs === null ? 'nothing was acknowledged' : `no outage above ${formatMs(noOutageAboveMs)}`;
  const downs = outages.slice(0, 5).map(({ down }) => (down === null ? 'not over' : formatInterval(down)));
  const more = outages.length > downs.length ? ', …' : '';
  return `${outages.length} outage${outages.length === 1 ? '' : 's'} (${downs.join(', ')}${more}), ${rto === null ? 'not recovered' : `recovery after ${formatInterval(rto)}`}`;
}
