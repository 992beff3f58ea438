/**
 * `gameday export`: the drills of a period as a directory that a GRC tool or an auditor can take as it is: an index of what was due, run, skipped and missed,
 * and each drill's report rendered from its sealed record. It reads bundles and changes none.
 */
import { Command } from 'commander';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import { listDrills, readRecord, type DrillEntry } from '../../evidence/read-bundle';
import { readSkippedSlots } from '../../evidence/skipped-slots';
import { csvCell, renderCsv } from '../../report/csv';
import { renderJunit } from '../../report/junit';
import { renderOscal } from '../../report/oscal';
import { renderHtml } from '../../report/html';
import { defineCommand, type CommandContext } from '../command';
import { parseDay } from '../day';

interface Options {
  readonly from: string;
  readonly to: string;
  readonly output: string;
  readonly target?: string;
}

const INDEX_COLUMNS = [
  'at',
  'outcome',
  'target',
  'scenario',
  'schedule',
  'drill',
  'state',
  'verdict',
  'reason',
  'record_sha256',
  'seal_sha256',
  'report',
] as const;
type IndexRow = Readonly<Partial<Record<(typeof INDEX_COLUMNS)[number], string>>>;

export function exportCommand(): Command {
  const command = new Command('export')
    .description('the drills of a period as an index and reports, for an auditor or a GRC tool')
    .requiredOption('--from <day>', 'first day, as 2026-01-01 (UTC)')
    .requiredOption('--to <day>', 'last day, as 2026-12-31 (UTC)')
    .requiredOption('-o, --output <dir>', 'directory to make; it must not exist or be empty')
    .option('-t, --target <target>', 'of this target only');
  return defineCommand(command, exportDrills);
}

async function exportDrills({ home, terminal }: CommandContext, options: Options): Promise<void> {
  const [from, to] = [parseDay(options.from, '--from'), parseDay(options.to, '--to') + 86_400_000];
  if (to <= from) throw new GamedayError('usage', `--to ${options.to} lies before --from ${options.from}`);
  const out = resolve(options.output);
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new GamedayError(
      'usage',
      `${out} is not empty`,
      'name a directory that does not exist yet: an export is never mixed with another.',
    );
  const isWithin = (at: string): boolean => Date.parse(at) >= from && Date.parse(at) < to;
  const { drills } = homePaths(home);
  const entries = listDrills(drills, options.target === undefined ? {} : { target: options.target });
  const targets = [...new Set(entries.map(({ target }) => target))];
  mkdirSync(join(out, 'reports'), { recursive: true });
  const rows = [
    ...entries.filter(({ registeredAt }) => registeredAt === null || isWithin(registeredAt)).map((entry) => drillRow(entry, out)),
    ...targets.flatMap((target) => slotRows(home, target, isWithin)),
  ].sort((a, b) => ((a.at ?? '') < (b.at ?? '') ? -1 : 1));
  const lines = [INDEX_COLUMNS.join(','), ...rows.map((row) => INDEX_COLUMNS.map((column) => csvCell(row[column] ?? '')).join(','))];
  writeFileSync(join(out, 'index.csv'), lines.map((text) => `${text}\r\n`).join(''));
  const count = (outcome: string): number => rows.filter((row) => row.outcome === outcome).length;
  terminal.print(
    `${out}: ${count('run')} run, ${count('skipped')} skipped, ${count('missed')} missed, ${count('no record')} without a record`,
  );
  terminal.result({ output: out, rows });
  return Promise.resolve();
}

/** A drill in the index; its reports are written beside. One without a record is listed with the reason: it must not be missing from the count. */
function drillRow(entry: DrillEntry, out: string): IndexRow {
  const { target, drill, record, dir, registeredAt, problem } = entry;
  const base = { at: registeredAt ?? '', target, drill };
  if (record === null) return { ...base, outcome: 'no record', reason: problem ?? 'no record' };
  const { recordSha256, sealSha256 } = readRecord('', dir);
  const name = `${target}-${drill}`;
  const options = { digest: recordSha256, keyFingerprint: null };
  writeFileSync(join(out, 'reports', `${name}.html`), renderHtml(record, options));
  writeFileSync(join(out, 'reports', `${name}.junit.xml`), renderJunit(record));
  writeFileSync(join(out, 'reports', `${name}.csv`), renderCsv(record));
  writeFileSync(join(out, 'reports', `${name}.oscal.json`), renderOscal(record, options));
  return {
    ...base,
    outcome: 'run',
    scenario: record.scenario.name,
    schedule: record.trigger.kind === 'schedule' ? (record.trigger.name ?? '') : '',
    state: record.state,
    verdict: record.verdict,
    reason: record.judgement.reasons[0] ?? '',
    record_sha256: recordSha256,
    seal_sha256: sealSha256 ?? 'not sealed',
    report: `reports/${name}.html`,
  };
}

function slotRows(home: string, target: string, isWithin: (at: string) => boolean): readonly IndexRow[] {
  return readSkippedSlots(home, target)
    .filter(({ dueAt }) => isWithin(dueAt))
    .map(({ dueAt, outcome, scenario, schedule, reason }) => ({ at: dueAt, outcome, target, scenario, schedule, reason }));
}
