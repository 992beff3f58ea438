/**
 * Log lines without what they may say of anybody: time, process and severity always, the message only where it is one that is known to hold no value of a
 * table. DETAIL, HINT, CONTEXT, STATEMENT and every line that cannot be read are dropped. What is left out is counted, never hidden. Pure.
 */

/** `say`: the message as it may be shown, or null. */
export type Sayable = (message: string) => string | null;

export interface RedactedLog {
  readonly lines: readonly string[];
  /** Messages of which only time and severity are kept. */
  readonly withheld: number;
  /** Lines that are left out whole. */
  readonly dropped: number;
}

interface LogLine {
  readonly time: string | null;
  readonly pid: string | null;
  readonly severity: string;
  readonly message: string;
}

const TIME = /[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,6})?(?: (?:[A-Z]{1,5}|[+-][0-9]{2,4})(?= |$))?/;
const PID = /\[([0-9]{1,7})\]/;
/** Longer prefixes than this hold more than a prefix. */
const MAX_PREFIX = 400;
const WITHHELD = '(withheld)';

/** PostgreSQL's stderr format, whatever its `log_line_prefix`: user, database, client and application of the prefix are never kept. */
export function readServerLine(line: string): LogLine | null {
  const match = /(?:^|[\s\]>:|])(DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC): {2}(.*)$/.exec(line.slice(0, MAX_PREFIX + 4_000));
  if (match?.[1] === undefined || match.index > MAX_PREFIX || /^\s/.test(line)) return null;
  const prefix = line.slice(0, match.index);
  // With log_error_verbosity = verbose the message begins with its SQLSTATE.
  return { ...stamped(prefix), severity: match[1], message: (match[2] ?? '').replace(/^[0-9A-Z]{5}: /, '') };
}

/**
 * Patroni (`2026-11-28 20:01:32,123 INFO: …`, or with `log.type: json` an object of `asctime`, `levelname` and `message`), pg_autoctl (`20:01:32 123 INFO  …`) and
 * repmgrd (`[2026-11-28 20:01:32] [INFO] …`).
 */
export function readAgentLine(line: string): LogLine | null {
  if (line.startsWith('{')) return readJsonLine(line);
  const match = /^(.{8,40}?)\s\[?(DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|CRITICAL|FATAL|ALERT)\]?:?\s+(.*)$/.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return null;
  const clock = /^([0-9]{2}:[0-9]{2}:[0-9]{2}) ([0-9]{1,7})$/.exec(match[1]);
  const when = clock === null ? stamped(match[1]) : { time: clock[1] ?? null, pid: clock[2] ?? null };
  return when.time === null ? null : { ...when, severity: match[2], message: match[3] ?? '' };
}

/** Keys of a log's own choice say nothing certain: such a line is read by nobody. */
function readJsonLine(line: string): LogLine | null {
  const { asctime, levelname, message } = parsed(line);
  if (typeof asctime !== 'string' || typeof levelname !== 'string' || typeof message !== 'string') return null;
  const { time, pid } = stamped(asctime);
  return time === null || !/^[A-Z]{4,8}$/.test(levelname) ? null : { time, pid, severity: levelname, message };
}

function parsed(line: string): { readonly [key: string]: unknown } {
  try {
    return JSON.parse(line) as { readonly [key: string]: unknown };
  } catch {
    return {};
  }
}

function stamped(prefix: string): Pick<LogLine, 'time' | 'pid'> {
  return { time: TIME.exec(prefix)?.[0] ?? null, pid: PID.exec(prefix)?.[1] ?? null };
}

/** Lines of a log as they may be kept; what repeats without a break stands once, with how often. */
export function redactLog(text: string, read: (line: string) => LogLine | null, say: Sayable): RedactedLog {
  const lines: string[] = [];
  let [withheld, dropped, again] = [0, 0, 0];
  let last = '';
  const closeRun = (): void => {
    if (again > 0) lines.push(`… the same ${again} ${again === 1 ? 'time' : 'times'} more`);
    again = 0;
  };
  for (const row of text.split('\n')) {
    if (row === '') continue;
    const line = read(row);
    if (line === null) {
      dropped += 1;
      continue;
    }
    const said = say(line.message);
    if (said === null) withheld += 1;
    const shown = `${line.severity}:  ${said ?? WITHHELD}`;
    if (shown === last) {
      again += 1;
      continue;
    }
    closeRun();
    last = shown;
    lines.push(`${line.time ?? 'time not recorded'} [${line.pid ?? '-'}] ${shown}`);
  }
  closeRun();
  return { lines, withheld, dropped };
}

/** What a program said, without what a server may have told it: `psql: ERROR:  …` keeps its severity only, unless its message is a known one. */
export function withoutServerWords(text: string, say: Sayable): string {
  return text
    .split('\n')
    .flatMap((line) => {
      if (/^LINE [0-9]+: |^\s*\^\s*$/.test(line)) return [];
      const match = /^(.*?)\b(LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT|QUERY): {2}(.*)$/.exec(line);
      if (match === null) return [line];
      const [, before = '', severity = '', message = ''] = match;
      if (/^(?:DETAIL|HINT|CONTEXT|STATEMENT|QUERY)$/.test(severity)) return [];
      return [`${before}${severity}:  ${say(message) ?? WITHHELD}`];
    })
    .join('\n');
}
