/** Patroni as the controller, over its REST API. What it has in common with others that fail over by themselves is in self-driven.ts. */
import { canonicalJson } from '../../core/canonical-json';
import { until } from '../../core/clock';
import { GamedayError } from '../../core/errors';
import type { Automation, Controller, FailoverResult, LiveTarget } from '../ports';
import { askAll } from './node-status';
import { patroniBand, patroniTimers } from './patroni-band';
import { lagAdvice, readSegmentSettings, SEGMENT_SETTINGS } from './patroni-lag';
import { openPatroniRest, type PatroniController, type PatroniRest } from './patroni-rest';
import { readWatchdog } from './patroni-watchdog';
import { POLL_MS } from './promoted-by-others';
import {
  carryOut,
  mostAdvanced,
  refuseEnvironment,
  rejoinByAgent,
  standingSalvages,
  startByAgent,
  topologyOf,
  type SelfDriven,
} from './self-driven';

const TITLE = 'Patroni';
/** Members hear of an order by their next loop, which most have every ten seconds. */
const HEARD_WITHIN_MS = 20_000;

async function order(
  rest: PatroniRest,
  from: string | null,
  candidates: FailoverResult['candidates'],
  wanted: string | null,
): Promise<void> {
  const cluster = await rest.cluster();
  const target = wanted ?? mostAdvanced(candidates);
  const answer =
    from !== null && cluster.members.some((each) => each.name === from && /running|streaming/.test(each.state))
      ? await rest.switchover(from, wanted)
      : target === null
        ? null
        : await rest.failover(target);
  if (answer !== null && !answer.ok && cluster.paused)
    throw new GamedayError(
      'failover_failed',
      `Patroni is paused and refuses: HTTP ${answer.status}: ${answer.text}`,
      'resume it (`patronictl resume`), or see why with `patronictl list`.',
    );
}

function drive(live: LiveTarget, rest: PatroniRest): SelfDriven {
  return {
    live,
    title: TITLE,
    whereToLook: '`patronictl list` and the members’ logs say why.',
    leader: async () => (await rest.cluster()).leader,
    isPaused: async () => (await rest.cluster()).paused,
    standbyNames: async () => ({}),
    neverLead: async () => (await rest.cluster()).members.filter(({ tags }) => tags.neverLeads).map(({ name }) => name),
    order: (from, candidates, wanted) => order(rest, from, candidates, wanted),
    async rebuild(node) {
      const answer = await rest.reinitialize(node);
      if (!answer.ok) throw new GamedayError('step_failed', `Patroni does not reinitialize ${node}: HTTP ${answer.status}: ${answer.text}`);
    },
  };
}

function automationOf(rest: PatroniRest): Automation {
  return {
    async setPaused(paused) {
      const word = paused ? 'pause' : 'resume';
      const answer = await rest.setPaused(paused);
      if (!answer.ok) throw new GamedayError('step_failed', `Patroni does not ${word}: HTTP ${answer.status}: ${answer.text}`);
      const deaf = async (): Promise<readonly string[]> =>
        Object.entries(await rest.pausedMembers()).flatMap(([node, said]) => (said === null || said === paused ? [] : [node]));
      let last: readonly string[] = [];
      await until(async () => ((last = await deaf()).length === 0 ? true : null), {
        timeoutMs: HEARD_WITHIN_MS,
        everyMs: POLL_MS,
        onTimeout: () =>
          new GamedayError(
            'step_failed',
            `Patroni was told to ${word}, but ${last.join(', ')} did not hear of it in ${HEARD_WITHIN_MS} ms`,
          ),
      });
    },
    isPaused: async () => (await rest.cluster()).paused,
    pausedAgents: () => rest.pausedMembers(),
  };
}

/** The controller of a Patroni target. Opening touches nothing. */
export function openPatroniController(live: LiveTarget, controller: PatroniController): Controller {
  const rest = openPatroniRest(controller);
  const driven = drive(live, rest);
  const slots = live.target.nodes.map(({ name }) => name.replaceAll(/[^a-z0-9_]/g, '_'));
  return {
    kind: 'patroni',
    automation: automationOf(rest),
    status: () => askAll(live),
    async topology() {
      const [config, cluster] = [await rest.config().catch(() => null), await rest.cluster().catch(() => null)];
      const book = {
        config: config === null ? 'not to be read' : canonicalJson(config),
        paused: cluster === null ? 'unknown' : String(cluster.paused),
      };
      return topologyOf(driven, TITLE, book, (slot) => slots.includes(slot));
    },
    predictedFailover: async (primary) => (primary === 'lost' ? patroniBand(await rest.config(), live.router.kind !== 'none') : null),
    watchdog: () => readWatchdog(live, () => driven.leader()),
    async advice() {
      const [config, leader] = [await rest.config(), await driven.leader()];
      const asked = leader ?? live.target.nodes[0]?.name ?? '';
      return [lagAdvice(config, readSegmentSettings(await live.sql(asked, 'observe', (sql) => sql.query(SEGMENT_SETTINGS))))];
    },
    timers: async () => patroniTimers(await rest.config()),
    failover: (request) => carryOut(driven, request),
    async startNode(node, environment) {
      refuseEnvironment(TITLE, node, environment);
      return startByAgent(driven, node);
    },
    mayWrite: async (node) => (await driven.leader()) === node,
    rejoin: (node, options) => rejoinByAgent(driven, node, options),
    salvages: (above) => standingSalvages(live, above),
  };
}
