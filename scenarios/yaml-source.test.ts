import { z } from 'zod';
import { GamedayError } from '../core/errors';
import { checkYaml, parseYaml, readYaml } from './yaml-source';

const schema = z.strictObject({ name: z.string(), list: z.array(z.strictObject({ port: z.int() })) });
const failure = (work: () => unknown): GamedayError => {
  try {
    work();
  } catch (error) {
    if (error instanceof GamedayError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('errors in YAML files', () => {
  test('a syntax error has line, column and a caret under the place', () => {
    const error = failure(() => parseYaml('a.yaml', 'name: x\nlist: [1, 2\nmore: 3\n'));
    expect(error.code).toBe('yaml_invalid');
    expect(error.message).toMatch(/^a\.yaml:3:1: /);
    expect(error.message).toContain('\n  3 | more: 3\n    | ^');
  });

  test('a wrong value is named with its path and place', () => {
    const error = failure(() => checkYaml(parseYaml('a.yaml', 'name: x\nlist:\n  - port: 1\n  - port: many\n'), schema, 'target_invalid'));
    expect(error.code).toBe('target_invalid');
    expect(error.message).toMatch(/^a\.yaml:4:11: list\[1\]\.port: expected number/);
  });

  test('an unknown key is placed at the key and the nearest key is suggested', () => {
    const error = failure(() => checkYaml(parseYaml('a.yaml', 'name: x\nlist:\n  - prot: 1\n    port: 2\n'), schema, 'target_invalid'));
    expect(error.message).toMatch(/^a\.yaml:3:5: list\[0\]\.prot: unknown key \(did you mean "port"\?\)/);
  });

  test('a missing key is placed at the object that lacks it', () => {
    expect(failure(() => checkYaml(parseYaml('a.yaml', 'name: x\n'), schema, 'target_invalid')).message).toMatch(
      /^a\.yaml:1:1: list: is missing/,
    );
  });

  test('several problems come in the order of the file', () => {
    const { message } = failure(() => checkYaml(parseYaml('a.yaml', 'list: 3\nname: 4\n'), schema, 'target_invalid'));
    expect(
      message
        .split('\n')
        .filter((line) => line.startsWith('a.yaml'))
        .map((line) => line.split(' ')[0]),
    ).toEqual(['a.yaml:1:7:', 'a.yaml:2:7:']);
  });

  test('a key that stands twice, an alias bomb and an unreadable file are errors of their own', () => {
    expect(failure(() => parseYaml('a.yaml', 'name: x\nname: y\n')).message).toMatch(/^a\.yaml:2:1: map keys must be unique/);
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((k, i) => `${k}: &${k} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`),
    ].join('\n');
    expect(failure(() => parseYaml('a.yaml', bomb)).code).toBe('yaml_invalid');
    expect(failure(() => readYaml('/nowhere/a.yaml')).code).toBe('file_unreadable');
  });
});
