/** The write ledger: what became of every write that a client attempted, as a strip and as figures. Pure. */
import { formatMs } from '../core/units';
import type { RpoMeasurement } from '../model/measurement';
import type { DrillRecord } from '../model/record';
import { markup, type Markup } from './markup';
import { formatCount, formatInterval, isNotRecorded } from './words';

export function writesSection(record: DrillRecord): Markup {
  const { rpo } = record;
  if (isNotRecorded(rpo)) return markup`<p>Not recorded: ${rpo.notRecorded}</p>`;
  return markup`<p class="statement">${rpo.statement}</p>${strip(rpo)}${figures(rpo)}${splitBrain(record)}`;
}

/** Widths are shares of all attempts, but never so thin that a loss disappears. */
function strip(rpo: RpoMeasurement): Markup {
  const unsent = rpo.attempted - rpo.acked - rpo.indeterminateCommitted - rpo.indeterminateVanished;
  const parts = [
    { name: 'acked and kept', count: rpo.kept, look: 'good' },
    { name: 'acked and lost', count: rpo.lost, look: 'outage' },
    { name: 'indeterminate, committed', count: rpo.indeterminateCommitted, look: 'standby' },
    { name: 'indeterminate, vanished', count: rpo.indeterminateVanished, look: 'unsure' },
    { name: 'rejected', count: Math.max(0, unsent), look: 'down' },
  ].filter(({ count }) => count > 0);
  const widths = parts.map(({ count }) => Math.max(6, (1_100 * count) / Math.max(1, rpo.attempted)));
  const scale = 1_120 / widths.reduce((sum, width) => sum + width, 0);
  let x = 0;
  const bars = parts.map(({ name, count, look }, at) => {
    const width = Math.round((widths[at] ?? 0) * scale * 10) / 10;
    const bar = markup`<rect class="${look}" x="${Math.round(x * 10) / 10}" y="0" width="${width}" height="22"><title>${name}: ${formatCount(count)}</title></rect>`;
    x += width;
    return bar;
  });
  const legend = parts.map(
    ({ name, count, look }) =>
      markup`<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="${look}" width="12" height="12" rx="2"/></svg>${formatCount(count)} ${name}</li>`,
  );
  return markup`<svg viewBox="0 0 1120 22" class="strip" role="img" aria-label="What became of the writes; the list below says the same">${bars}</svg><ul class="legend">${legend}</ul>`;
}

function figures(rpo: RpoMeasurement): Markup {
  const rows: readonly (readonly [string, string])[] = [
    ['Writes attempted / acknowledged', `${formatCount(rpo.attempted)} / ${formatCount(rpo.acked)}`],
    ['Lost (acknowledged, absent)', formatCount(rpo.lost)],
    ['RPO, time', formatInterval(rpo.rpoTimeMs)],
    ['RPO, bytes of WAL', rpo.rpoBytes ?? 'unknown'],
    [
      'Band',
      `${formatCount(rpo.lost)} to ${formatCount(rpo.lost + rpo.indeterminateVanished)} transactions (lost, and indeterminate ones that vanished)`,
    ],
    ['Holes / split-brain writes', `${formatCount(rpo.holes)} / ${formatCount(rpo.splitBrainWrites)}`],
    ['Phantoms / duplicates', `${formatCount(rpo.phantoms)} / ${formatCount(rpo.duplicates)}`],
    ['Joined on', rpo.joinedOn],
    [
      'Replicas afterwards',
      rpo.replicas.map(({ node, missing, extra }) => `${node}: ${missing} missing, ${extra} extra`).join('; ') ||
        'not recorded: none was read',
    ],
    ...(rpo.lostSample.length === 0
      ? []
      : [['First lost (stream:seq)', rpo.lostSample.map(({ stream, seq }) => `${stream}:${seq}`).join(' ')] as const]),
  ];
  return markup`<dl class="facts wide">${rows.map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function splitBrain(record: DrillRecord): Markup | null {
  if (record.splitBrain.length === 0) return markup`<p>At no sampled instant were two nodes writable.</p>`;
  const items = record.splitBrain.map(
    ({ nodes, from, to }) => markup`<li>${nodes.join(' and ')} for ${formatMs(to.highMs - from.lowMs)} at most</li>`,
  );
  return markup`<p class="strong">Two nodes were writable at the same time:</p><ul>${items}</ul>`;
}
