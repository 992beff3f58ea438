/**
 * What the record of a new drill is told about earlier ones of its scenario on its system: which findings are open, and the drill to compare with. It reads
 * backwards from the newest and stops as soon as nothing older can matter, which after a whole drill is one record; registrations say which drills those are.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { comparedDrill } from '../core/compared-drill';
import { messageOf } from '../core/errors';
import type { DrillRecord, EarlierDrill, Maybe } from '../model/record';
import { REGISTRATION_FILE, RECORD_FILE } from './layout';
import { readRecord } from './read-bundle';
import { decodeRegistration } from './register';

/** Registrations looked at, newest first: a scenario that was not run for so long starts anew. */
const LOOK_BACK = 1_000;
/** Whole records read at most. */
const MOST_RECORDS = 50;

export interface SameScenario {
  readonly target: string;
  readonly systemIdentifier: string;
  readonly scenario: string;
  /** The drill that asks: itself and what is newer are left out. */
  readonly before: string;
}

/** Records of the same scenario and system, newest first. One that cannot be read is passed over, and named in `problems`. */
function* recordsBefore(drillsDir: string, about: SameScenario, problems: string[]): Generator<DrillRecord> {
  const dir = join(drillsDir, about.target);
  if (!existsSync(dir)) return;
  const drills = readdirSync(dir)
    .filter((name) => /^drill-\d{6,}$/.test(name) && isOlder(name, about.before))
    .sort((a, b) => (isOlder(a, b) ? 1 : -1))
    .slice(0, LOOK_BACK);
  let read = 0;
  for (const drill of drills) {
    if (read === MOST_RECORDS) return;
    try {
      if (!isAbout(join(dir, drill), about)) continue;
      const { record } = readRecord('', join(dir, drill));
      if (record.scenario.name !== about.scenario || record.target.systemIdentifier !== about.systemIdentifier) continue;
      read += 1;
      yield record;
    } catch (error) {
      problems.push(`${about.target} ${drill} was not looked at for earlier findings: ${messageOf(error)}`);
    }
  }
}

/** By its registration, which is small; one of before it named its scenario says nothing. */
function isAbout(dir: string, { scenario, systemIdentifier }: SameScenario): boolean {
  if (!existsSync(join(dir, RECORD_FILE))) return false;
  const path = join(dir, REGISTRATION_FILE);
  if (!existsSync(path)) return true;
  const registration = decodeRegistration(readFileSync(path), path);
  return registration.systemIdentifier === systemIdentifier && (registration.scenario ?? scenario) === scenario;
}

function isOlder(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length;
}

/** Whether a drill closes the findings that it is free of: it ran to its end and could be judged. */
export function isRetest({ state, verdict }: Pick<DrillRecord, 'state' | 'verdict'>): boolean {
  return state === 'completed' && verdict !== 'inconclusive';
}

export interface EarlierDrills {
  /** Rules whose findings are open, with the drill that had each first. */
  readonly open: ReadonlyMap<string, string>;
  readonly lastDrill: Maybe<EarlierDrill>;
  /** Bundles that could not be read, so that nobody takes silence for health. */
  readonly problems: readonly string[];
}

export function readEarlierDrills(drillsDir: string, about: SameScenario): EarlierDrills {
  const open = new Map<string, string>();
  const problems: string[] = [];
  let last: DrillRecord | null = null;
  let isSettled = false;
  for (const record of recordsBefore(drillsDir, about, problems)) {
    // Whatever an older drill had and this one has not was closed by it, and what it has it knows the beginning of.
    if (!isSettled) for (const { rule, since } of record.findings) open.set(rule, since ?? record.drill);
    isSettled ||= isRetest(record);
    if (last === null && record.state === 'completed') last = record;
    if (isSettled && last !== null) break;
  }
  const none = { notRecorded: 'no earlier drill of this scenario on this system ran to its end' };
  return { open, lastDrill: last === null ? none : comparedDrill(last), problems };
}
