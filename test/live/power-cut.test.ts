/**
 * A power cut in mid-drill, just after a promotion: everything dies at once, the tool included. `gameday lab up` then brings the lab back;
 * the old primary must never become a second writable node, and the drill that was cut ends sealed, with its fault proven gone.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';
import { labUp } from '../../infra/lab/up';
import type { Target } from '../../model/target';
import { openTarget } from '../../targets/open-target';
import { cli, cutPower, makeHome, removeHome } from './lab';

const NET = '127.0.83';

async function writable(target: Target): Promise<readonly string[]> {
  const nodes = await openTarget(target).controller.status();
  return nodes.filter((node) => node.up && node.inRecovery === false).map((node) => node.node);
}

async function until(condition: () => Promise<boolean>, what: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('after a power cut just behind the promotion, `lab up` brings back one writable node, and the drill is healed and sealed', async () => {
  const home = realpathSync(makeHome());
  try {
    const target = await labUp({ home, net: NET });
    const before = (await writable(target))[0];
    const scenario = join(packageRoot(), 'test', 'scenarios', 'quick-loss.yaml');
    const run = spawn(process.execPath, [join(packageRoot(), 'infra', 'bin', 'gameday.js'), 'run', scenario, '--json'], {
      env: { ...process.env, GAMEDAY_HOME: home },
      stdio: 'ignore',
    });
    await until(async () => (await writable(target)).some((node) => node !== before), 'a standby is promoted', 60_000);
    await cutPower(home);
    run.kill('SIGKILL');
    expect(await writable(target)).toEqual([]);

    const seen: (readonly string[])[] = [];
    let watching = true;
    const watcher = (async () => {
      while (watching) {
        seen.push(await writable(target));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    await labUp({ home });
    const bundle = join(home, 'drills', 'lab', 'drill-000001');
    await until(async () => Promise.resolve(existsSync(join(bundle, 'seal.dsse.json'))), 'the drill is sealed', 300_000);
    watching = false;
    await watcher;
    expect(seen.length).toBeGreaterThan(10);
    expect(Math.max(...seen.map((nodes) => nodes.length))).toBe(1);
    expect(seen.flat()).not.toContain(before);
    expect((await writable(target))[0]).not.toBe(before);
    const record = JSON.parse(readFileSync(join(bundle, 'record.json'), 'utf8')) as { verdict: string; faults: { healed: boolean }[] };
    expect(record.verdict).not.toBe('pass');
    expect(record.faults.map((fault) => fault.healed)).toEqual([true]);
    expect((await cli(['status'], { home })).code).toBe(0);
  } finally {
    await removeHome(home);
  }
}, 420_000);
