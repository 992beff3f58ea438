/** One file in each of its forms; the values are made up. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveSecret } from './secrets';
import { readSettings } from './settings-file';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'gd-settings-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};

test.each([
  ['tool.json', '{ "PREFIX": "s3://b/p", "path_style": true, "RETRIES": 3, "FAILOVER": { "a": "b" } }'],
  ['tool.yaml', '# keys\nPREFIX: s3://b/p\npath_style: true\nRETRIES: 3\nFAILOVER: { a: b }\n'],
  ['tool.env', '# keys\nPREFIX="s3://b/p"\nexport path_style=true\r\nRETRIES = 3\n; FAILOVER=a\n'],
])('%s holds the same as the others', (name, text) => {
  expect([...readSettings(file(name, text))].sort()).toEqual([
    ['PATH_STYLE', 'true'],
    ['PREFIX', 's3://b/p'],
    ['RETRIES', '3'],
  ]);
});

/** Tried with gotenv 1.2.0, by which WAL-G reads such a file. */
test.each([
  ['value # comment', 'value'],
  ['value#comment', 'value'],
  ['# comment', ''],
  ['"a # b" # comment', 'a # b'],
  ["'a # b' # comment", 'a # b'],
  ["'$OLD \\n'", '$OLD \\n'],
  ['"one\\ntwo \\"three\\""', 'one\ntwo "three"'],
  ['$OLD/${OLD}$NONE', 'old/old'],
  ['\\$OLD', '$OLD'],
])('a line says what it says to gotenv: NAME=%s', (written, value) => {
  expect(readSettings(file('tool.env', `OLD=old\nNAME=${written}\n`)).get('NAME')).toBe(value);
});

test('a line that gotenv does not take is none', () => {
  expect([...readSettings(file('tool.env', 'NAME:value\n- NAME=value\nOTHER: value\n'))]).toEqual([['OTHER', 'value']]);
});

test.each([
  ['tool.yaml', 'KEY: [hidden', 'setting_invalid'],
  ['tool.json', '"hidden"', 'setting_invalid'],
])('%s with no names in it is named, and not quoted', (name, text, code) => {
  const read = (): unknown => readSettings(file(name, text));
  expect(read).toThrow(expect.objectContaining({ code, message: expect.not.stringContaining('hidden') as string }));
});

test('a secret among them is read by its name, and one that is not there is named', () => {
  const path = file('tool.yaml', 'KEY: "two=2#3"\n');
  expect(resolveSecret(`setting:${path}#KEY`)).toBe('two=2#3');
  expect(() => resolveSecret(`setting:${path}#OTHER`)).toThrow(/tool\.yaml holds no OTHER/);
  expect(() => resolveSecret(`setting:${dir}/none.yaml#KEY`)).toThrow(/none\.yaml cannot be read/);
});
