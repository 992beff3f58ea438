/** One library scenario on a lab of the test's own, and what came of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { packageRoot, readJsonFile } from '../../core/files';
import { readLabTarget } from '../../infra/lab/lab-file';
import type { DrillRecord } from '../../model/record';
import { openTarget } from '../../targets/open-target';
import { cli } from './lab';

export interface Run {
  readonly code: number;
  /** The bundle's directory. */
  readonly evidence: string;
  readonly record: DrillRecord;
}

/** The library's own file, with windows that are shorter, and good in spite of a disk that stalls for a moment: neither is what the tests are about. */
export function hurried(home: string, scenario: string): string {
  const text = readFileSync(join(packageRoot(), 'scenarios', 'library', `${scenario}.yaml`), 'utf8').replace(/^steady:\n(?: .*\n)+/m, '');
  const path = join(home, `${scenario}.yaml`);
  writeFileSync(path, `${text}\nsteady: { window: 4s, recoveryWindow: 4s, maxP99: 500ms, recoveryFloor: 500ms }\n`);
  return path;
}

/** For a moment after a failover nothing of the new timeline is archived, and until something is, a drill is refused. */
export async function awaitArchive(home: string): Promise<void> {
  const { archive } = openTarget(readLabTarget(home));
  let wrong: readonly string[] = [];
  const sound = async (): Promise<boolean> => {
    const checks = (await archive?.audit()) ?? [];
    wrong = checks.filter(({ ok }) => !ok).map(({ name, found }) => `${name}: ${found}`);
    return wrong.length === 0;
  };
  await until(async () => ((await sound()) ? true : null), {
    timeoutMs: 60_000,
    everyMs: 250,
    onTimeout: () => new Error(`the archive of the lab does not become sound: ${wrong.join('; ')}`),
  });
}

/** By the command line, as a person does; throws what it printed where no record came of it. */
export async function runAsIs(home: string, scenario: string, ...more: readonly string[]): Promise<Run> {
  const ended = await cli(['run', scenario, '--json', ...more], { home, timeoutMs: 240_000 });
  const { evidence } = JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '{}') as { evidence?: string };
  const record = evidence === undefined ? null : readJsonFile<DrillRecord>(join(evidence, 'record.json'));
  if (record === null || evidence === undefined) throw new Error(`exit ${ended.code}, no record\n${ended.stdout}${ended.stderr}`);
  return { code: ended.code, record, evidence };
}

/** What is longer is an outage of its own. */
const STALL_MOST_MS = 2_000;

/** It cannot tell, or clients had recovered and could not write once more: commits stall at a segment's end, and RTO goes to the end of that. */
function isStalled({ judgement, rto }: DrillRecord): boolean {
  const { verdict, reasons } = judgement;
  const said = (words: string): boolean => reasons.some((reason) => reason.startsWith(words));
  if (verdict === 'inconclusive') return said('the baseline was not steady') || said('the prober was starved');
  if (verdict === 'pass' || 'notRecorded' in rto) return false;
  const [, ...later] = rto.outages;
  return later.length > 0 && later.every(({ down }) => (down?.highMs ?? Infinity) < STALL_MOST_MS);
}

/** A machine whose disk stalls in the very moment of the fault spoils a drill; it is run again then, as a person does, once. */
export async function runScenario(home: string, scenario: string, ...more: readonly string[]): Promise<Run> {
  const once = async (): Promise<Run> => {
    await awaitArchive(home);
    return runAsIs(home, hurried(home, scenario), ...more);
  };
  const run = await once();
  return isStalled(run.record) ? once() : run;
}

/** Why it did not pass stands in the difference. */
export const outcome = ({ code, record }: Run): unknown => ({
  code,
  state: record.state,
  verdict: record.judgement.verdict,
  why: record.judgement.verdict === 'pass' ? [] : [...record.judgement.reasons, ...record.findings.map(({ text }) => text)],
});
export const PASSED = { code: 0, state: 'completed', verdict: 'pass', why: [] };
