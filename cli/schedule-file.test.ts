import { GamedayError } from '../core/errors';
import { parseYaml } from '../scenarios/yaml-source';
import { checkScheduleFile, specOf, whenText } from './schedule-file';

const read = (text: string) => checkScheduleFile(parseYaml('s.yaml', text)).schedules;
const failure = (text: string): GamedayError => {
  try {
    read(text);
  } catch (error) {
    if (error instanceof GamedayError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

test('the second Tuesday of two months at 03:30 in a time zone', () => {
  const [entry] = read(
    'schedules:\n  - name: a\n    scenario: primary-loss\n    calendar: { weekday: tue, week: 2, month: [march, sep], at: "03:30" }\n    timeZone: Europe/Vienna\n    jitter: 10m\n',
  );
  expect(specOf(entry!)).toEqual({
    timezone: 'Europe/Vienna',
    jitter: 600_000,
    calendars: [{ hour: 3, minute: 30, dayOfMonth: { start: 8, end: 14 }, dayOfWeek: ['TUESDAY'], month: ['MARCH', 'SEPTEMBER'] }],
  });
  expect(whenText(entry!)).toBe('second tuesday of march, september at 03:30 Europe/Vienna');
});

test('a cron expression and the defaults', () => {
  const [entry] = read('schedules:\n  - { name: a, scenario: primary-loss, cron: "30 3 1 * MON-FRI" }\n');
  expect(specOf(entry!)).toEqual({ timezone: 'UTC', cronExpressions: ['30 3 1 * MON-FRI'] });
  expect(entry).toMatchObject({ target: 'lab', pauseOnFailure: false, variables: {} });
});

test.each([
  ['{ name: a, scenario: x }', '2:5: schedules[0]: must have either cron or calendar'],
  ['{ name: a, scenario: x, cron: "61 * * * *" }', '2:35: schedules[0].cron: is no cron expression'],
  ['{ name: a, scenario: x, cron: "0 3 * *" }', 'is no cron expression of five fields'],
  ['{ name: a, scenario: x, cron: "0 3 1 * *", timeZone: Vienna }', 'is no time zone'],
  ['{ name: a, scenario: x, cron: "0 3 1 * *", timezone: UTC }', 'unknown key (did you mean "timeZone"?)'],
  ['{ name: a, scenario: x, calendar: { at: "25:00" } }', 'must be a time of day'],
  ['{ name: a, scenario: x, calendar: { at: "05:00", week: 2 } }', 'goes with weekday'],
  ['{ name: a, scenario: x, calendar: { at: "05:00", weekday: someday } }', '"someday" is not a weekday'],
])('%s is refused: %s', (entry, words) => {
  const error = failure(`schedules:\n  - ${entry}\n`);
  expect(error.code).toBe('schedule_invalid');
  expect(error.message).toMatch(/^s\.yaml:2:\d+: /);
  expect(error.message).toContain(words);
});
