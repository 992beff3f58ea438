/** Formulas over a controller's timers: what they say, and what is wrong with one that says nothing. */
import { evaluateTimerFormula, parseTimerFormula, timersIn } from './timer-formula';

const VALUES: Readonly<Record<string, number>> = { ttl: 20_000, loop_wait: 5_000, hold: 7_000 };

function evaluate(text: string): number | null {
  const parsed = parseTimerFormula(text, ['hold']);
  if (!parsed.ok) throw new Error(parsed.problem);
  return evaluateTimerFormula(parsed.formula, (name) => VALUES[name]);
}

test.each([
  ['ttl', 20_000],
  ['2 * loop_wait + 12s', 22_000],
  ['ttl - loop_wait - 2s', 13_000],
  ['hold+2*loop_wait', 17_000],
  ['250ms + 1.5s', 1_750],
  ['- ttl', -20_000],
  ['2 * retry_timeout + 1s', null],
])('%s', (text, ms) => {
  expect(evaluate(text)).toBe(ms);
});

test.each([
  ['', 'is no sum'],
  ['ttl loop_wait', 'is no sum'],
  ['ttl +', 'is no sum'],
  ['ttl * 2', 'is no sum'],
  ['(ttl)', 'is no sum'],
  ['2 * (ttl)', '2  has no unit'],
  ['loop_wai', '(did you mean "loop_wait"?)'],
  ['ttl + 5', '5 has no unit; write it like'],
  ['ttl + 5q', '"5q" is no duration'],
])('%s is refused', (text, problem) => {
  expect(parseTimerFormula(text, [])).toMatchObject({ ok: false, problem: expect.stringContaining(problem) });
});

test('its timers are told once each, and not its variables', () => {
  const parsed = parseTimerFormula('ttl + loop_wait + ttl + hold', ['hold']);
  expect(parsed.ok && timersIn(parsed.formula)).toEqual(['ttl', 'loop_wait']);
});
