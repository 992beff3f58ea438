/**
 * `junit.xml`: the record as test results, for CI systems and dashboards that read nothing else. An objective that was missed or marginal is a failure,
 * one that could not be proven is an error; what was not executed is skipped. Nothing is counted as passed that the record does not say passed. Pure.
 */
import type { ObjectiveResult } from '../model/measurement';
import type { CheckResult, DrillRecord, FaultRecord, StepRecord } from '../model/record';
import { escapeHtml } from './markup';
import { boundsText, measuredText, objectiveWord, targetText, textOf } from './words';

type Outcome = 'passed' | 'failure' | 'error' | 'skipped';

interface TestCase {
  readonly group: 'objective' | 'fault' | 'step' | 'verification' | 'restore' | 'redundancy';
  readonly name: string;
  /** Seconds; null where nothing was timed. */
  readonly seconds: number | null;
  readonly outcome: Outcome;
  readonly message: string;
}

/** One test suite a drill, in the dialect that Jenkins, GitLab and GitHub read. Ends with a newline. */
export function renderJunit(record: DrillRecord): string {
  const cases = casesOf(record);
  const count = (outcome: Outcome): number => cases.filter((one) => one.outcome === outcome).length;
  const seconds = Math.max(0, Date.parse(record.endedAt) - Date.parse(record.startedAt)) / 1_000;
  const counts = `tests="${cases.length}" failures="${count('failure')}" errors="${count('error')}" skipped="${count('skipped')}" time="${seconds.toFixed(3)}"`;
  const properties = [
    ['drill', record.drill],
    ['target', record.target.name],
    ['system_identifier', record.target.systemIdentifier],
    ['state', record.state],
    ['verdict', record.verdict],
    ['type', record.type],
    ['plan_sha256', record.planSha256],
    ['registration_sha256', record.registrationSha256],
  ] as const;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="gameday" ${counts}>`,
    `  <testsuite name="${xml(`${record.target.name} ${record.drill}: ${record.scenario.title}`)}" ${counts} timestamp="${xml(record.startedAt.slice(0, 19))}">`,
    '    <properties>',
    ...properties.map(([name, value]) => `      <property name="${name}" value="${xml(value)}"/>`),
    '    </properties>',
    ...cases.flatMap((one) => testCase(record, one)),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function testCase(record: DrillRecord, { group, name, seconds, outcome, message }: TestCase): readonly string[] {
  const open = `    <testcase classname="${xml(`gameday.${record.scenario.name}.${group}`)}" name="${xml(name)}"${seconds === null ? '' : ` time="${seconds.toFixed(3)}"`}`;
  if (outcome === 'passed') return [`${open}/>`];
  const detail = outcome === 'skipped' ? `<skipped message="${xml(message)}"/>` : `<${outcome} message="${xml(message)}" type="${group}"/>`;
  return [`${open}>`, `      ${detail}`, '    </testcase>'];
}

function casesOf(record: DrillRecord): readonly TestCase[] {
  return [
    ...record.judgement.objectives.map(objectiveCase),
    ...record.faults.map(faultCase),
    ...record.steps.map(stepCase),
    ...record.verification.map((check) => checkCase('verification', check.name, check)),
    ...record.restores.flatMap(({ step, checks }) => checks.map((check) => checkCase('restore', `${step}: ${check.name}`, check))),
    redundancyCase(record),
  ];
}

function objectiveCase(result: ObjectiveResult): TestCase {
  const outcome = { pass: 'passed', fail: 'failure', marginal: 'failure', inconclusive: 'error' } as const;
  const bounds = boundsText(result);
  const seconds = result.objective.unit === 'ms' && result.measured !== null ? result.measured / 1_000 : null;
  return {
    group: 'objective',
    name: `${objectiveWord(result)} ${targetText(result)}`,
    seconds,
    outcome: outcome[result.verdict],
    message: `${result.verdict}: measured ${measuredText(result)}${bounds === null ? '' : ` (${bounds})`}; ${result.reason}`,
  };
}

/** A fault that did not bite proves nothing; one that stays is the worst that a drill can do. */
function faultCase(fault: FaultRecord): TestCase {
  const outcome = !fault.healed ? 'failure' : fault.confirmed ? 'passed' : 'error';
  const message = !fault.healed ? `not proven gone: ${textOf(fault.goneBy)}` : `not shown to bite: ${textOf(fault.confirmedBy)}`;
  return { group: 'fault', name: `${fault.step}: ${fault.fault} bites and comes off`, seconds: null, outcome, message };
}

function stepCase({ id, title, outcome, reason, startedAt, endedAt }: StepRecord): TestCase {
  const seconds = startedAt === null || endedAt === null ? null : (Date.parse(endedAt) - Date.parse(startedAt)) / 1_000;
  const result = { done: 'passed', failed: 'failure', 'not executed': 'skipped' } as const;
  return { group: 'step', name: `${id}: ${title}`, seconds, outcome: result[outcome], message: reason ?? 'not recorded: no reason' };
}

function checkCase(group: TestCase['group'], name: string, { ok, found, expected }: CheckResult): TestCase {
  return { group, name, seconds: null, outcome: ok ? 'passed' : 'failure', message: `found ${found}, expected ${expected}` };
}

function redundancyCase({ redundancy }: DrillRecord): TestCase {
  const base = { group: 'redundancy', name: 'the starting topology stands again', seconds: null } as const;
  if ('notRecorded' in redundancy) return { ...base, outcome: 'skipped', message: `not recorded: ${redundancy.notRecorded}` };
  return { ...base, outcome: redundancy.regained ? 'passed' : 'failure', message: redundancy.differences.join('; ') };
}

/** Also drops what XML 1.0 forbids: half surrogates and the last two code points of the plane. */
function xml(text: string): string {
  return escapeHtml(text.replace(/[\ud800-\udfff\ufffe\uffff]/gu, ''));
}
