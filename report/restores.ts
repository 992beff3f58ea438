/** Restores: what was asked for, where it landed and how that was shown, and where the time went. Pure. */
import { dominatingPhase, expectRestore, restoreRates, sampleOf } from '../core/restore-forecast';
import { formatBytes, formatMs } from '../core/units';
import type { CheckResult, DrillRecord, RefusedRestore, RestoreRecord } from '../model/record';
import { markup, type Markup } from './markup';
import { formatCount, formatInterval } from './words';

export function restoresSection(record: DrillRecord): Markup {
  const refused = record.refusedRestores ?? [];
  if (record.restores.length + refused.length === 0) return markup`<p>No restore was part of this drill.</p>`;
  return markup`${record.restores.map(restore)}${refused.map(refusal)}`;
}

function refusal({ step, requested, code, reason, ms }: RefusedRestore): Markup {
  return markup`<h3>${step}</h3><p><span class="chip pass"><span aria-hidden="true">✓</span> refused</span> as it had to be, after ${formatMs(ms)} and before any byte moved</p>
<dl class="facts wide"><div><dt>Asked for</dt><dd>${requested}</dd></div><div><dt>The archive’s words</dt><dd>${reason} (${code})</dd></div></dl>`;
}

export function checksTable(checks: readonly CheckResult[]): Markup {
  if (checks.length === 0) return markup`<p>Not recorded: no check was made.</p>`;
  const rows = checks.map(
    ({ name, ok, found, expected, hint }) =>
      markup`<tr><th scope="row">${name}</th><td>${found}</td><td>${expected}</td><td><span class="chip ${ok ? 'pass' : 'fail'}"><span aria-hidden="true">${ok ? '✓' : '✕'}</span> ${ok ? 'holds' : 'does not hold'}</span>${
        ok || hint === null ? null : markup`<small>${hint}</small>`
      }</td></tr>`,
  );
  return markup`<div class="scroll"><table><thead><tr><th scope="col">Check</th><th scope="col">Found</th><th scope="col">Expected</th><th scope="col">Result</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

function restore(item: RestoreRecord): Markup {
  const exact = item.under === 0 && item.over === 0;
  const landing = exact
    ? markup`<span class="chip pass"><span aria-hidden="true">✓</span> landed exactly</span> all ${formatCount(item.ledgerBefore)} ledger writes committed before the target are there, none committed after it`
    : markup`<span class="chip fail"><span aria-hidden="true">✕</span> missed</span> ${formatCount(item.under)} writes before the target are absent, ${formatCount(item.over)} after it are present`;
  const facts: readonly (readonly [string, string])[] = [
    ['Asked for', item.requested],
    ['Resolved to', item.resolvedTarget],
    [
      'Recovery stopped at',
      [item.landed.lsn, item.landed.xid === null ? null : `xid ${item.landed.xid}`, item.landed.time]
        .filter((part) => part !== null)
        .join(' · '),
    ],
    ['Server’s own words', item.landed.logLine ?? 'not recorded: the log had no such line'],
    ['Backup', `${item.backup}, timeline ${item.timeline}`],
    ['WAL', `${item.walFrom} to ${item.walTo}, ${formatCount(item.segments)} segments`],
    ['Moved', formatBytes(item.bytes)],
    ['Restore time', formatInterval(item.totalMs)],
    ...landingFacts(item),
    ...lossFacts(item),
    ...useFacts(item),
    ['Sandbox', sandboxWords(item)],
  ];
  return markup`<h3>${item.step}</h3><p>${landing}</p>${phases(item)}${outlook(item)}
<dl class="facts wide">${facts.map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>${checksTable(item.checks)}${notRecorded(item)}`;
}

type Facts = readonly (readonly [string, string])[];

/** Recovered less requested. */
function landingFacts({ landingError }: RestoreRecord): Facts {
  if (landingError === undefined) return [];
  if ('notRecorded' in landingError) return [['Off its target by', `not recorded: ${landingError.notRecorded}`]];
  const { transactions, ms } = landingError;
  const time = typeof ms === 'number' ? formatMs(ms) : `time not recorded: ${ms.notRecorded}`;
  return [['Off its target by', `${formatCount(transactions)} transactions, ${time}`]];
}

function lossFacts({ archiveLoss }: RestoreRecord): Facts {
  if (archiveLoss === undefined) return [];
  const { transactions, ms } = archiveLoss;
  return [['Lost if only the archive is left', `${formatCount(transactions)} acknowledged writes, over ${formatMs(ms)}`]];
}

function useFacts({ firstUse, proof }: RestoreRecord): Facts {
  const asked: Facts = proof === undefined ? [] : [['Time of the checks', `${formatMs(proof.ms)}, not part of the restore time`]];
  if (firstUse === undefined) return asked;
  if ('notRecorded' in firstUse) return [['First use', `not recorded: ${firstUse.notRecorded}`], ...asked];
  const { readMs, writeMs, coldP99Ms, warmP99Ms, reads } = firstUse;
  const p99 =
    coldP99Ms === null || warmP99Ms === null
      ? ''
      : `; p99 of ${formatCount(reads)} reads ${formatMs(coldP99Ms)}, warm ${formatMs(warmP99Ms)}`;
  return [['First use', `read after ${formatMs(readMs)}, write after ${formatMs(writeMs)}${p99}`], ...asked];
}

function sandboxWords({ sandbox: { dir, removed, removal } }: RestoreRecord): string {
  if (!removed) return `${dir}, still there`;
  return `${dir}, removed${removal === undefined ? '' : `: ${removal}`}`;
}

/** What was not asked, so that nobody takes silence for a check that held. */
function notRecorded({ proof }: RestoreRecord): Markup | null {
  if (proof === undefined || proof.notRecorded.length === 0) return null;
  return markup`<p class="note">Not recorded: ${proof.notRecorded.map(({ check, reason }) => `${check} (${reason})`).join(' · ')}</p>`;
}

/** What these very phases let us expect at twice the size, and what to change. */
function outlook(item: RestoreRecord): Markup | null {
  const sample = sampleOf(item, '');
  const rates = sample === null ? null : restoreRates([sample]);
  if (sample === null || rates === null) return null;
  const now = expectRestore(rates, sample.baseBytes, sample.walBytes);
  const doubled = expectRestore(rates, sample.baseBytes * 2, sample.walBytes * 2);
  if (now === null || doubled === null) return null;
  const { phase, share, advice } = dominatingPhase(rates, now);
  return markup`<p class="note">Longest: ${phase}, ${Math.round(share * 100)} % of the time; ${advice} At twice the size these rates give ${formatMs(doubled.total)}.</p>`;
}

const speed = (bytes: number, ms: number): string => (bytes === 0 || ms <= 0 ? '' : `, ${formatBytes((bytes / ms) * 1_000)}/s`);

function phases(item: RestoreRecord): Markup | null {
  const total = item.phases.reduce((sum, { ms }) => sum + ms, 0);
  if (total <= 0) return null;
  let x = 0;
  const bars = item.phases.map(({ name, ms, bytes }, at) => {
    const width = (1_120 * ms) / total;
    const label = `${name} ${formatMs(ms)}`;
    const bar = markup`<g><title>${label}${bytes === null ? '' : `, ${formatBytes(bytes)}`}</title><rect class="seg seg${at % 5}" x="${Math.round(x)}" y="0" width="${Math.max(2, Math.round(width) - 2)}" height="26" rx="3"/>${
      width > label.length * 7 + 10 ? markup`<text class="in seg-text" x="${Math.round(x) + 7}" y="17">${label}</text>` : null
    }</g>`;
    x += width;
    return bar;
  });
  const words = item.phases
    .map(({ name, ms, bytes }) => `${name} ${formatMs(ms)}${bytes === null ? '' : ` (${formatBytes(bytes)}${speed(bytes, ms)})`}`)
    .join(' · ');
  return markup`<svg viewBox="0 0 1120 26" class="strip" role="img" aria-label="Phases of the restore; the line below says the same">${bars}</svg><p class="note">${words}</p>`;
}
