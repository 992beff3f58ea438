import { GamedayError } from '../core/errors';
import { parseOverrides, substituteVariables } from './variables';
import { parseYaml } from './yaml-source';

const source = (text: string) => parseYaml('s.yaml', text);
const declared = 'variables:\n  delay: { unit: duration, default: 150ms }\n  count: { unit: number, default: 3 }\n';
const failure = (work: () => unknown): GamedayError => {
  try {
    work();
  } catch (error) {
    if (error instanceof GamedayError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('variables', () => {
  test('stand for their defaults, inside text and alone; numbers stay numbers', () => {
    const { value, variables } = substituteVariables(source(`${declared}title: slow by \${delay}\nn: \${count}\n`), {});
    expect(value).toMatchObject({ title: 'slow by 150ms', n: 3 });
    expect(variables).toEqual({ delay: '150ms', count: 3 });
  });

  test('are overridden by --set', () => {
    const { value } = substituteVariables(source(`${declared}a: \${delay}\nn: \${count}\n`), parseOverrides(['delay=2s', 'count=7']));
    expect(value).toMatchObject({ a: '2s', n: 7 });
  });

  test('an escaped reference stays text', () => {
    expect(substituteVariables(source('a: $${x}\n'), {}).value).toEqual({ a: '${x}' });
  });

  test('an unknown one is an error at its place, with the nearest name', () => {
    const error = failure(() => substituteVariables(source(`${declared}a: \${dely}\nb: \${delay} \${count}\n`), {}));
    expect(error.code).toBe('scenario_invalid');
    expect(error.message).toMatch(/^s\.yaml:4:4: a: no variable "dely" is declared \(did you mean "delay"\?\)/);
  });

  test('an unused one is an error at its declaration', () => {
    expect(failure(() => substituteVariables(source(`${declared}a: \${delay}\n`), {})).message).toMatch(
      /^s\.yaml:3:3: variables\.count: is never used/,
    );
  });

  test('a default that is not of its unit is an error', () => {
    expect(failure(() => substituteVariables(source('variables:\n  d: { unit: duration, default: 5 }\na: ${d}\n'), {})).message).toMatch(
      /^s\.yaml:2:33: variables\.d\.default: 5 has no unit; write it like 250ms/,
    );
  });

  test.each([
    [['dely=2s'], 'did you mean "delay"'],
    [['delay=2'], '2 has no unit'],
    [['delay=fast'], '"fast" is no duration'],
    [['count=many'], '"many" is no number'],
  ])('override %p is refused: %s', (settings, words) => {
    const error = failure(() => substituteVariables(source(`${declared}a: \${delay}\nb: \${count}\n`), parseOverrides(settings)));
    expect(error.code).toBe('setting_invalid');
    expect(error.message).toContain(words);
  });

  test('an override without a value, or given twice, is refused', () => {
    expect(failure(() => parseOverrides(['delay'])).message).toContain('is not name=value');
    expect(failure(() => parseOverrides(['a=1', 'a=2'])).message).toContain('given twice');
  });

  describe('that follow from live timers', () => {
    const text = `variables:
  hold: { unit: duration, default: 7s }
  stall: { unit: duration, default: 30s, live: hold + 2 * loop_wait }
a: \${hold}
b: \${stall}
`;
    const timers = { ttl: 20_000, loop_wait: 5_000 };

    test('take the place of the default, with the formula and the timers that went in', () => {
      expect(substituteVariables(source(text), {}, timers)).toEqual({
        value: expect.objectContaining({ b: '17s' }),
        variables: { hold: '7s', stall: '17s' },
        live: { variables: { stall: 'hold + 2 * loop_wait' }, timers: { loop_wait: 5_000 } },
      });
      expect(substituteVariables(source(text), { hold: '1500ms' }, timers).variables).toEqual({ hold: '1500ms', stall: '11500ms' });
    });

    test('keep their defaults where a timer is not told, and give way to --set', () => {
      for (const [overrides, told, stall] of [
        [{}, { ttl: 20_000 }, '30s'],
        [{ stall: '1s' }, timers, '1s'],
      ] as const)
        expect(substituteVariables(source(text), overrides, told)).toMatchObject({ variables: { stall }, live: null });
    });

    test('are refused where they come to nothing', () => {
      const late = source(text.replace('hold + 2 * loop_wait', 'loop_wait - hold'));
      const error = failure(() => substituteVariables(late, {}, timers));
      expect([error.code, error.message]).toEqual([
        'setting_invalid',
        's.yaml: variable stall is loop_wait - hold, which is -2000 ms with loop_wait 5000 ms',
      ]);
    });

    test.each([
      ['hold + 2s', 'duration', 'holds no timer (ttl, loop_wait, retry_timeout): say it as the default'],
      ['ttl + stall', 'duration', '"stall" is neither a timer (ttl, loop_wait, retry_timeout) nor another duration'],
      ['ttl', 'text', 'goes with unit duration only, timers are no text'],
    ])('%s for a %s is refused', (live, unit, words) => {
      const wrong = text.replace('hold + 2 * loop_wait', live).replace('stall: { unit: duration', `stall: { unit: ${unit}`);
      expect(failure(() => substituteVariables(source(wrong), {})).message).toContain(`variables.stall.live: ${words}`);
    });

    test('none is called as a timer is', () => {
      const wrong = 'variables:\n  ttl: { unit: duration, default: 1s }\na: ${ttl}\n';
      expect(failure(() => substituteVariables(source(wrong), {})).message).toMatch(/^s\.yaml:2:3: variables\.ttl: is what a timer/);
    });
  });
});
