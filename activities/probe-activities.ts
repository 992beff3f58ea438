/** The prober's life: started by the supervisor, attached to here, kept alive by the drill's hold, never a child of a worker. */
import { Context } from '@temporalio/activity';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { unreachable } from '../core/assert';
import { bootTimeMs, sleep, until } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { writeFileDurably } from '../core/files';
import { probeTableName } from '../core/ids';
import { homePaths } from '../core/home';
import { RENEW_EVERY_MS } from '../model/constants';
import { cleanUpOtherDrills } from '../faults/drill-table';
import { openProber } from '../probe/client';
import type { HaltInput } from '../model/message';
import type { Plan } from '../model/plan';
import type { Target } from '../model/target';
import type { ProbePath, ProberConfig, WindowAnswer } from '../probe/contract';
import { launchProber } from '../probe/launch';
import { openTarget } from '../targets/open-target';
import type { AwaitWindowInput, ProbeRef, SiteActivities, WindowResult } from './contract';
import { noteMarks } from './excerpt-files';
import { guardianOf, proberOf, stamp, cancellable, type Hand } from './open-drill';

/** The prober ends itself when nobody renewed for this long: two worker restarts' worth. */
const PROBER_LEASE_MS = 90_000;
/** A prober that is silent for this long is gone. */
const PROBER_SILENCE_MS = 10_000;

/** Where the controller's own view is read; null for one that cannot be asked ten times a second. */
function controllerSource({ controller }: Target): ProberConfig['controller'] {
  switch (controller.kind) {
    case 'standalone':
      return { kind: 'epoch-file', file: join(controller.stateDir, 'epoch.json') };
    case 'patroni':
      return { kind: 'patroni', urls: Object.values(controller.api) };
    case 'pg-auto-failover':
      return { kind: 'pg-auto-failover', monitor: controller.monitor, formation: controller.formation };
    case 'command':
    case 'repmgr':
      return null;
    default:
      return unreachable(controller, 'kind of controller');
  }
}

export async function startProbe(hand: Hand, { plan, drill }: Parameters<SiteActivities['startProbe']>[0]): Promise<ProbeRef> {
  const { target } = plan;
  const dir = join(homePaths(hand.home).probes, `${target.name}-${drill.drill}`);
  const config: ProberConfig = {
    drill: drill.drill,
    dir,
    socket: join(target.runDir, `prober-${drill.drill}.sock`),
    paths: pathsOf(plan),
    role: target.roles.probe,
    table: probeTableName(drill.drill),
    settings: plan.probe,
    nodes: target.nodes.map(({ name, host, port }) => ({ name, host, port })),
    observe: target.roles.observe,
    controller: controllerSource(target),
    leaseMs: PROBER_LEASE_MS,
  };
  const probe: ProbeRef = { socket: config.socket, dir, table: config.table };
  const prober = openProber(config.socket);
  const attached = await prober.status().catch(() => null);
  if (attached !== null) return probe;
  await cleanUpOtherDrills(openTarget(target), drill.drill);
  if (!existsSync(join(dir, 'config.json'))) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    writeFileDurably(join(dir, 'config.json'), JSON.stringify(config, null, 2));
  }
  const noted = noteMarks(openTarget(target), dir);
  await launchProber(target.runDir, `prober-${drill.drill}`, join(dir, 'config.json'));
  await until(async () => ((await prober.status()).acked > 0 ? true : null), {
    timeoutMs: 30_000,
    everyMs: 100,
    onTimeout: (last) =>
      new GamedayError(
        'prober_unreachable',
        `the prober did not get one write acknowledged within 30 s${last === null ? '' : `: ${messageOf(last)}`}`,
      ),
  });
  await noted;
  return probe;
}

/** The main entry first, then those of the target's further paths that the plan asks for. */
function pathsOf({ target, probe }: Plan): readonly ProbePath[] {
  const { host, port, database } = target.entry;
  return [{ name: 'entry', hosts: [{ host, port }], database }, ...target.paths.filter(({ name }) => probe.paths.includes(name))];
}

export async function awaitWindow(input: AwaitWindowInput): Promise<WindowResult> {
  return cancellable((signal) => waitForWindow(input, signal));
}

/** Asks the prober until a window is good or time is over; `good: false` then, with what the last window lacked. */
export async function waitForWindow(
  { probe, windowMs, maxP99Ms, timeoutMs, mark, plan }: AwaitWindowInput,
  signal: AbortSignal,
): Promise<WindowResult> {
  const prober = proberOf(probe);
  if (mark !== null) await stamp(probe, mark, 'about-to', mark);
  let last: WindowAnswer | null = null;
  let answeredMs = bootTimeMs();
  const ask = async (): Promise<WindowAnswer | null> => {
    try {
      last = await prober.window({ windowMs, successRatio: plan.steady.successRatio, maxP99Ms, after: null });
      answeredMs = bootTimeMs();
    } catch (error) {
      // Nobody starts a prober twice for one drill: what it would not have seen cannot be measured.
      if (bootTimeMs() - answeredMs < PROBER_SILENCE_MS) throw error;
      return { good: false, reason: `the prober has not answered for ${PROBER_SILENCE_MS / 1000} s`, due: 0, succeeded: 0, p99Ms: null };
    }
    return last.good ? last : null;
  };
  try {
    const answer = await until(ask, {
      timeoutMs,
      everyMs: 100,
      signal,
      onTimeout: (error) => new GamedayError('step_failed', error === null ? 'no good window' : messageOf(error)),
    });
    if (mark !== null && answer.good) await stamp(probe, mark, 'done', mark, { p99Ms: answer.p99Ms });
    return { good: answer.good, reason: answer.reason, p99Ms: answer.p99Ms };
  } catch (error) {
    signal.throwIfAborted();
    const seen = last as WindowAnswer | null;
    return { good: false, reason: seen === null ? messageOf(error) : seen.reason, p99Ms: seen?.p99Ms ?? null };
  }
}

/**
 * One per drill: renews the guardian's leases and the prober's. Each renewal first confirms that this very run is RUNNING;
 * when it cannot tell, or it is not, nothing is renewed and the leases run out by themselves. A halt of everything may have come while Temporal could
 * not be reached: whoever comes back learns of it here.
 */
export async function hold(
  hand: Hand,
  { plan, drill, probe, untilHalt }: Parameters<SiteActivities['hold']>[0],
): Promise<HaltInput | null> {
  const guardian = guardianOf(plan.target);
  return cancellable(async (signal) => {
    for (;;) {
      const halt = untilHalt === true ? await guardian.standingHalt().catch(() => null) : null;
      if (halt !== null) return { by: halt.by, reason: halt.reason };
      const running = await hand.isRunning(drill.workflowId, drill.runId).catch(() => false);
      if (running) {
        await guardian.renew({ workflowId: drill.workflowId, runId: drill.runId, ttlMs: plan.limits.leaseTtlMs }).catch(() => undefined);
        if (probe !== null)
          await proberOf(probe)
            .renew()
            .catch(() => undefined);
      }
      Context.current().heartbeat(running);
      await sleep(RENEW_EVERY_MS, signal);
    }
  });
}

export async function stopProbe({ probe }: Parameters<SiteActivities['stopProbe']>[0]): Promise<void> {
  const prober = proberOf(probe);
  try {
    await prober.stop();
  } catch (error) {
    // Gone already (its lease ran out, or an earlier attempt stopped it): the ledger on disk is what counts.
    if (!(error instanceof GamedayError) || error.code !== 'prober_unreachable') throw error;
  }
}
