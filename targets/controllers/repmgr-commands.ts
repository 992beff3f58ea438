/** repmgr's command line on the nodes' own hosts, each with its node's configuration, as its node's user. */
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import type { LiveTarget } from '../ports';
import type { RepmgrBook, RepmgrController } from './repmgr-book';
import { parseRepmgrConf, parseServiceStatus, type RepmgrConf, type RepmgrDaemon } from './repmgr-conf';
import { requireNode } from './standalone-config';

export interface Repmgr {
  readonly live: LiveTarget;
  readonly controller: RepmgrController;
  readonly book: RepmgrBook;
}

export const ASK_MS = 15_000;
const SERVICE_MS = 90_000;

export interface Order {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly code: 'failover_failed' | 'step_failed';
}

/** The distribution's `/usr/bin/repmgr` chooses a version by what clusters it finds; the program beside the node's own server does not. */
export const words = ({ live, controller }: Pick<Repmgr, 'live' | 'controller'>, node: string, more: readonly string[]): string[] => [
  controller.program ?? join(requireNode(live.target, node).binDir, 'repmgr'),
  '-f',
  controller.config[node] ?? '',
  ...more,
];

/** Throws `options.code` with the end of what it said unless it ends with 0. */
export async function order(repmgr: Repmgr, node: string, more: readonly string[], { timeoutMs, signal, code }: Order): Promise<void> {
  const argv = words(repmgr, node, more);
  const ended = await repmgr.live.host(node).exec(argv, { asNode: true, timeoutMs, ...(signal === undefined ? {} : { signal }) });
  if (ended.code !== 0)
    throw new GamedayError(
      code,
      `\`${argv.join(' ')}\` on ${node} ended with ${ended.code}: ${(ended.stderr.trim() || ended.stdout.trim()).slice(-500)}`,
      'run it there by hand, as the node’s user.',
    );
}

/** By the service commands of repmgr.conf. A stop is preceded by a checkpoint, and waits until the standbys have everything. */
export function service(repmgr: Repmgr, node: string, action: 'start' | 'stop', options: Partial<Order> = {}): Promise<void> {
  const more = ['node', 'service', `--action=${action}`, ...(action === 'stop' ? ['--checkpoint'] : [])];
  return order(repmgr, node, more, { timeoutMs: SERVICE_MS, code: 'step_failed', ...options });
}

export async function readConf({ live, controller }: Pick<Repmgr, 'live' | 'controller'>, node: string): Promise<RepmgrConf> {
  const path = controller.config[node] ?? '';
  const text = await live.host(node).readFile(path);
  if (text === null) throw new GamedayError('step_failed', `${node} has no ${path}`, 'correct controller.config in the target file.');
  return parseRepmgrConf(text);
}

/** repmgrd of every node, as one node sees them; empty where it cannot tell. */
export async function daemonsSeenBy(repmgr: Repmgr, node: string): Promise<readonly RepmgrDaemon[]> {
  const ended = await repmgr.live.host(node).exec(words(repmgr, node, ['service', 'status', '--csv']), { asNode: true, timeoutMs: ASK_MS });
  return parseServiceStatus(ended.stdout);
}

const OWN_FILES = ['postgresql.conf', 'postgresql.auto.conf', 'pg_hba.conf', 'pg_ident.conf'];

/** A rewind overwrites configuration that lies in the data directory with the primary's: repmgr is told to keep the node's own. */
export async function ownConfigFiles({ live }: Repmgr, node: string): Promise<readonly string[]> {
  const { dataDir } = requireNode(live.target, node);
  const there = await Promise.all(OWN_FILES.map((name) => live.host(node).exists(join(dataDir, name))));
  return OWN_FILES.filter((_, at) => there[at]);
}
