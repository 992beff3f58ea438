/** Starts a prober through the supervisor, so that it is nobody's child but the supervisor's and outlives every worker. */
import { join } from 'node:path';
import { packageRoot } from '../core/files';
import { callRpc } from '../core/rpc';

/** Idempotent by name: the supervisor starts what does not run. Throws `supervisor_unreachable`. */
export async function launchProber(runDir: string, name: string, configFile: string): Promise<void> {
  const argv = [process.execPath, join(packageRoot(), 'dist', 'probe', 'prober.js'), configFile];
  await callRpc(
    join(runDir, 'supervisor.sock'),
    'start',
    { name, argv, restart: false },
    { timeoutMs: 10_000, unreachable: 'supervisor_unreachable' },
  );
}
