/**
 * A healthy primary hands over, in the steps that repmgr's manual gives for a switchover by hand: repmgrd is paused, the primary is stopped, a standby that has
 * everything is promoted, the others follow, repmgrd goes on. Nothing is lost on the way: where no promotion comes of it the old primary is started again.
 */
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import { parseLsn } from '../../core/lsn';
import { askAll, askServer } from './node-status';
import { POLL_MS, writers, type FailoverRequest } from './promoted-by-others';
import { automationOf } from './repmgr-automation';
import { order, service, type Order, type Repmgr } from './repmgr-commands';
import { requireNode } from './standalone-config';
import { readControlData } from './standalone-server';
import { fenceOnDisk } from './standalone-start';

export interface Handover {
  readonly from: string;
  readonly to: string;
  /** Does a repmgrd run that would take the stop for a loss? */
  readonly hasDaemons: boolean;
  /** Nodes whose repmgrd somebody had paused before: they stay so. */
  readonly pausedBefore: readonly string[];
}

const RECEIVED_WITHIN_MS = 15_000;

const wrotePromoted = async ({ live }: Repmgr, from: string): Promise<boolean> =>
  writers(await askAll(live)).some(({ node }) => node !== from);

async function setPaused(repmgr: Repmgr, { hasDaemons, pausedBefore }: Handover, paused: boolean): Promise<void> {
  // Somebody's own pause is not ours to end.
  if (hasDaemons && pausedBefore.length === 0) await automationOf(repmgr).setPaused(paused);
}

/** A stopped primary has sent its last record, the shutdown checkpoint, to every standby that streams; `to` must have it. */
async function awaitEverything({ live }: Repmgr, { from, to }: Handover, signal: AbortSignal): Promise<void> {
  const { checkpointLsn, state } = await readControlData(live.host(from), requireNode(live.target, from));
  if (state !== 'shut down') throw new GamedayError('failover_failed', `${from} was asked to stop, and is "${state}"`);
  await until(async () => (parseLsn((await askServer(live, to)).lsn ?? '0/0') > parseLsn(checkpointLsn) ? true : null), {
    timeoutMs: RECEIVED_WITHIN_MS,
    everyMs: POLL_MS,
    signal,
    onTimeout: () =>
      new GamedayError(
        'failover_failed',
        `${to} lacks the last WAL of ${from}, up to ${checkpointLsn}`,
        'does it stream from the primary?',
      ),
  });
}

async function change(repmgr: Repmgr, request: FailoverRequest, handover: Handover): Promise<void> {
  const { live } = repmgr;
  const { from, to } = handover;
  const options: Order = { timeoutMs: request.timeoutMs, signal: request.signal, code: 'failover_failed' };
  if (await wrotePromoted(repmgr, from)) return;
  await request.on('decide', 'about-to');
  await request.on('decide', 'done');
  if ((await live.host(from).postmaster()) !== null) await service(repmgr, from, 'stop', options);
  await awaitEverything(repmgr, handover, request.signal);
  // From here nobody's start command makes a second one that writes.
  await fenceOnDisk(live.host(from), requireNode(live.target, from));
  await order(repmgr, to, ['standby', 'promote'], options);
}

/** Only where nobody was promoted: then the old primary is still the only one there is. */
async function goBack(repmgr: Repmgr, { from, to }: Handover): Promise<void> {
  const { live } = repmgr;
  // A candidate that does not say what it is may have been promoted all the same.
  if ((await askServer(live, to)).inRecovery !== true || (await wrotePromoted(repmgr, from))) return;
  await live.host(from).remove(join(requireNode(live.target, from).dataDir, 'standby.signal'));
  if ((await live.host(from).postmaster()) === null) await service(repmgr, from, 'start');
}

/** `leadOver` brings the other nodes under the new primary. Throws `failover_failed`; a repeated call goes on where the first one stopped. */
export async function handOver(repmgr: Repmgr, request: FailoverRequest, handover: Handover, leadOver: () => Promise<void>): Promise<void> {
  await setPaused(repmgr, handover, true);
  try {
    try {
      await change(repmgr, request, handover);
    } catch (error) {
      await goBack(repmgr, handover);
      throw error;
    }
    await leadOver();
  } finally {
    await setPaused(repmgr, handover, false);
  }
}
