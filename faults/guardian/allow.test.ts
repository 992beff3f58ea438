/** The allow file: who may own it, who may write it, and refusals that name file and entry. */
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { paperContext } from '../paper-target.test-data';
import { pinOf, readAllow, requireAllowed, requirePinned } from './allow';

let dir: string;
let path: string;
const good = { systemIdentifiers: ['7000000000000000001'], faults: ['noop'], maxFaultMs: 60_000 };
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'gd-allow-'));
  path = join(dir, 'allow.json');
  writeFileSync(path, JSON.stringify(good), { mode: 0o644 });
});
afterEach(() => rmSync(dir, { recursive: true }));

const wanted = { systemIdentifier: '7000000000000000001', faults: ['noop'] };

test('what it lists is allowed', () => {
  expect(requireAllowed(path, wanted)).toEqual(good);
});

test('a refusal names the file and the entry that is missing', () => {
  expect(() => requireAllowed(path, { ...wanted, faults: ['noop', 'process-kill', 'link-cut'] })).toThrow(
    `allow file ${path}: faults does not list process-kill, link-cut`,
  );
  expect(() => requireAllowed(path, { ...wanted, systemIdentifier: '5' })).toThrow('systemIdentifiers does not list 5');
});

test('it may name production systems, approvers and a limit on nodes', () => {
  const more = { ...good, productionSystems: good.systemIdentifiers, approvers: '/etc/gameday/approvers', maxNodesAtOnce: 1 };
  writeFileSync(path, JSON.stringify(more));
  expect(readAllow(path)).toEqual(more);
});

test('without a file nothing is allowed', () => {
  rmSync(path);
  expect(() => requireAllowed(path, wanted)).toThrow('cannot be read');
});

test.each([0o664, 0o646, 0o622])('a file that others may write is refused (mode %o)', (mode) => {
  chmodSync(path, mode);
  expect(() => readAllow(path)).toThrow('may be written by others');
});

test('a symbolic link is refused: its owner is not its target’s', () => {
  symlinkSync(path, join(dir, 'link.json'));
  expect(() => readAllow(join(dir, 'link.json'))).toThrow('is no regular file');
});

(process.getuid?.() === 0 ? test : test.skip)('a file of another user is refused', () => {
  chownSync(path, 65_534, 65_534);
  expect(() => readAllow(path)).toThrow('belongs to user 65534');
});

test.each([
  ['{'],
  ['{"systemIdentifiers":[],"faults":[]}'],
  [JSON.stringify({ ...good, more: 1 })],
  [JSON.stringify({ ...good, maxFaultMs: '1h' })],
  [JSON.stringify({ ...good, approvers: 'approvers' })],
])('%s is not valid', (text) => {
  writeFileSync(path, text);
  expect(() => readAllow(path)).toThrow('is not valid');
});

describe('a pinned target file', () => {
  const target = { ...paperContext('pin').live.target, systemIdentifier: '7000000000000000001' };
  const pinned = (digest: string) => {
    writeFileSync(path, JSON.stringify({ ...good, pinnedTargets: { [target.systemIdentifier]: digest } }, null, 2));
    return readAllow(path);
  };

  test('is taken as it was pinned, whatever it is called and wherever gameday keeps its own', () => {
    expect(() => requirePinned(path, pinned(pinOf(target)), { ...target, name: 'other', runDir: '/elsewhere' })).not.toThrow();
    expect(() => requirePinned(path, readAllow(path), target)).not.toThrow();
  });

  test.each([
    ['another node', { nodes: target.nodes.map((node) => ({ ...node, host: '10.0.0.9' })) }],
    ['a wider limit', { policy: { maxNodesAtOnce: 3 } }],
    ['another kind', { kind: 'staging' }],
  ])('is refused with %s, with both digests and the line that pins it', (_, change) => {
    const changed = { ...target, ...change } as typeof target;
    expect(() => requirePinned(path, pinned(pinOf(target)), changed)).toThrow(
      `allow file ${path}:10: pinnedTargets has ${pinOf(target)} for system ${target.systemIdentifier}, but the target paper as it is now has ${pinOf(changed)}`,
    );
  });

  test('of another system says nothing about this one', () => {
    writeFileSync(path, JSON.stringify({ ...good, pinnedTargets: { 5: 'a'.repeat(64) } }));
    expect(() => requirePinned(path, readAllow(path), target)).not.toThrow();
    expect(() => pinned('abc')).toThrow('is not valid: pinnedTargets');
  });
});
