/** Where secrets are named and how they are read; the values are made up. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveSecret } from './secrets';

let dir: string;
let file: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-secrets-'));
  file = join(dir, 'credentials');
  writeFileSync(
    file,
    '# keys\n[default]\naws_access_key_id = one\n[ team ]\r\naws_access_key_id=two=2\r\naws_secret_access_key = three \n[empty]\naws_access_key_id =\n',
  );
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('a key of an AWS credentials file is the one of its own profile', () => {
  expect(resolveSecret(`ini:${file}#default#aws_access_key_id`)).toBe('one');
  expect(resolveSecret(`ini:${file}#team#aws_access_key_id`)).toBe('two=2');
  expect(resolveSecret(`ini:${file}#team#aws_secret_access_key`)).toBe('three');
});

test.each(['empty', 'absent', 'default#aws_secret_access_key'])(
  'what is not there is named, never taken from another profile: %s',
  (profile) => {
    const name = profile.includes('#') ? profile : `${profile}#aws_access_key_id`;
    expect(() => resolveSecret(`ini:${file}#${name}`)).toThrow(
      new RegExp(`holds no ${name.split('#')[1]} for profile "${name.split('#')[0]}"`),
    );
  },
);

test('a file that cannot be read says so, without its content', () => {
  expect(() => resolveSecret(`ini:${dir}/none#team#aws_access_key_id`)).toThrow(/credentials .* cannot be read/);
  expect(() => resolveSecret('plain')).toThrow(/must be named as/);
});
