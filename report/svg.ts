/** The few shapes that the charts are made of, and the ground they stand on: lane labels at the left, one time axis below. Colours are classes of the theme. Pure. */
import { markup, type Markup } from './markup';
import { ticksOf, type TimeAxis } from './time-axis';

export const WIDTH = 1120;
export const GUTTER = 128;
const RIGHT = 12;

/** x of an instant, clamped to the plot, to a tenth of a pixel. */
export function xOf(axis: TimeAxis, atMs: number): number {
  const share = (atMs - axis.fromMs) / (axis.toMs - axis.fromMs);
  return round(GUTTER + Math.min(1, Math.max(0, share)) * (WIDTH - GUTTER - RIGHT));
}

export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  /** Class of the theme: colour and, where it matters, a pattern. */
  readonly look: string;
  /** Drawn inside if there is room. */
  readonly label: string;
  /** Read out and shown on hover. */
  readonly title: string;
}

/** A bar in a lane; never thinner than 2 px, so that a short event is seen; null if it is outside the axis. */
export function spanShape(axis: TimeAxis, span: Span, y: number, height: number): Markup | null {
  if (span.toMs < axis.fromMs || span.fromMs > axis.toMs) return null;
  const x = xOf(axis, span.fromMs);
  const width = Math.max(2, round(xOf(axis, span.toMs) - x));
  const fits = span.label !== '' && width > span.label.length * 6.4 + 10;
  return markup`<g><title>${span.title}</title><rect class="${span.look}" x="${x}" y="${y}" width="${width}" height="${height}" rx="3"/>${
    fits ? markup`<text class="in ${span.look}-text" x="${x + 6}" y="${y + height / 2 + 4}">${span.label}</text>` : null
  }</g>`;
}

export function laneLabel(text: string, y: number, height: number): Markup {
  const short = text.length > 19 ? `${text.slice(0, 18)}…` : text;
  return markup`<text class="lane" x="${GUTTER - 12}" y="${y + height / 2 + 4}" text-anchor="end">${short}${short === text ? null : markup`<title>${text}</title>`}</text>`;
}

/** Vertical rules with their labels below the plot. */
export function timeGrid(axis: TimeAxis, top: number, bottom: number): Markup {
  return markup`<g class="grid">${ticksOf(axis).map(({ atMs, label }) => {
    const x = xOf(axis, atMs);
    return markup`<line class="${label === '0' ? 'zero' : 'rule'}" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/><text x="${x}" y="${bottom + 16}" text-anchor="middle">${label}</text>`;
  })}</g>`;
}

/** The drawing with its name and a description for those who cannot see it. */
export function drawing(id: string, height: number, name: string, description: string, body: readonly (Markup | null)[]): Markup {
  return markup`<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="${id}-t ${id}-d"><title id="${id}-t">${name}</title><desc id="${id}-d">${description}</desc>${body}</svg>`;
}

/** Patterns that tell states apart without colour; defined once per document. */
export function patterns(): Markup {
  return markup`<svg width="0" height="0" class="defs" aria-hidden="true"><defs>
<pattern id="hatch-bad" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" class="pb"/><line x1="0" x2="0" y1="0" y2="7" class="pbl"/></pattern>
<pattern id="hatch-off" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" class="po"/><line x1="0" x2="0" y1="0" y2="6" class="pol"/></pattern>
</defs></svg>`;
}
