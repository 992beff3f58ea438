/**
 * `npm run bench:failover [-- --topology patroni --runs 10 --scenario primary-loss]`: the measured phases of failovers beside the band that the controller's live
 * settings predict, over a series of drills on a lab of its own. A table on stderr; ends with one JSON line.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot, readJsonFile } from '../../core/files';
import type { Interval } from '../../model/measurement';
import type { DrillRecord } from '../../model/record';

interface Figures {
  readonly bandLowMs: number | null;
  readonly bandHighMs: number | null;
  readonly minMs: number;
  readonly medianMs: number;
  readonly maxMs: number;
  readonly runs: number;
}

const middle = ({ lowMs, highMs }: Interval): number => (lowMs + highMs) / 2;

function figures(values: readonly number[], band: Interval | undefined): Figures {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN);
  return {
    bandLowMs: band === undefined ? null : Math.round(band.lowMs),
    bandHighMs: band === undefined ? null : Math.round(band.highMs),
    minMs: at(0),
    medianMs: at(0.5),
    maxMs: at(1),
    runs: sorted.length,
  };
}

/** The last line of what the command printed. */
function gameday(home: string, ...args: readonly string[]): string {
  const ended = spawnSync(process.execPath, [join(packageRoot(), 'dist', 'cli', 'main.js'), ...args], {
    env: { ...process.env, GAMEDAY_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (ended.stdout.trim() === '') throw new Error(`gameday ${args.join(' ')} ended with ${ended.status} and said nothing`);
  return ended.stdout.trim().split('\n').at(-1) ?? '';
}

/** Phases of all drills by name, the whole first; phases that one drill could not tell apart count under their joint name. */
function summarise(records: readonly DrillRecord[]): Record<string, Figures> {
  const measured = new Map<string, { readonly values: number[]; readonly band: Interval | undefined }>();
  const add = (name: string, ms: Interval, band: Interval | undefined): void => {
    const known = measured.get(name) ?? { values: [], band };
    known.values.push(middle(ms));
    measured.set(name, known);
  };
  for (const { rto, predicted } of records) {
    if ('notRecorded' in rto || rto.rto === null) continue;
    const band = 'notRecorded' in predicted ? null : predicted;
    add('rto', rto.rto, band ?? undefined);
    for (const segment of rto.segments)
      add(
        segment.name,
        segment.ms,
        band?.segments.find(({ name }) => name === segment.name),
      );
  }
  return Object.fromEntries([...measured].map(([name, { values, band }]) => [name, figures(values, band)]));
}

function main(): void {
  const { values } = parseArgs({
    options: {
      topology: { type: 'string', default: 'patroni' },
      scenario: { type: 'string', default: 'primary-loss' },
      runs: { type: 'string', default: '10' },
      net: { type: 'string', default: '127.0.67' },
    },
  });
  const made = mkdtempSync(join(tmpdir(), 'gameday-failover-'));
  chmodSync(made, 0o755);
  const home = realpathSync(made);
  try {
    gameday(home, 'lab', 'up', '--topology', values.topology, '--net', values.net, '--json');
    const series = JSON.parse(gameday(home, 'run', values.scenario, '--repeat', values.runs, '--set', 'rto=60s', '--json')) as {
      readonly runs: readonly { readonly evidence: string }[];
    };
    const records = series.runs.flatMap(({ evidence }) => readJsonFile<DrillRecord>(join(evidence, 'record.json')) ?? []);
    const phases = summarise(records);
    const s = (ms: number | null): string => (ms === null ? '' : (ms / 1_000).toFixed(2));
    process.stderr.write('| phase | predicted s | min | median | max | runs |\n| --- | --- | --- | --- | --- | --- |\n');
    for (const [name, each] of Object.entries(phases))
      process.stderr.write(
        `| ${name} | ${each.bandLowMs === null ? '' : `${s(each.bandLowMs)} – ${s(each.bandHighMs)}`} | ${s(each.minMs)} | ${s(each.medianMs)} | ${s(each.maxMs)} | ${each.runs} |\n`,
      );
    const lost = records.reduce((sum, { rpo }) => sum + ('notRecorded' in rpo ? 0 : rpo.lost), 0);
    const verdicts = records.map(({ judgement }) => judgement.verdict);
    process.stdout.write(
      `${JSON.stringify({ topology: values.topology, scenario: values.scenario, runs: records.length, passed: verdicts.filter((each) => each === 'pass').length, lost, phases })}\n`,
    );
  } finally {
    gameday(home, 'lab', 'down', '--purge', '--json');
    rmSync(home, { recursive: true, force: true });
  }
}

main();
