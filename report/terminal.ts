/** The verdict at the end of `gameday run`: a box that fits eighty columns. Colour only adds to what the words and marks say. Pure. */
import type { Verdict } from '../model/measurement';
import type { DrillRecord } from '../model/record';
import { viewLines } from './views';
import {
  STATE_SENTENCE,
  VERDICT_MARK,
  VERDICT_WORD,
  boundsText,
  caveats,
  measuredText,
  objectiveWord,
  serviceName,
  targetText,
  verdictSentence,
} from './words';

const WIDTH = 78;
const MAX_FINDINGS = 3;
const COLOR: Readonly<Record<Verdict, string>> = { pass: '32', fail: '31', marginal: '33', inconclusive: '36' };

/** Several lines without a trailing newline. Control characters in names are dropped, so that a name cannot steer the terminal. */
export function renderTerminal(record: DrillRecord, options: { readonly color: boolean }): string {
  const paint = (code: string, text: string): string => (options.color ? `\u001b[${code}m${text}\u001b[0m` : text);
  const tone = paint.bind(null, COLOR[record.verdict]);
  const row = (text: string, code: string | null = null): string => {
    const fitted = fit(text, WIDTH - 4);
    return `${tone('│')} ${code === null ? fitted : paint(code, fitted)} ${tone('│')}`;
  };
  const objectives = record.judgement.objectives.map((result) => {
    const bounds = boundsText(result);
    const name = fit(objectiveWord(result), 31);
    const line = `${VERDICT_MARK[result.verdict]} ${name} ${fit(measuredText(result), 10)} target ${fit(targetText(result), 11)}`;
    return [row(line, COLOR[result.verdict]), ...(bounds === null ? [] : [row(`${' '.repeat(34)}${bounds}`, '2')])];
  });
  const findings = record.findings
    .slice(0, MAX_FINDINGS)
    .flatMap(({ severity, text }) => wrap(`${severity}: ${text}`, WIDTH - 6).map((line, at) => row(`${at === 0 ? '• ' : '  '}${line}`)));
  const notes = [...caveats(record), ...(record.left.length === 0 ? [] : [`Left behind: ${record.left.join('; ')}`])];
  const title = ` ${VERDICT_MARK[record.verdict]} ${VERDICT_WORD[record.verdict].toUpperCase()} `;
  return [
    tone(`╭─${title}${'─'.repeat(WIDTH - 3 - title.length)}╮`),
    row(`${serviceName(record)} · ${record.scenario.title} · ${record.drill}`, '1'),
    ...(record.state === 'completed'
      ? []
      : wrap(`${record.state.toUpperCase()}: ${STATE_SENTENCE[record.state]}`, WIDTH - 4).map((line) => row(line, '1'))),
    ...(record.state === 'completed' ? wrap(verdictSentence(record), WIDTH - 4).map((line) => row(line)) : []),
    ...record.judgement.reasons.flatMap((reason) => wrap(reason, WIDTH - 6).map((line, at) => row(`${at === 0 ? '– ' : '  '}${line}`))),
    row(''),
    ...objectives.flat(),
    ...viewLines(record).flatMap((text) => wrap(text, WIDTH - 6).map((line, at) => row(`${at === 0 ? '↳ ' : '  '}${line}`))),
    ...(findings.length === 0 ? [] : [row(''), ...findings]),
    ...notes.flatMap((note, at) => [...(at === 0 ? [row('')] : []), ...wrap(note, WIDTH - 4).map((line) => row(line, '2'))]),
    tone(`╰${'─'.repeat(WIDTH - 2)}╯`),
  ].join('\n');
}

function clean(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}

/** Exactly `width` characters: cut with an ellipsis, or filled with spaces. */
function fit(text: string, width: number): string {
  const characters = [...clean(text)];
  return characters.length > width
    ? `${characters.slice(0, width - 1).join('')}…`
    : characters.join('').padEnd(width - (characters.length - characters.join('').length));
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of clean(text).split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
