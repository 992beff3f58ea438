/** Shell scripts on a node's host, as root: for what has no command of its own. Arguments are handed over apart from the text, never woven into it. */
import { GamedayError } from '../core/errors';
import type { Host } from '../targets/ports';

const SCRIPT_TIMEOUT_MS = 10_000;

/** Output of the script. Throws `step_failed` with what it said when it fails or does not end in time. */
export async function runScript(
  host: Host,
  what: string,
  script: string,
  args: readonly string[],
  timeoutMs = SCRIPT_TIMEOUT_MS,
): Promise<string> {
  const result = await host.exec(['sh', '-c', script, 'gameday', ...args], { asNode: false, timeoutMs });
  if (result.code !== 0) throw new GamedayError('step_failed', `${what} failed: ${result.stderr.trim() || `exit ${result.code}`}`);
  return result.stdout;
}
