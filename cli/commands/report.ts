/** `gameday report DRILL`: renders a report again from the bundle's record, at any later time, offline. It never writes into the bundle. */
import { Command, Option } from 'commander';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { GamedayError } from '../../core/errors';
import { homePaths } from '../../core/home';
import { PUBLIC_KEY_FILE, RECORD_FILE } from '../../evidence/layout';
import { readRecord, type ReadRecord } from '../../evidence/read-bundle';
import { printPdf } from '../../evidence/report-pdf';
import { fingerprintOf } from '../../evidence/signing';
import { listSignoffs } from '../../evidence/signoff';
import { renderCsv } from '../../report/csv';
import { renderHtml } from '../../report/html';
import { renderJunit } from '../../report/junit';
import { renderMarkdown } from '../../report/markdown';
import { renderOscal } from '../../report/oscal';
import type { SignoffLine } from '../../report/page-one';
import { defineCommand } from '../command';

const FORMATS = ['html', 'md', 'junit', 'csv', 'json', 'oscal', 'pdf'] as const;

interface Options {
  readonly format: (typeof FORMATS)[number];
  readonly output?: string;
  readonly target?: string;
}

export function reportCommand(): Command {
  const command = new Command('report')
    .description('render the report again from the record')
    .argument('<drill>', 'number, name, or directory of the bundle')
    .addOption(new Option('-f, --format <format>', 'of the report').choices(FORMATS).default('html'))
    .option('-o, --output <file>', 'write there instead of stdout')
    .option('-t, --target <target>', 'where several targets have this number');
  return defineCommand(command, async ({ home, terminal }, options: Options, name: string) => {
    const found = readRecord(homePaths(home).drills, name, options.target ?? null);
    if (options.output === undefined) {
      if (options.format === 'pdf')
        throw new GamedayError('usage', 'a PDF is not for a terminal', 'say where to write it: `-o report.pdf`.');
      const text = render(found, options.format);
      if (terminal.json) terminal.result({ drill: found.record.drill, format: options.format, text });
      else process.stdout.write(text);
      return;
    }
    const path = resolve(options.output);
    if (!relative(found.dir, path).startsWith('..'))
      throw new GamedayError('usage', `${path} lies inside the sealed bundle`, 'write it somewhere else.');
    writeFileSync(path, options.format === 'pdf' ? await printPdf(render(found, 'html'), process.env) : render(found, options.format));
    terminal.print(path);
    terminal.result({ drill: found.record.drill, format: options.format, path });
  });
}

function render({ record, dir, recordSha256 }: ReadRecord, format: Exclude<Options['format'], 'pdf'>): string {
  const key = join(dir, PUBLIC_KEY_FILE);
  const options = {
    digest: recordSha256,
    keyFingerprint: existsSync(key) ? fingerprintOf(readFileSync(key, 'utf8')) : null,
    signoffs: signoffLines(dir),
  };
  switch (format) {
    case 'html':
      return renderHtml(record, options);
    case 'md':
      return renderMarkdown(record, options);
    case 'junit':
      return renderJunit(record);
    case 'csv':
      return renderCsv(record);
    case 'oscal':
      return renderOscal(record, options);
    case 'json':
      return readFileSync(join(dir, RECORD_FILE), 'utf8');
  }
}

function signoffLines(dir: string): readonly SignoffLine[] {
  return listSignoffs(dir).map(({ signoff: { signer, at, note } }) => ({ signer, at, note }));
}
