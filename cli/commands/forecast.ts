/** `gameday forecast`: how long a restore of this target takes today, at twice its size, and when that will be too long; from earlier drills' measured phases. */
import { Command } from 'commander';
import { nowUtc } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { homePaths } from '../../core/home';
import { forecastRestore, RESTORE_PHASES, type RestoreForecast } from '../../core/restore-forecast';
import { formatBytes, formatMs, parseDurationMs } from '../../core/units';
import { listDrills } from '../../evidence/read-bundle';
import type { Target } from '../../model/target';
import { findTarget, loadTarget } from '../../scenarios/load-target';
import { openTarget } from '../../targets/open-target';
import type { BackupView } from '../../targets/ports';
import { defineCommand } from '../command';
import { measuredRestores } from '../restore-costs';

export function forecastCommand(): Command {
  const command = new Command('forecast')
    .description('time to restore today, at twice the size, and the day on which it will be too long')
    .option('-t, --target <target>', 'name or path of the target file', 'lab')
    .option('--within <duration>', 'how long a restore may take (default: the newest objective of an earlier drill)');
  return defineCommand(command, async ({ home, terminal }, options: { readonly target: string; readonly within?: string }) => {
    const { target } = loadTarget(findTarget(home, options.target));
    const samples = measuredRestores(home, target.systemIdentifier);
    const newest = samples.at(-1);
    if (newest === undefined)
      throw new GamedayError(
        'drill_unknown',
        `no drill on ${target.name} has restored anything yet`,
        'run one that does: `gameday run game-day-in-a-box`.',
      );
    const { backups, problem } = await readBackups(target);
    const targetMs = options.within === undefined ? objectiveMs(home, target) : durationMs(options.within);
    const forecast = forecastRestore({
      samples,
      baseBytes: backups.at(-1)?.bytes ?? newest.baseBytes,
      walBytes: Math.max(...samples.map(({ walBytes }) => walBytes)),
      sizes: backups.map(({ finishedAt, bytes }) => ({ at: finishedAt, bytes })),
      targetMs,
      now: nowUtc(),
    });
    if (forecast === null)
      throw new GamedayError(
        'drill_unknown',
        `earlier restores of ${target.name} moved too little for a rate`,
        'restore more, or larger backups.',
      );
    terminal.print(forecastText(target.name, forecast, targetMs).join('\n'));
    if (problem !== null)
      terminal.print(`note         the archive could not be asked (${problem}), so sizes are those of the newest restore`);
    terminal.result({ target: target.name, targetMs, ...forecast });
  });
}

function durationMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === null) throw new GamedayError('usage', `--within ${text} is no duration; write it like 30m or 4h`);
  return ms;
}

async function readBackups(target: Target): Promise<{ readonly backups: readonly BackupView[]; readonly problem: string | null }> {
  try {
    return { backups: (await openTarget(target).archive?.backups()) ?? [], problem: null };
  } catch (error) {
    return { backups: [], problem: messageOf(error) };
  }
}

/** Of the newest drill of this system that had one. */
function objectiveMs(home: string, { systemIdentifier }: Target): number | null {
  const records = listDrills(homePaths(home).drills).flatMap(({ record }) =>
    record?.target.systemIdentifier === systemIdentifier ? [record] : [],
  );
  const results = records.sort((a, b) => a.startedAt.localeCompare(b.startedAt)).flatMap(({ judgement }) => judgement.objectives);
  return results.filter(({ objective }) => objective.name === 'restore_time').at(-1)?.objective.target ?? null;
}

function forecastText(
  name: string,
  { rates, today, doubled, dominating, growthBytesPerDay, missedOn, why }: RestoreForecast,
  targetMs: number | null,
): readonly string[] {
  const speed = (bytesPerS: number | null): string => (bytesPerS === null ? 'not known' : `${formatBytes(bytesPerS)}/s`);
  const phases = RESTORE_PHASES.map((phase) => `${phase} ${formatMs(today[phase])}`).join(' · ');
  return [
    `${name}: from ${rates.n} measured restore${rates.n === 1 ? '' : 's'}, base ${speed(rates.baseBytesPerS)}, WAL ${speed(rates.walBytesPerS)}`,
    `today        ${formatMs(today.total)} (${phases})`,
    `twice as big ${formatMs(doubled.total)}`,
    `growth       ${growthBytesPerDay === null ? 'not known: backups span less than a day' : `${formatBytes(growthBytesPerDay)} a day`}`,
    `target       ${targetMs === null ? 'none' : formatMs(targetMs)}: ${missedOn === null ? `no day on which it will be missed: ${why}` : `missed from ${missedOn} on (${why})`}`,
    `longest      ${dominating.phase}, ${Math.round(dominating.share * 100)} %: ${dominating.advice}`,
  ];
}
