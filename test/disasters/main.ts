/**
 * `npm run test:disasters [-- --lab patroni --only primary-loss,dcs-outage]`: every disaster of the library on labs of its own, as it must pass and as it must
 * fail, with the library's files unchanged. A table on stdout, a row per drill as it ends; the last line is one JSON line. Exit 1 if anything came out otherwise.
 */
import { chmodSync, existsSync, mkdtempSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DEFAULT_SOCKET } from '../../infra/lab/docker-topology';
import { labDown } from '../../infra/lab/down';
import type { DrillRecord } from '../../model/record';
import { cli } from '../live/lab';
import { awaitArchive, runAsIs } from '../live/scenario-run';
import { findWalG } from '../live/wal-g-program';
import { casesOf, LABS, type DisasterCase, type LabName } from './cases';
import { carryOut } from './changes';

const LAB_UP_MS = 300_000;

const seconds = (ms: number): string => (ms / 1_000).toFixed(ms < 1_000 ? 2 : 1);

/** The longest outage of the main entry, or none. */
function outage({ rto }: DrillRecord): string {
  if ('notRecorded' in rto || rto.rto === null) return 'none';
  return `${seconds(rto.rto.lowMs)} – ${seconds(rto.rto.highMs)}`;
}

const lost = ({ rpo }: DrillRecord): string => ('notRecorded' in rpo ? 'not recorded' : String(rpo.lost));

const inWords = ({ must }: DisasterCase): string =>
  typeof must === 'string' ? must : 'because' in must ? `fail ("${must.because}")` : `fail (${must.missed.join(' or ')})`;

/** What came out otherwise than it must; null: nothing did. */
function surprise({ must }: DisasterCase, { judgement, splitBrain, state }: DrillRecord): string | null {
  const missed = judgement.objectives.filter(({ verdict }) => verdict === 'fail').map(({ objective }) => objective.name);
  // Fails a drill whether its scenario has an objective for it or not.
  const failed = splitBrain.length > 0 ? [...missed, 'split_brain' as const] : missed;
  const said = `${state}, ${judgement.verdict}: ${[...failed.map((name) => name.replaceAll('_', ' ')), ...judgement.reasons].join('; ')}`;
  if (must === 'refused') return state === 'refused' ? null : said;
  if (must === 'pass') return judgement.verdict === 'pass' ? null : said;
  if ('because' in must) return judgement.verdict === 'fail' && judgement.reasons.some((each) => each.includes(must.because)) ? null : said;
  return judgement.verdict === 'fail' && failed.some((name) => must.missed.includes(name)) ? null : said;
}

async function labUp(home: string, ...more: readonly string[]): Promise<void> {
  const up = await cli(['lab', 'up', ...more], { home, timeoutMs: LAB_UP_MS });
  if (up.code !== 0) throw new Error(`exit ${up.code}\n${up.stdout}${up.stderr}`);
}

/** Then the machine was busy before anything was broken, and nothing is known of the cluster. */
const wasUnsteady = ({ judgement }: DrillRecord): boolean =>
  judgement.verdict === 'inconclusive' && judgement.reasons.some((reason) => reason.startsWith('the baseline was not steady'));

/** A drill that tells nothing is run once more; both have their rows, and the second one counts. */
async function runCase(home: string, lab: LabName, each: DisasterCase): Promise<boolean> {
  const record = await runOnce(home, lab, each);
  return surprise(each, wasUnsteady(record) ? await runOnce(home, lab, each) : record) === null;
}

async function runOnce(home: string, lab: LabName, each: DisasterCase): Promise<DrillRecord> {
  // What a drill that had to fail has left behind is repaired as a person would.
  await labUp(home);
  await awaitArchive(home);
  const takeBack = each.change === undefined ? null : await carryOut(home, each.change);
  const { record } = await runAsIs(
    home,
    each.scenario,
    ...Object.entries(each.set).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
  ).finally(() => takeBack?.());
  const otherwise = surprise(each, record);
  const settings = Object.entries(each.set).map(([name, value]) => `${name} ${value}`);
  const row = [
    each.disasters,
    [each.scenario, ...settings, ...(each.change === undefined ? [] : [each.change.replaceAll('-', ' ')])].join(', '),
    lab,
    inWords(each),
    otherwise === null ? (record.state === 'refused' ? 'refused' : record.judgement.verdict) : `**${otherwise}**`,
    outage(record),
    lost(record),
  ];
  process.stdout.write(`| ${row.join(' | ')} |\n`);
  return record;
}

/** What came out otherwise is not known from its row alone: the bundles and the logs stay. */
function keep(lab: LabName, home: string): void {
  const kept = mkdtempSync(join(tmpdir(), `gameday-disasters-${lab}-kept-`));
  for (const name of ['drills', 'logs']) if (existsSync(join(home, name))) renameSync(join(home, name), join(kept, name));
  process.stderr.write(`bundles and logs are kept in ${kept}\n`);
}

async function runLab(lab: LabName, net: string, only: readonly string[]): Promise<readonly boolean[]> {
  const [walG, all] = [findWalG(), casesOf(lab, only)];
  const cases = all.filter(({ change }) => change !== 'archive-by-wal-g' || walG !== null);
  if (cases.length < all.length) process.stderr.write('no WAL-G, by GAMEDAY_WAL_G or on the path: what needs one is left out\n');
  if (cases.length === 0) return [];
  const made = mkdtempSync(join(tmpdir(), 'gameday-disasters-'));
  chmodSync(made, 0o755);
  const home = realpathSync(made);
  // Called off from outside, as by `timeout`: nothing of it may go on.
  const callOff = (): void => void labDown({ home, purge: true }).finally(() => process.exit(130));
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const name of signals) process.once(name, callOff);
  let asItMust = false;
  try {
    // Containers have a network of their own kind, and a default for it.
    await labUp(home, ...LABS[lab], ...(lab === 'docker' ? [] : ['--net', net]));
    const results: boolean[] = [];
    for (const each of cases)
      results.push(
        await runCase(home, lab, each).catch((error: unknown) => {
          process.stdout.write(`| ${each.disasters} | ${each.scenario} | ${lab} | | **no record** | | |\n`);
          process.stderr.write(`${String(error)}\n`);
          return false;
        }),
      );
    asItMust = results.every(Boolean);
    return results;
  } finally {
    for (const name of signals) process.off(name, callOff);
    await labDown({ home, purge: true });
    if (!asItMust) keep(lab, home);
    rmSync(home, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { lab: { type: 'string' }, only: { type: 'string' }, net: { type: 'string', default: '127.0.67' } },
  });
  const only = values.only?.split(',') ?? [];
  const labs = (Object.keys(LABS) as LabName[]).filter((each) => values.lab === undefined || each === values.lab);
  process.stdout.write('| disaster | scenario | lab | must | does | down, s | lost |\n| --- | --- | --- | --- | --- | --- | --- |\n');
  const results: boolean[] = [];
  for (const lab of labs) {
    // Named, it must be there.
    if (lab === 'docker' && values.lab === undefined && !existsSync(DEFAULT_SOCKET)) {
      process.stderr.write(`no Docker engine listens on ${DEFAULT_SOCKET}: the lab in containers is left out\n`);
      continue;
    }
    const held = await runLab(lab, values.net, only).catch((error: unknown) => {
      process.stdout.write(`| | | ${lab} | | **no lab** | | |\n`);
      process.stderr.write(`${String(error)}\n`);
      return [false];
    });
    results.push(...held);
  }
  const held = results.filter(Boolean).length;
  process.stdout.write(`${JSON.stringify({ drills: results.length, asExpected: held })}\n`);
  process.exit(held === results.length && held > 0 ? 0 : 1);
}

void main();
