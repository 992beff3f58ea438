/** Which Patroni is meant by what people write, and what a lab that exists allows; fetching and starting one is tried by `npm run bench:thaw`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';
import { checkUnchanged, choosePatroni, DISTRIBUTION, patroniWords, pinnedVersions } from './patroni-program';

const PINNED = ['4.10.0', '4.1.5', '4.1.4', '4.0.7', '3.3.2'];

test.each([
  ['4.1', '4.1.5'],
  ['4', '4.10.0'],
  ['4.1.4', '4.1.4'],
  ['4.10', '4.10.0'],
  [DISTRIBUTION, DISTRIBUTION],
])('%s means %s', (wanted, chosen) => {
  expect(choosePatroni(wanted, PINNED)).toBe(chosen);
});

test.each(['4.2', '4.1.50', '4.', '', '../etc', 'latest'])('"%s" is refused with what there is', (wanted) => {
  expect(() => choosePatroni(wanted, PINNED)).toThrow(
    expect.objectContaining({ code: 'setting_invalid', message: expect.stringContaining('distribution, 4.10.0, 4.1.5') }),
  );
});

test('a lab keeps the Patroni that it was made with', () => {
  const fetched = { version: '4.1.5', from: 'PyPI' } as const;
  const packaged = { version: '3.0.2', from: 'distribution' } as const;
  for (const wanted of [undefined, '4', '4.1', '4.1.5']) expect(() => checkUnchanged(fetched, wanted)).not.toThrow();
  for (const wanted of [undefined, DISTRIBUTION]) expect(() => checkUnchanged(packaged, wanted)).not.toThrow();
  expect(() => checkUnchanged(fetched, '4.1.4')).toThrow('was made by Patroni 4.1.5 from PyPI, not by 4.1.4');
  expect(() => checkUnchanged(fetched, DISTRIBUTION)).toThrow('not by distribution');
  // The package may be replaced by the distribution under the lab; that one is not what a version from PyPI is.
  expect(() => checkUnchanged(packaged, '3.0.2')).toThrow(`was made by ${patroniWords(packaged)}`);
});

test('every pinned version pins itself, and each of its packages has a checksum', () => {
  const dir = join(packageRoot(), 'infra', 'tools', 'patroni');
  expect(pinnedVersions()[0]).toMatch(/^4\.1\.\d+$/);
  for (const version of pinnedVersions()) {
    const text = readFileSync(join(dir, `patroni-${version}.txt`), 'utf8');
    const packages = text.split('\n').filter((line) => /^[a-z]/i.test(line));
    expect(packages.filter((line) => /^patroni(\[etcd3\])?==/.test(line))).toEqual([expect.stringContaining(`==${version} `)]);
    expect(packages.filter((line) => !/^[\w.[\]-]+==[\w.]+ .*\\$/.test(line))).toEqual([]);
    expect(text.split('\n').filter((line) => /^ +--hash=sha256:[0-9a-f]{64}( \\)?$/.test(line)).length).toBeGreaterThanOrEqual(
      packages.length,
    );
  }
});
