/**
 * repmgrd's pause, which the servers keep for it through crashes: asked of one node that answers, ordered for all. A node that is down when a pause ends is
 * owed the end of it, on disk, and gets it when it is back; a pause of somebody else's is never ended.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { readJsonFile, writeFileDurably } from '../../core/files';
import type { Automation, LiveTarget } from '../ports';
import { askAll } from './node-status';
import { POLL_MS } from './promoted-by-others';
import { ASK_MS, daemonsSeenBy, words, type Repmgr } from './repmgr-commands';
import type { RepmgrDaemon } from './repmgr-conf';

const HEARD_WITHIN_MS = 15_000;

async function anyThatAnswers(repmgr: Repmgr): Promise<string> {
  const found = (await askAll(repmgr.live)).find(({ up }) => up)?.node;
  if (found === undefined) throw new GamedayError('controller_unreachable', 'no node answers, so nobody can tell what repmgrd does');
  return found;
}

const owedFile = ({ target }: LiveTarget): string => join(target.runDir, `repmgr-unpause-${target.name}.json`);
const owedTo = (live: LiveTarget): readonly string[] => readJsonFile<readonly string[]>(owedFile(live)) ?? [];

function owe(live: LiveTarget, nodes: readonly string[]): void {
  if (nodes.length > 0) writeFileDurably(owedFile(live), `${JSON.stringify(nodes)}\n`);
  else rmSync(owedFile(live), { force: true });
}

/**
 * A node that is back after a pause was ended without it. Its server forgets the pause with a crash, and a repmgrd that starts there reads it from a file again:
 * before one runs there is nothing to end.
 */
export async function settleOwed(repmgr: Repmgr, node: string): Promise<void> {
  const { live } = repmgr;
  if (!owedTo(live).includes(node)) return;
  const daemons = await until(
    async () => {
      const seen = await daemonsSeenBy(repmgr, node);
      return seen.some((daemon) => daemon.node === node && daemon.running) ? seen : null;
    },
    { timeoutMs: HEARD_WITHIN_MS, everyMs: POLL_MS, onTimeout: () => new GamedayError('step_failed', `repmgrd of ${node} does not run`) },
  ).catch(() => null);
  if (daemons === null) return;
  const isPaused = (name: string): boolean => daemons.some((daemon) => daemon.node === name && daemon.paused === true);
  // Paused anew meanwhile, by whoever paused the others: that is theirs.
  if (isPaused(node) && !live.target.nodes.some(({ name }) => name !== node && isPaused(name))) await setPaused(repmgr, false);
  owe(
    live,
    owedTo(live).filter((name) => name !== node),
  );
}

const isDeaf = (daemon: RepmgrDaemon, paused: boolean): boolean => daemon.paused !== null && daemon.paused !== paused;

/** Until every server that answers has it so. Throws `step_failed`; nothing where no repmgrd runs and none is to be paused. */
async function setPaused(repmgr: Repmgr, paused: boolean): Promise<void> {
  const on = await anyThatAnswers(repmgr);
  const word = paused ? 'pause' : 'unpause';
  const before = await daemonsSeenBy(repmgr, on);
  if (paused && !before.some(({ running }) => running))
    throw new GamedayError('step_failed', 'no repmgrd runs, so there is nothing to pause', 'start repmgrd beside the nodes.');
  const silent = before.filter((daemon) => daemon.paused === null).map(({ node }) => node);
  owe(repmgr.live, paused ? [] : silent);
  if (before.length > 0 && !before.some((daemon) => isDeaf(daemon, paused))) return;
  // It ends with an error where a node is down, and has told all others by then: what they say counts.
  const ended = await repmgr.live.host(on).exec(words(repmgr, on, ['service', word]), { asNode: true, timeoutMs: ASK_MS });
  let last: readonly string[] = [];
  await until(
    async () => {
      const daemons = await daemonsSeenBy(repmgr, on);
      last = daemons.filter((daemon) => isDeaf(daemon, paused)).map(({ node }) => node);
      return daemons.length > 0 && last.length === 0 ? true : null;
    },
    {
      timeoutMs: HEARD_WITHIN_MS,
      everyMs: POLL_MS,
      onTimeout: () =>
        new GamedayError(
          'step_failed',
          `repmgrd was told to ${word}, but ${last.join(', ') || 'any node'} did not say so within ${HEARD_WITHIN_MS} ms: ${ended.stderr.trim().slice(-300)}`,
          '`repmgr service status` says what each goes by.',
        ),
    },
  );
}

/** See Automation. An agent that does not run goes by nothing. */
export function automationOf(repmgr: Repmgr): Automation {
  const daemons = async (): Promise<readonly RepmgrDaemon[]> => daemonsSeenBy(repmgr, await anyThatAnswers(repmgr));
  return {
    setPaused: (paused) => setPaused(repmgr, paused),
    isPaused: async () => (await daemons()).some(({ paused }) => paused === true),
    async pausedAgents() {
      const all = await daemons();
      const said = (name: string): boolean | null => all.find(({ node, running }) => node === name && running)?.paused ?? null;
      return Object.fromEntries(repmgr.live.target.nodes.map(({ name }) => [name, said(name)]));
    },
  };
}
