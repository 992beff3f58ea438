/**
 * Findings from drill to drill: born by the rules of a record, kept open until a retest is free of them, owned and accepted by people in between.
 * Bundles are never changed: what people decide stands beside them, one line a decision, appended and never rewritten.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { sha256Hex } from '../core/files';
import type { DrillRecord, RecordFinding } from '../model/record';
import { isRetest, type EarlierDrills, type SameScenario } from './earlier-drills';
import type { KnownFinding } from './findings';
import { listDrills } from './read-bundle';

const REGISTER_FILE = 'findings.jsonl';

const decisionSchema = z.strictObject({
  key: z.string(),
  at: z.string(),
  by: z.string(),
  owner: z.string().nullable(),
  /** `2026-12-31` */
  due: z.string().nullable(),
  accepted: z.strictObject({ until: z.string(), reason: z.string() }).nullable(),
});
/** What one person decided; `null` leaves as it was. */
export type FindingDecision = z.infer<typeof decisionSchema>;

export type FindingState = 'open' | 'accepted' | 'closed';

/** One finding over all drills of a scenario on a target. */
export interface FindingStory {
  /** `f-3a91c0d2e4`: names it for good. */
  readonly key: string;
  readonly target: string;
  readonly scenario: string;
  readonly rule: string;
  readonly severity: RecordFinding['severity'];
  /** As the newest drill that has it says it. */
  readonly text: string;
  readonly firstDrill: string;
  readonly lastDrill: string;
  /** Drills that had it. */
  readonly seen: number;
  readonly state: FindingState;
  /** The retest that was free of it. */
  readonly closedBy: string | null;
  readonly owner: string | null;
  readonly due: string | null;
  readonly accepted: { readonly by: string; readonly until: string; readonly reason: string } | null;
  readonly isOverdue: boolean;
}

type Told = Pick<DrillRecord, 'drill' | 'state' | 'verdict' | 'startedAt' | 'findings'> & {
  readonly target: Pick<DrillRecord['target'], 'name' | 'systemIdentifier'>;
  readonly scenario: Pick<DrillRecord['scenario'], 'name'>;
};

export function findingKey(systemIdentifier: string, scenario: string, rule: string): string {
  return `f-${sha256Hex(JSON.stringify([systemIdentifier, scenario, rule])).slice(0, 10)}`;
}

/**
 * Stories of all findings, oldest first. `records` in the order in which the drills began. A finding is closed by a later drill of the same scenario that ran to
 * its end, could be judged, and is free of it; one that comes back is open again, under its old name. Pure; `today` as `2026-11-28`.
 */
export function findingStories(records: readonly Told[], decisions: readonly FindingDecision[], today: string): readonly FindingStory[] {
  const stories = new Map<string, FindingStory>();
  for (const record of records) {
    const { target, scenario, findings } = record;
    const present = new Set<string>();
    for (const finding of findings) {
      const key = findingKey(target.systemIdentifier, scenario.name, finding.rule);
      present.add(key);
      stories.set(key, continued(stories.get(key), key, record, finding));
    }
    if (!isRetest(record)) continue;
    for (const story of stories.values())
      if (isSameSeries(story, record) && !present.has(story.key) && story.state === 'open')
        stories.set(story.key, { ...story, state: 'closed', closedBy: record.drill });
  }
  return [...stories.values()].map((story) => decided(story, decisions, today));
}

function isSameSeries(story: FindingStory, { target, scenario }: Told): boolean {
  return story.scenario === scenario.name && story.key === findingKey(target.systemIdentifier, scenario.name, story.rule);
}

function continued(before: FindingStory | undefined, key: string, record: Told, { rule, severity, text }: RecordFinding): FindingStory {
  return {
    key,
    target: record.target.name,
    scenario: record.scenario.name,
    rule,
    severity,
    text,
    firstDrill: before === undefined || before.state === 'closed' ? record.drill : before.firstDrill,
    lastDrill: record.drill,
    seen: (before?.seen ?? 0) + 1,
    state: 'open',
    closedBy: null,
    owner: null,
    due: null,
    accepted: null,
    isOverdue: false,
  };
}

/** Later decisions stand over earlier ones. */
function standing(key: string, decisions: readonly FindingDecision[]): Pick<FindingStory, 'owner' | 'due' | 'accepted'> {
  const own = decisions.filter((one) => one.key === key);
  const acceptance = own.findLast(({ accepted }) => accepted !== null);
  return {
    owner: own.findLast((one) => one.owner !== null)?.owner ?? null,
    due: own.findLast((one) => one.due !== null)?.due ?? null,
    accepted: acceptance?.accepted == null ? null : { by: acceptance.by, ...acceptance.accepted },
  };
}

/** With what people decided; an acceptance ends with its day. */
function decided(story: FindingStory, decisions: readonly FindingDecision[], today: string): FindingStory {
  const { owner, due, accepted } = standing(story.key, decisions);
  const isAccepted = story.state === 'open' && accepted !== null && accepted.until >= today;
  return {
    ...story,
    owner,
    due,
    accepted,
    state: isAccepted ? 'accepted' : story.state,
    isOverdue: story.state === 'open' && !isAccepted && due !== null && due < today,
  };
}

/** Stories of one home's drills, of one target or of all. `problems`: bundles that could not be read, so that nobody takes silence for health. */
export function readFindings(
  drillsDir: string,
  target: string | null,
  today: string,
): { readonly stories: readonly FindingStory[]; readonly problems: readonly string[] } {
  const drills = listDrills(drillsDir).filter((entry) => target === null || entry.target === target);
  const targets = [...new Set(drills.map((entry) => entry.target))];
  const records = drills.flatMap(({ record }) => (record === null ? [] : [record]));
  const decisions = targets.flatMap((name) => readDecisions(drillsDir, name));
  const problems = drills.flatMap(({ target: name, drill, problem }) => (problem === null ? [] : [`${name} ${drill}: ${problem}`]));
  return { stories: findingStories([...records].sort(byStart), decisions, today), problems };
}

function byStart(a: DrillRecord, b: DrillRecord): number {
  return a.startedAt < b.startedAt ? -1 : a.startedAt > b.startedAt ? 1 : 0;
}

/** What the next record of this scenario should know: its open findings, with what people decided about them. */
export function knownFindings(
  drillsDir: string,
  about: Pick<SameScenario, 'target' | 'systemIdentifier' | 'scenario'>,
  open: EarlierDrills['open'],
  today: string,
): readonly KnownFinding[] {
  const decisions = readDecisions(drillsDir, about.target);
  return [...open].map(([rule, since]) => {
    const { owner, due, accepted } = standing(findingKey(about.systemIdentifier, about.scenario, rule), decisions);
    const isAccepted = accepted !== null && accepted.until >= today;
    return { rule, since, owner, due, accepted: isAccepted ? `${accepted.by} until ${accepted.until}: ${accepted.reason}` : null };
  });
}

/** Throws `bundle_invalid` with the line that is damaged: a decision that is left out would reopen or hide a finding. */
function readDecisions(drillsDir: string, target: string): readonly FindingDecision[] {
  const path = join(drillsDir, target, REGISTER_FILE);
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((text, at) => {
    if (text === '') return [];
    try {
      return [decisionSchema.parse(JSON.parse(text))];
    } catch (error) {
      throw new GamedayError('bundle_invalid', `${path}:${at + 1} is no decision about a finding`, 'restore the line or remove it.', {
        cause: error,
      });
    }
  });
}

/** Appends one decision about a finding of `target`. */
export function decide(drillsDir: string, target: string, decision: FindingDecision): void {
  mkdirSync(join(drillsDir, target), { recursive: true });
  appendFileSync(join(drillsDir, target, REGISTER_FILE), `${JSON.stringify(decisionSchema.parse(decision))}\n`);
}
