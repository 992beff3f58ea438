/** Settings of promote-behind-back; what it does is seen in test/live/faults-host.test.ts. */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../core/clock';
import type { NodeStatus } from '../targets/ports';
import type { FaultContext } from './contract';
import { HEALTHY, paperContext } from './paper-target.test-data';
import { promoteBehindBack } from './promote-behind-back';

test('a standby is chosen late; writes on it are lost, and that is said', async () => {
  const resolved = await promoteBehindBack.resolve(promoteBehindBack.schema.parse({}), paperContext('intruder'));
  expect(resolved).toEqual({ node: 'n2' });
  expect(promoteBehindBack.preview(resolved)).toBe('pg_promote() on n2, without telling its controller');
  expect(promoteBehindBack.manualUndo(resolved, paperContext('intruder').live.target)[2]).toMatch(
    /^su -s \/bin\/sh postgres -c '! case .* \|\| \/pg\/bin\/pg_ctl stop -m immediate -D \/data\/n2'$/,
  );
  expect(promoteBehindBack.mayLoseWrites({ node: 'n2' })).toBe(true);
});

test('by hand an intruder that stands stopped is ended, for no pg_ctl would; one that runs, or works elsewhere, is not', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'gameday-intruder-'));
  const server = join(dataDir, 'postgres');
  copyFileSync('/bin/sleep', server);
  const { target } = paperContext('intruder').live;
  const nodes = target.nodes.map((node) => ({ ...node, dataDir, osUser: null }));
  const [, line = ''] = promoteBehindBack.manualUndo({ node: 'n1' }, { ...target, nodes });
  const meet = async (cwd: string, stopped: boolean): Promise<boolean> => {
    const child = spawn(server, ['60'], { cwd, stdio: 'ignore' });
    const state = (): string => /\(postgres\) (\S)/.exec(readFileSync(`/proc/${child.pid}/stat`, 'utf8'))?.[1] ?? '';
    const reach = (wanted: string): Promise<true> =>
      until(() => state() === wanted || null, { timeoutMs: 5_000, onTimeout: () => new Error(state()) });
    writeFileSync(join(dataDir, 'postmaster.pid'), `${child.pid}\n${dataDir}\n`);
    await reach('S');
    if (stopped) child.kill('SIGSTOP');
    if (stopped) await reach('T');
    expect(spawnSync('sh', ['-c', line], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
    const ended = spawnSync('sh', ['-c', `grep -q '(postgres) [ST] ' /proc/${child.pid}/stat`]).status !== 0;
    child.kill('SIGKILL');
    return ended;
  };
  expect([await meet(dataDir, true), await meet(dataDir, false), await meet(tmpdir(), true)]).toEqual([true, false, false]);
  rmSync(dataDir, { recursive: true });
  expect(spawnSync('sh', ['-c', line], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
});

/** The answers in order, the last one for ever; and how often they were asked for. */
function answering(...rounds: readonly (readonly NodeStatus[])[]): { readonly context: FaultContext; readonly asked: () => number } {
  const context = paperContext('intruder');
  let asked = 0;
  const status = async (): Promise<readonly NodeStatus[]> => rounds[Math.min(asked++, rounds.length - 1)] ?? [];
  const controller = { ...context.live.controller, status };
  return { context: { ...context, live: { ...context.live, controller } }, asked: () => asked };
}
const where = (name: string, change: Partial<NodeStatus>, nodes: readonly NodeStatus[] = HEALTHY): readonly NodeStatus[] =>
  nodes.map((each) => (each.node === name ? { ...each, ...change } : each));
const BOTH = where('n2', { inRecovery: false });
const SILENT = { up: false, inRecovery: null };

test.each([
  ['two that write', [BOTH], true, 1],
  ['an old primary that was late once', [where('n1', SILENT, BOTH), BOTH], true, 2],
  ['an intruder that was late once', [where('n2', SILENT), BOTH], true, 2],
  ['an intruder in recovery', [HEALTHY, BOTH], false, 1],
  ['an old primary that was late and then takes no writes', [where('n1', SILENT, BOTH), where('n1', { inRecovery: true }, BOTH)], false, 2],
])('%s: the proof asks again only where nobody answered', async (_what, rounds, holds, times) => {
  const { context, asked } = answering(...rounds);
  expect(await promoteBehindBack.confirm({ node: 'n2' }, context)).toMatchObject({ holds });
  expect(asked()).toBe(times);
});
