/**
 * Ways in: what each group of clients saw, by path, kind of operation and habit. One row a view, the main one among them, in the same words in every
 * format. A silence without an error is told as such: nobody may read "0 failed" as "nothing happened". Pure.
 */
import { formatMs } from '../core/units';
import type { Interval, PhaseLatency, RtoMeasurement, ViewMeasurement } from '../model/measurement';
import { READ_ONLY } from '../model/observation';
import type { DrillRecord, Maybe } from '../model/record';
import { markup, type Markup } from './markup';
import { formatCount, formatInterval, isNotRecorded } from './words';

/** Of the figures, which stand between the clients' name and their story. */
export const VIEW_FIGURES = [
  'Outages',
  'RTO',
  'Without success',
  'Failed / not sent',
  'Longest stall',
  'p99 before / during / after',
] as const;

/** Another view differs a lot from the main one where neither of their bounds, half as long again and a second more, would reach the other's. */
const FAR_FACTOR = 1.5;
const FAR_MS = 1_000;
const MAX_LINES = 4;
const PHASES = ['before', 'during', 'after'] as const;

export interface ViewRow {
  readonly clients: string;
  /** In the order of `VIEW_FIGURES`. */
  readonly figures: readonly string[];
  /** One clause: what somebody would tell who stood behind this client. */
  readonly story: string;
  /** Why this view proves nothing, beyond what is said of the main one. */
  readonly doubts: readonly string[];
}

/** Every view, the main one first of its kind, writes before reads. */
export function viewRows(record: DrillRecord): Maybe<readonly ViewRow[]> {
  const views = viewsOf(record);
  if (isNotRecorded(views)) return views;
  const [main] = views;
  const ordered = [...views.filter(({ kind }) => kind === 'write'), ...views.filter(({ kind }) => kind === 'read')];
  return ordered.map((view) => {
    const known = view === main ? [] : (main?.rto.inconclusive ?? []);
    const { rto } = view;
    return {
      clients: nameOf(view),
      figures: [
        formatCount(rto.outages.length),
        rtoText(rto),
        downText(rto),
        `${formatCount(failedOf(rto))} / ${formatCount(rto.counts.missed)}`,
        formatMs(rto.longestStallMs),
        PHASES.map((phase) => p99Text(rto.latencies.find((each) => each.phase === phase))).join(' / '),
      ],
      story: storyOf(view),
      doubts: [...rto.contradictions.map((text) => `Contradiction: ${text}`), ...rto.inconclusive.filter((text) => !known.includes(text))],
    };
  });
}

/** For the terminal: a line for each view that differs a lot from the main one, a few at most. */
export function viewLines(record: DrillRecord): readonly string[] {
  const views = viewsOf(record);
  if (isNotRecorded(views)) return [];
  const [main, ...others] = views;
  const far = others.filter(({ rto }) => main !== undefined && differs(main.rto, rto));
  const lines = far.slice(0, MAX_LINES).map((view) => `${nameOf(view)}: ${storyOf(view)}`);
  return far.length <= MAX_LINES ? lines : [...lines, `${far.length - MAX_LINES} more ways in differ as much: see the report`];
}

/** The section's body in HTML. */
export function viewsSection(record: DrillRecord): Markup {
  const rows = viewRows(record);
  if (isNotRecorded(rows)) return markup`<p>Not recorded: ${rows.notRecorded}</p>`;
  const head = VIEW_FIGURES.map((name) => markup`<th scope="col" class="num">${name}</th>`);
  const body = rows.map(({ clients, figures, story, doubts }) => {
    const cells = figures.map((figure) => markup`<td class="num">${figure}</td>`);
    return markup`<tr><th scope="row">${clients}${[story, ...doubts].map((text) => markup`<small>${text}</small>`)}</th>${cells}</tr>`;
  });
  return markup`<p class="note">${VIEWS_NOTE}</p><div class="scroll"><table><thead><tr><th scope="col">Clients, and what they saw</th>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

export const VIEWS_NOTE =
  'Each row is measured by itself; the headline RTO is that of the first. A tuned client gives up after its deadline and connects again; a naive one has no deadline at all, as default drivers. Failed: refused, or nobody knows whether it happened. Not sent: no connection was to be had, or every one was still waiting for an answer.';

/** The main view first. */
function viewsOf({ rto, rpo, views }: DrillRecord): Maybe<readonly ViewMeasurement[]> {
  if (isNotRecorded(rto)) return rto;
  const kind = isNotRecorded(rpo) && rpo.notRecorded === READ_ONLY ? 'read' : 'write';
  return [{ kind, path: 'entry', client: 'tuned', rto }, ...views];
}

function nameOf({ kind, path, client }: ViewMeasurement): string {
  return `${kind}s by ${path}, ${client} client`;
}

function rtoText({ rto, rtoAtLeastMs, noOutageAboveMs, inconclusive }: RtoMeasurement): string {
  if (rto !== null) return formatInterval(rto);
  if (rtoAtLeastMs !== null) return `at least ${formatMs(rtoAtLeastMs)}, not recovered`;
  if (noOutageAboveMs !== null) return `no outage above ${formatMs(noOutageAboveMs)}`;
  return `not recorded: ${inconclusive[0] ?? 'nothing was acknowledged'}`;
}

function downText({ outages, downMs }: RtoMeasurement): string {
  if (outages.length === 0) return '–';
  return downMs === null ? 'to the end' : formatInterval(downMs);
}

function p99Text(phase: PhaseLatency | undefined): string {
  if (phase === undefined) return 'not recorded';
  return phase.latency === null ? 'nothing answered' : formatMs(phase.latency.p99Ms);
}

function storyOf({ rto }: ViewMeasurement): string {
  const { counts, outages, downMs, noOutageAboveMs } = rto;
  const failed = failedOf(rto);
  if (outages.length === 0) {
    const beside = failed === 0 ? '' : `, ${statements(failed)} failed beside others that succeeded`;
    return noOutageAboveMs === null ? 'nothing was acknowledged at all' : `no outage above ${formatMs(noOutageAboveMs)}${beside}`;
  }
  const long = downMs === null ? 'until the end' : `for ${formatInterval(downMs)}`;
  const silence = `${failed === 0 ? 'answered' : 'acknowledged'} ${long}${outages.length === 1 ? '' : `, in ${outages.length} outages`}`;
  const unsent = counts.missed === 0 ? '' : `, ${formatCount(counts.missed)} ${counts.missed === 1 ? 'was' : 'were'} not sent`;
  const told =
    failed === 0 ? `0 statements failed, yet nothing was ${silence}` : `${statements(failed)} failed${unsent}; nothing was ${silence}`;
  return rto.rto === null && downMs !== null ? `${told}; not recovered when the drill ended` : told;
}

const failedOf = ({ counts }: RtoMeasurement): number => counts.rejected + counts.indeterminate;

function statements(count: number): string {
  return `${formatCount(count)} statement${count === 1 ? '' : 's'}`;
}

function differs(main: RtoMeasurement, other: RtoMeasurement): boolean {
  const [a, b] = [lasted(main), lasted(other)];
  return isFar(a, b) || isFar(b, a);
}

/** No outage lasts no time; what is not over, or never had a success, lasts for ever. */
function lasted({ rto, noOutageAboveMs }: RtoMeasurement): Interval {
  if (rto !== null) return rto;
  return noOutageAboveMs !== null ? { lowMs: 0, highMs: 0 } : { lowMs: Infinity, highMs: Infinity };
}

function isFar(longer: Interval, shorter: Interval): boolean {
  return longer.lowMs > FAR_FACTOR * shorter.highMs + FAR_MS;
}
