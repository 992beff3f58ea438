/** The schedule file: which drill runs when. YAML with errors at line and column; it becomes Temporal schedule specs, and starts nothing by itself. */
import type { ScheduleSpec } from '@temporalio/client';
import { z } from 'zod';
import { durationBetween } from '../scenarios/quantities';
import { checkYaml, readYaml, type YamlSource } from '../scenarios/yaml-source';

const MAX_SCHEDULES = 100;

const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;
const MONTHS = [
  'january',
  'february',
  'march',
  'april',
  'may',
  'june',
  'july',
  'august',
  'september',
  'october',
  'november',
  'december',
] as const;

const name = z.string().regex(/^[a-z][a-z0-9-]{0,59}$/, 'names start with a lower-case letter and hold at most 60 of a-z, 0-9 and -');
const timeZone = z
  .string()
  .refine((zone) => zone === 'UTC' || Intl.supportedValuesOf('timeZone').includes(zone), 'is no time zone such as Europe/Vienna or UTC');
/** Five fields; Temporal's own extensions (@every, seconds) are left out, because people cannot read them at a glance. */
const cron = z.string().refine(isCron, 'is no cron expression of five fields: minute hour day month weekday');
const dayName = z.string().transform((text, context) => pick(WEEKDAYS, text, 'a weekday', context));
const monthName = z.string().transform((text, context) => pick(MONTHS, text, 'a month', context));
const list = <S extends z.ZodType>(one: S) =>
  z.union([one, z.array(one).min(1).max(31)]).transform((value) => (Array.isArray(value) ? value : [value]) as z.output<S>[]);

const calendar = z
  .strictObject({
    at: z.string().regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be a time of day like "03:30", in quotes'),
    day: list(z.int().min(1).max(31)).optional(),
    weekday: list(dayName).optional(),
    /** With one weekday: which of the month, 1…4. */
    week: z.int().min(1).max(4).optional(),
    month: list(monthName).optional(),
  })
  .refine((value) => value.week === undefined || (value.weekday !== undefined && value.day === undefined), {
    path: ['week'],
    message: 'goes with weekday, and without day',
  });

const schedule = z
  .strictObject({
    name,
    scenario: z.string().min(1),
    target: z.string().min(1).default('lab'),
    cron: cron.optional(),
    calendar: calendar.optional(),
    timeZone: timeZone.default('UTC'),
    variables: z.record(z.string(), z.union([z.string(), z.number()]).transform(String)).default({}),
    jitter: durationBetween(0, 3_600_000, '0 and 1h').optional(),
    pauseOnFailure: z.boolean().default(false),
    note: z.string().max(500).optional(),
  })
  .refine((one) => (one.cron === undefined) !== (one.calendar === undefined), 'must have either cron or calendar');

const file = z.strictObject({ schedules: z.array(schedule).min(1).max(MAX_SCHEDULES) }).superRefine(({ schedules }, context) => {
  schedules.forEach((one, index) => {
    if (schedules.findIndex((other) => other.name === one.name) !== index)
      context.addIssue({ code: 'custom', path: ['schedules', index, 'name'], message: `name "${one.name}" is used twice` });
  });
});
export type ScheduleEntry = z.output<typeof schedule>;

export interface ScheduleFile {
  readonly yaml: YamlSource;
  readonly schedules: readonly ScheduleEntry[];
}

/** Throws `file_unreadable`, `yaml_invalid`, `schedule_invalid`. */
export function readScheduleFile(path: string): ScheduleFile {
  return checkScheduleFile(readYaml(path));
}

export function checkScheduleFile(yaml: YamlSource): ScheduleFile {
  return { yaml, schedules: checkYaml(yaml, file, 'schedule_invalid').schedules };
}

/** When it runs, in Temporal's words. */
export function specOf(entry: ScheduleEntry): ScheduleSpec {
  const base = { timezone: entry.timeZone, ...(entry.jitter === undefined ? {} : { jitter: entry.jitter }) };
  if (entry.cron !== undefined) return { ...base, cronExpressions: [entry.cron] };
  const { at = '00:00', day, weekday, week, month } = entry.calendar ?? {};
  const [hour = 0, minute = 0] = at.split(':').map(Number);
  return {
    ...base,
    calendars: [
      {
        hour,
        minute,
        // The second Tuesday is the Tuesday among the days 8 to 14.
        ...(week !== undefined
          ? { dayOfMonth: { start: (week - 1) * 7 + 1, end: week * 7 } }
          : day !== undefined
            ? { dayOfMonth: day }
            : {}),
        ...(weekday === undefined ? {} : { dayOfWeek: weekday.map((index) => WEEKDAY_WORDS[index] ?? 'SUNDAY') }),
        ...(month === undefined ? {} : { month: month.map((index) => MONTH_WORDS[index] ?? 'JANUARY') }),
      },
    ],
  };
}

/** In words, as the file says it. */
export function whenText(entry: ScheduleEntry): string {
  if (entry.cron !== undefined) return `${entry.cron} ${entry.timeZone}`;
  const { at, day, weekday, week, month } = entry.calendar ?? { at: '' };
  const days =
    weekday !== undefined
      ? `${week === undefined ? 'every' : ['first', 'second', 'third', 'fourth'][week - 1]} ${weekday.map((index) => WEEKDAYS[index]).join(', ')}`
      : day !== undefined
        ? `day ${day.join(', ')}`
        : 'every day';
  return `${days}${month === undefined ? '' : ` of ${month.map((index) => MONTHS[index]).join(', ')}`} at ${at} ${entry.timeZone}`;
}

const WEEKDAY_WORDS = ['SUNDAY', 'MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY'] as const;
const MONTH_WORDS = [
  'JANUARY',
  'FEBRUARY',
  'MARCH',
  'APRIL',
  'MAY',
  'JUNE',
  'JULY',
  'AUGUST',
  'SEPTEMBER',
  'OCTOBER',
  'NOVEMBER',
  'DECEMBER',
] as const;

/** Index of the name or its first three letters. */
function pick(names: readonly string[], text: string, what: string, context: z.RefinementCtx): number {
  const wanted = text.toLowerCase();
  const index = names.findIndex((one) => one === wanted || one.slice(0, 3) === wanted);
  if (index >= 0) return index;
  context.addIssue({ code: 'custom', message: `"${text}" is not ${what}` });
  return z.NEVER;
}

function isCron(text: string): boolean {
  const limits = [
    [0, 59],
    [0, 23],
    [1, 31],
    [1, 12],
    [0, 7],
  ] as const;
  const fields = text.trim().split(/\s+/);
  return (
    fields.length === limits.length &&
    fields.every((field, index) => field.split(',').every((part) => isCronPart(part, limits[index] ?? [0, 0], index)))
  );
}

function isCronPart(part: string, [low, high]: readonly [number, number], index: number): boolean {
  const match = /^(\*|[0-9]{1,2}|[A-Za-z]{3})(?:-([0-9]{1,2}|[A-Za-z]{3}))?(?:\/([0-9]{1,2}))?$/.exec(part);
  if (match === null) return false;
  const names = index === 3 ? MONTHS : index === 4 ? WEEKDAYS : [];
  const inside = (text: string | undefined): boolean => {
    if (text === undefined || text === '*') return true;
    if (/^[0-9]+$/.test(text)) return Number(text) >= low && Number(text) <= high;
    return names.some((one) => one.slice(0, 3) === text.toLowerCase());
  };
  if (match[1] === '*' && match[2] !== undefined) return false;
  return inside(match[1]) && inside(match[2]) && (match[3] === undefined || Number(match[3]) > 0);
}
