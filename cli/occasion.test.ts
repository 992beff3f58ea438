import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FindingStory } from '../evidence/finding-register';
import { samplePlan } from '../test/sample-plan';
import { occasionOf, retestable } from './occasion';

const home = mkdtempSync(join(tmpdir(), 'gd-occasion-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const plan = samplePlan([]);
const story: FindingStory = {
  key: 'f-3a91c0d2e4',
  target: plan.target.name,
  scenario: plan.scenario.name,
  rule: 'no-watchdog',
  severity: 'medium',
  text: 'no watchdog',
  firstDrill: 'drill-000001',
  lastDrill: 'drill-000001',
  seen: 1,
  state: 'open',
  closedBy: null,
  owner: null,
  due: null,
  accepted: null,
  isOverdue: false,
};

test('what was not said is left out, what was said is kept', () => {
  expect(occasionOf(home, {}, plan)).toEqual({});
  expect(occasionOf(home, { unannounced: true }, plan)).toEqual({ announced: false });
  expect(occasionOf(home, { announced: true, change: ' CHG-1042 ' }, plan)).toEqual({
    announced: true,
    trigger: { kind: 'change', name: 'CHG-1042' },
  });
});

test.each([
  [{ announced: true, unannounced: true }, /contradict/],
  [{ change: 'CHG-1', retest: 'f-1' }, /each name the reason/],
  [{ change: '  ' }, /no name of 1 to 80/],
  [{ retest: 'f-0000000000' }, /no such finding/],
])('%j is refused', (options, message) => {
  expect(() => occasionOf(home, options, plan)).toThrow(message);
});

test('a retest is of a finding that this drill could clear', () => {
  expect(retestable(story.key, [story], plan)).toBe(story);
  expect(() => retestable(story.key, [{ ...story, scenario: 'other' }], plan)).toThrow(/found by other on .* cannot clear it/);
  expect(() => retestable(story.key, [{ ...story, target: 'other' }], plan)).toThrow(/cannot clear it/);
  expect(() => retestable(story.key, [{ ...story, state: 'closed', closedBy: 'drill-000009' }], plan)).toThrow(
    /drill-000009 has closed it/,
  );
});
