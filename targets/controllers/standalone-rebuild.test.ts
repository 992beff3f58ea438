/** The undo of a rebuild on a real disk, as far as it goes without a server: what it clears and refuses, and which errors are tried again. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sampleTarget } from '../../test/sample-plan';
import { GamedayError } from '../../core/errors';
import { openLocalHost } from '../hosts/local';
import type { Host, LiveTarget } from '../ports';
import { writeNextEpoch } from './standalone-epoch';
import { rebuildStandby, undoRebuild } from './standalone-rebuild';
import { freshOf, swapIn } from './standalone-swap';

const signal = new AbortController().signal;
let root = '';
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'gameday-rebuild-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A standby that was made anew by the request `a`, with a half copy beside it. */
async function onDisk(hindered: Partial<Host> = {}) {
  const stateDir = join(root, 'state');
  const sample = sampleTarget();
  const [primary, node] = sample.nodes.map((each) => ({ ...each, osUser: null, dataDir: join(root, each.name) }));
  if (primary === undefined || node === undefined) throw new Error('a standby is declared');
  const entry = { at: '', token: null, from: null, candidates: [], timeline: 1, forkLsn: null };
  const epoch = writeNextEpoch(stateDir, null, { ...entry, primary: primary.name });
  const host = openLocalHost(node);
  for (const dir of [node.dataDir, freshOf(node)]) mkdirSync(dir);
  const movedAside = await swapIn(host, node, { epoch, token: 'a', isLab: true });
  mkdirSync(freshOf(node));
  writeFileSync(join(freshOf(node), 'PG_VERSION'), '18');
  const target = { ...sample, nodes: [primary, node], controller: { ...sample.controller, kind: 'standalone', stateDir } };
  const live = { target, host: () => ({ ...host, ...hindered }) } as unknown as LiveTarget;
  const undo = (start: boolean): ReturnType<typeof undoRebuild> => undoRebuild(live, node.name, { token: 'a', start, signal });
  return { node, live, undo, movedAside };
}

test('without a start the half copy is cleared all the same, and the request refused from then on, twice as well', async () => {
  const { node, live, undo, movedAside } = await onDisk();
  for (const _ of [1, 2])
    expect(await undo(false)).toEqual({ movedAside, problem: expect.stringContaining('not to be started') as string });
  expect(existsSync(freshOf(node))).toBe(false);
  const again = rebuildStandby(live, node.name, { token: 'a', timeoutMs: 1_000, signal, onLook: async () => undefined });
  await expect(again).rejects.toMatchObject({ code: 'step_failed', message: expect.stringContaining('the rebuild undone') as string });
});

test('what another try may get over is thrown, and names the old data; the rest is told', async () => {
  const unreachable = await onDisk({ postmaster: () => Promise.reject(new GamedayError('host_unreachable', 'gone')) });
  writeFileSync(join(unreachable.node.dataDir, 'PG_VERSION'), '18');
  await expect(unreachable.undo(true)).rejects.toMatchObject({
    code: 'host_unreachable',
    message: `gone; its old data directory was moved aside to ${unreachable.movedAside}`,
  });
  rmSync(join(unreachable.node.dataDir, 'PG_VERSION'));
  expect(await unreachable.undo(true)).toMatchObject({ problem: expect.stringContaining('has no data directory') as string });
});
