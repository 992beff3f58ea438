/**
 * When a controller noticed a failure and decided, by the logs of its agents: lines of known meaning, with their stamps in UTC. Only Patroni's are known.
 * Of a line that tells nothing of the two nothing is kept here, and no words that an excerpt would withhold. Pure.
 */
import { openAgentMessages } from './agent-messages';
import { readAgentLine } from './log-lines';

/**
 * `noticed`: that nobody holds the leader's key, or that it cannot be kept. `decided`: this node leads next. `names`: who leads, where that is another than the
 * log named before. `stepped down`: the leader gives up by itself.
 */
type AgentMeaning = 'noticed' | 'decided' | 'names' | 'stepped down';

export interface AgentLine {
  readonly means: AgentMeaning;
  /** Of `names`; else null. */
  readonly leader: string | null;
  /** By the node's clock, RFC 3339 UTC. It was written then or less than `resolutionMs` later. */
  readonly at: string;
  readonly resolutionMs: number;
  /** As an excerpt shows it. */
  readonly words: string;
}

/** Of one node: what its agent wrote, or why that is not known. */
export type AgentLog =
  { readonly node: string; readonly lines: readonly AgentLine[] } | { readonly node: string; readonly notRecorded: string };

/** A log of hours in which nobody ever leads repeats itself. */
const MOST_LINES = 500;

/** Messages of patroni/ha.py, alike in 3.0.2 and 4.1.5. Each line is written after what it tells of. */
const MEANINGS: readonly (readonly [AgentMeaning, RegExp])[] = [
  ['names', /^Lock owner: (?!None;)(\S+); I am /],
  ['names', /^no action\. I am \((\S+)\), the (?:standby )?leader with the lock$/],
  ['names', /^no action\. I am \(\S+\), a secondary,? and following a (?:standby )?leader \((\S+)\)$/],
  ['noticed', /^Lock owner: None; I am /],
  ['noticed', /^(?:My wal position exceeds|My timeline \d+ is behind|Wal position of \S+ is ahead|Primary \(\S+\) is still alive)/],
  ['noticed', /^(?:not healthy enough for leader race|Could not take out TTL lock|failed to update leader lock)$/],
  ['noticed', /^following (?:a different leader because|new leader after trying and failing to obtain lock)/],
  ['decided', /^promoted self to (?:a standby )?leader |^acquired session lock as a leader$/],
  ['decided', /^(?:Cleaning up|Updating) failover key after acquiring leader lock/],
  ['stepped down', /^[Dd]emot(?:ing|ed) self (?:because|\()|^(?:switchover|manual failover): (?:demote in progress|demoting myself)$/],
];

/**
 * Others are asked (fetch_node_status) in the race for a key that nobody holds; but with the key held, too: by the leader before it hands over and in failsafe mode
 * (POST), and by whoever is told to switch over (patroni/api.py, is_failover_possible). So such a line tells of the race alone that the same node's loop ends in.
 */
const ASKED = /^(?:Got response from|Request failed to) /;
const RACE_ENDS =
  /^(?:promoted self to (?:a standby )?leader by acquiring|acquired session lock as a leader$|following (?:a different leader because|new leader after trying)|My wal position exceeds|My timeline |Wal position of |Primary \(|Could not take out TTL lock$)/;
/** Somebody's order: who is asked after it may be asked for that. */
const ORDERED =
  /^(?:received (?:failover|switchover) request with |(?:manual failover|failover|switchover): |(?:Cleaning up|Updating) failover key after )/;
/** How a loop begins; all else of `MEANINGS` is how one ends, or close to it. */
const LOOP_BEGINS = /^Lock owner: /;

/** Of the lines that ask others, those that tell that nobody holds the key: known once the loop that wrote them has ended. */
class Races {
  private asked: AgentLine[] = [];
  private ordered = false;

  ask(line: AgentLine): void {
    if (!this.ordered) this.asked.push(line);
  }

  order(): void {
    this.asked = [];
    this.ordered = true;
  }

  /** What was asked before this line, if in a race. */
  endedBy(words: string): readonly AgentLine[] {
    const asked = RACE_ENDS.test(words) ? this.asked : [];
    this.asked = [];
    if (!LOOP_BEGINS.test(words)) this.ordered = false;
    return asked;
  }
}

/** `text`: the raw log; `utcOffset`: of its stamps, as `date +%z` prints it; `names`: of the target's nodes. */
export function readAgentLog(node: string, text: string, utcOffset: string, names: readonly string[]): AgentLog {
  const say = openAgentMessages(names);
  const lines: AgentLine[] = [];
  const races = new Races();
  let [read, named] = [0, ''];
  for (const row of text.split('\n')) {
    const line = readAgentLine(row);
    const stamp = line?.time == null ? null : readStamp(line.time, utcOffset);
    if (line === null || stamp === null) continue;
    read += 1;
    if (ORDERED.test(line.message)) races.order();
    const words = say(line.message);
    if (words !== null && ASKED.test(words)) races.ask({ means: 'noticed', leader: null, ...stamp, words });
    const meaning = words === null ? null : meaningOf(words);
    if (words === null || meaning === null) continue;
    lines.push(...races.endedBy(words));
    if (meaning.means === 'names' && meaning.leader === named) continue;
    named = meaning.leader ?? named;
    lines.push({ ...meaning, ...stamp, words });
  }
  if (read === 0 && text.trim() !== '')
    return { node, notRecorded: 'no line of the log bears a time and a severity as Patroni writes them' };
  if (lines.length > MOST_LINES) return { node, notRecorded: `more than ${MOST_LINES} of its lines tell of failovers` };
  return { node, lines };
}

function meaningOf(words: string): Pick<AgentLine, 'means' | 'leader'> | null {
  for (const [means, pattern] of MEANINGS) {
    const match = pattern.exec(words);
    if (match !== null) return { means, leader: means === 'names' ? (match[1] ?? null) : null };
  }
  return null;
}

/** `2026-11-28 20:01:32,123`, with the log's own zone behind it where it writes one. What is cut off behind the last digit is the resolution. */
function readStamp(time: string, utcOffset: string): Pick<AgentLine, 'at' | 'resolutionMs'> | null {
  const [, day, clock, fraction = '', zone = utcOffset] = /^(\S{10})[ T](\d{2}:\d{2}:\d{2})(?:[.,](\d{1,6}))?(?: (\S+))?$/.exec(time) ?? [];
  const [, sign, hours, minutes = '00'] = /^([+-])(\d{2}):?(\d{2})?$/.exec(zone === 'UTC' || zone === 'GMT' ? '+00' : zone) ?? [];
  if (day === undefined || sign === undefined) return null;
  const digits = fraction.slice(0, 3);
  const ms = Date.parse(`${day}T${clock}.${digits.padEnd(3, '0')}${sign}${hours}:${minutes}`);
  return Number.isNaN(ms) ? null : { at: new Date(ms).toISOString(), resolutionMs: 10 ** (3 - digits.length) };
}
