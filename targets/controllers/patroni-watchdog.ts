/**
 * Whether Patroni on the leader feeds a watchdog. Its REST API does not tell: the settings stand in the file that its command line names, and the proof is the
 * device that its process holds open, which Patroni does on the leader alone. Nothing of the file but the watchdog's own section is kept: it holds passwords.
 */
import { parse } from 'yaml';
import { messageOf } from '../../core/errors';
import type { Maybe, WatchdogFact } from '../../model/record';
import type { Host, LiveTarget } from '../ports';

const ASK_MS = 5_000;
/** Patroni: watchdog/base.py, WatchdogConfig; what stands there when the file says nothing. */
const DEFAULTS = { mode: 'automatic', device: '/dev/watchdog' } as const;

/** Mode and device of a Patroni file; null for what is no YAML mapping. YAML 1.1, as Patroni reads it, takes `off` for false. */
export function watchdogSettings(text: string): Pick<WatchdogFact, 'mode' | 'device'> | null {
  let file: unknown;
  try {
    file = parse(text, { version: '1.1', logLevel: 'error' });
  } catch {
    return null;
  }
  if (typeof file !== 'object' || file === null || Array.isArray(file)) return null;
  const section = 'watchdog' in file ? file.watchdog : null;
  const said = typeof section === 'object' && section !== null ? (section as Readonly<Record<string, unknown>>) : {};
  const device = typeof said['device'] === 'string' ? said['device'] : DEFAULTS.device;
  return { mode: modeOf(said['mode']), device };
}

/** As Patroni's own parse_mode: what it does not know counts as off. */
function modeOf(value: unknown): WatchdogFact['mode'] {
  if (value === undefined) return DEFAULTS.mode;
  const word = typeof value === 'string' ? value.toLowerCase() : '';
  if (word === 'auto' || word === 'automatic') return 'automatic';
  return word === 'require' || word === 'required' ? 'required' : 'off';
}

/** The file on Patroni's command line; null where none is named. */
export function configFileOf(commandLine: string): string | null {
  return (
    commandLine
      .split('\0')
      .slice(1)
      .findLast((word) => /^\/.*\.ya?ml$/.test(word)) ?? null
  );
}

/** Never rejects: what cannot be told says why. */
export async function readWatchdog(live: LiveTarget, leader: () => Promise<string | null>): Promise<Maybe<WatchdogFact>> {
  try {
    const node = await leader();
    if (node === null) return { notRecorded: 'nobody led when it was looked for' };
    return await readOn(live.host(node), node);
  } catch (error) {
    return { notRecorded: `Patroni’s watchdog could not be looked at: ${messageOf(error)}` };
  }
}

async function readOn(host: Host, node: string): Promise<Maybe<WatchdogFact>> {
  const agent = await host.agent();
  if (agent === null) return { notRecorded: `the target names no agent on ${node}, or it does not run` };
  const file = configFileOf((await host.readFile(`/proc/${agent.pid}/cmdline`)) ?? '');
  if (file === null) return { notRecorded: `the command line of Patroni on ${node} names no file with its settings` };
  const settings = watchdogSettings((await host.readFile(file)) ?? '');
  if (settings === null) return { notRecorded: `${file} on ${node} is no file of Patroni’s settings` };
  const open = await host.exec(['ls', '-l', `/proc/${agent.pid}/fd`], { asNode: true, timeoutMs: ASK_MS });
  if (open.code !== 0) return { notRecorded: `what Patroni on ${node} holds open could not be read` };
  return { node, ...settings, isFed: open.stdout.split('\n').some((line) => line.endsWith(` -> ${settings.device}`)) };
}
