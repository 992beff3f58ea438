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
});
