import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TarMember } from './tar-tail';

let tar: Buffer;

beforeAll(() => {
  const dir = mkdtempSync(join(tmpdir(), 'gd-tar-'));
  writeFileSync(join(dir, 'base'), Buffer.alloc(70_000, 'backup_manifest'));
  writeFileSync(join(dir, 'empty'), '');
  writeFileSync(join(dir, 'backup_manifest'), '{"WAL-Ranges": []}');
  tar = execFileSync('tar', ['-cf', '-', '--format=ustar', 'base', 'empty', 'backup_manifest'], { cwd: dir });
  rmSync(dir, { recursive: true });
});

test.each([1, 7, 511, 512, 513, 100_000])('finds its member in a stream that comes in pieces of %i bytes', (step) => {
  const member = new TarMember('backup_manifest', 1_000);
  for (let at = 0; at < tar.length; at += step) member.feed(tar.subarray(at, at + step));
  expect(member.content()?.toString()).toBe('{"WAL-Ranges": []}');
});

test('a cut stream has no member, and one too large is refused', () => {
  const member = new TarMember('backup_manifest', 1_000);
  member.feed(tar.subarray(0, 70_000));
  expect(member.content()).toBeNull();
  expect(() => new TarMember('base', 1_000).feed(tar)).toThrow('70000 bytes');
});
