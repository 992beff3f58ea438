/** pg_auto_failover as the controller, over its monitor. What it has in common with others that fail over by themselves is in self-driven.ts. */
import { canonicalJson } from '../../core/canonical-json';
import { GamedayError } from '../../core/errors';
import type { Controller, LiveTarget } from '../ports';
import { askAll, type StandbyNames } from './node-status';
import { pgAutoFailoverBand } from './pg-auto-failover-band';
import { leaderOf, openMonitor, WRITING, type Monitor, type PgAutoFailoverController } from './pg-auto-failover-monitor';
import { carryOut, refuseEnvironment, rejoinByAgent, standingSalvages, startByAgent, topologyOf, type SelfDriven } from './self-driven';

const TITLE = 'pg_auto_failover';
/** Slots and application names are the monitor's numbers. */
const STANDBY = 'pgautofailover_standby_';

async function namesOf(monitor: Monitor): Promise<StandbyNames> {
  const nodes = await monitor.nodes();
  return Object.fromEntries(nodes.flatMap(({ id, node }) => (node === null ? [] : [[`${STANDBY}${id}`, node] as const])));
}

function drive(live: LiveTarget, monitor: Monitor): SelfDriven {
  return {
    live,
    title: TITLE,
    whereToLook: '`pg_autoctl show state` and `pg_autoctl show events` say why.',
    leader: async () => leaderOf(await monitor.nodes()),
    isPaused: async () => false,
    standbyNames: () => namesOf(monitor),
    neverLead: async () =>
      (await monitor.nodes()).flatMap(({ node, candidatePriority }) => (node === null || candidatePriority > 0 ? [] : [node])),
    async order(from, _candidates, candidate) {
      const refused = await monitor.failover({ candidate });
      // The primary may have gone meanwhile: then its loss is what makes the monitor act.
      if (refused !== null && leaderOf(await monitor.nodes()) === from)
        throw new GamedayError('failover_failed', `the monitor refuses: ${refused}`, '`pg_autoctl show state` says what it waits for.');
    },
    // `pg_autoctl drop node` and `create postgres` make a node anew: a person's decision.
    rebuild: null,
  };
}

/** The formation's settings, which must be equal before and after. */
async function bookOf(monitor: Monitor): Promise<{ readonly [name: string]: string }> {
  const nodes = await monitor.nodes();
  return {
    numberSyncStandbys: String(await monitor.numberSyncStandbys()),
    timers: canonicalJson({ ...(await monitor.timers()) }),
    ...Object.fromEntries(
      nodes.map(({ name, candidatePriority, replicationQuorum }) => [
        name,
        `candidate priority ${candidatePriority}, replication quorum ${replicationQuorum}`,
      ]),
    ),
    maintenance: nodes
      .filter(({ goal }) => goal.includes('maintenance'))
      .map(({ name }) => name)
      .join(', '),
  };
}

/** The controller of a pg_auto_failover target. Opening touches nothing. */
export function openPgAutoFailoverController(live: LiveTarget, controller: PgAutoFailoverController): Controller {
  const monitor = openMonitor(live.target, controller);
  const driven = drive(live, monitor);
  return {
    kind: 'pg-auto-failover',
    status: () => askAll(live),
    async topology() {
      const book = await bookOf(monitor).catch(() => ({ book: 'not to be read' }));
      return topologyOf(driven, TITLE, book, (slot) => slot.startsWith(STANDBY));
    },
    predictedFailover: async (primary) => (primary === 'lost' ? pgAutoFailoverBand(await monitor.timers()) : null),
    // Its keepers look once a second; how long they look before they act is not the monitor's to say.
    timers: async () => ({ ttl: (await monitor.timers()).unhealthyTimeoutMs }),
    failover: (request) => carryOut(driven, request),
    async startNode(node, environment) {
      refuseEnvironment(TITLE, node, environment);
      return startByAgent(driven, node);
    },
    mayWrite: async (name) => (await monitor.nodes()).some(({ node, goal }) => node === name && WRITING.includes(goal)),
    rejoin: (node, options) => rejoinByAgent(driven, node, options),
    salvages: (above) => standingSalvages(live, above),
  };
}
