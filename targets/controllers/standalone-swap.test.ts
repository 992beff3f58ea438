/** The swap of data directories on a real disk, cut off at every step: no old directory is lost, and none loses its name. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sampleTarget } from '../../test/sample-plan';
import { openLocalHost } from '../hosts/local';
import type { Host } from '../ports';
import type { EpochFile } from './standalone-epoch';
import { finishSwap, freshOf, readSwapNote, swapIn } from './standalone-swap';

const epoch: EpochFile = { formatVersion: 1, epoch: 3, primary: 'n1', history: [] };
let root = '';
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'gameday-swap-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A node with an old data directory, and a copy beside it that is whole. */
function onDisk(copy = 'new') {
  const node = { ...sampleTarget().nodes[0]!, osUser: null, dataDir: join(root, 'data') };
  const put = (dir: string, text: string): void => {
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'what'), text);
  };
  if (!existsSync(node.dataDir)) put(node.dataDir, 'old');
  put(freshOf(node), copy);
  const what = (dir: string): string => readFileSync(join(dir, 'what'), 'utf8');
  return { node, host: openLocalHost(node), what };
}

/** Dies at the rename of this number. */
function dyingAt(host: Host, at: number): Host {
  let renames = 0;
  return { ...host, rename: (from, to) => ((renames += 1) === at ? Promise.reject(new Error('dead')) : host.rename(from, to)) };
}

const request = (token: string, isLab = true) => ({ epoch, token, isLab });

test('the copy takes the place of the old directory, which keeps its data under the epoch’s name', async () => {
  const { node, host, what } = onDisk();
  expect(await swapIn(host, node, request('a'))).toBe(`${node.dataDir}.aside-3`);
  expect([what(node.dataDir), what(`${node.dataDir}.aside-3`), existsSync(freshOf(node))]).toEqual(['new', 'old', false]);
  expect(await readSwapNote(host, node)).toEqual({ token: 'a', movedAside: `${node.dataDir}.aside-3` });
});

test('a death before the first rename leaves the old one in its place, one between the two is finished: the note says where the old one is', async () => {
  const { node, host, what } = onDisk();
  await expect(swapIn(dyingAt(host, 1), node, request('a'))).rejects.toThrow('dead');
  await finishSwap(host, node);
  expect(what(node.dataDir)).toBe('old');
  await expect(swapIn(dyingAt(host, 2), node, request('a'))).rejects.toThrow('dead');
  expect(existsSync(node.dataDir)).toBe(false);
  await finishSwap(host, node);
  await finishSwap(host, node);
  const movedAside = `${node.dataDir}.aside-3`;
  expect([what(node.dataDir), what(movedAside)]).toEqual(['new', 'old']);
  expect(await readSwapNote(host, node)).toEqual({ token: 'a', movedAside });
});

test('a copy that nobody called whole never becomes a data directory', async () => {
  const { node, host } = onDisk();
  rmSync(node.dataDir, { recursive: true });
  await finishSwap(host, node);
  writeFileSync(join(freshOf(node), 'gameday.anew'), '{ cut o');
  await finishSwap(host, node);
  expect(existsSync(node.dataDir)).toBe(false);
});

test.each([
  ['this one', {}, true],
  ['another node', { node: 'n9' }, false],
  ['another data directory', { dataDir: '/elsewhere/data' }, false],
])('a copy brings its upstream’s note along while it is made: only a note of %s calls it whole', async (_, whose, whole) => {
  const { node, host } = onDisk();
  await expect(swapIn(dyingAt(host, 2), node, request('a'))).rejects.toThrow('dead');
  const path = join(freshOf(node), 'gameday.anew');
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...whose }));
  await finishSwap(host, node);
  expect([existsSync(node.dataDir), (await readSwapNote(host, node)) !== null]).toEqual([whole, whole]);
});

test('a lab keeps the newest two old directories, any other target all', async () => {
  const swap = async (copy: string, isLab: boolean): Promise<unknown> => {
    const { node, host } = onDisk(copy);
    return swapIn(host, node, request(copy, isLab));
  };
  const asides = (): readonly string[] => readdirSync(root).filter((name) => name.includes('.aside-'));
  for (const copy of ['1', '2', '3']) await swap(copy, false);
  expect(asides()).toHaveLength(3);
  await swap('4', true);
  expect(asides()).toHaveLength(2);
});
