/**
 * For whom commits wait in a lab: what may be asked of each topology, and the orders that carry it into a cluster that exists. What a topology cannot do is
 * refused here, before anything is made. Standalone nodes get theirs by their configuration; here is how Patroni is told.
 */
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import type { JsonObject } from '../../model/json';
import { openPatroniRest } from '../../targets/controllers/patroni-rest';
import type { LiveTarget } from '../../targets/ports';
import { awaitPrimary } from './agents';
import { isPatroni, type Topology } from './topology';

/** `sync`: commits wait for the first n of the standbys; `quorum`: for any n of them; `async`: for nobody. */
export const REPLICATIONS = ['sync', 'quorum', 'async'] as const;
export type Replication = (typeof REPLICATIONS)[number];

export interface LabReplication {
  readonly replication: Replication;
  /** Standbys that must confirm a commit; 0 exactly where replication is `async`. */
  readonly syncStandbys: number;
}

export interface ReplicationRequest {
  readonly topology: Topology;
  /** Patroni's version where one runs; null: the distribution's, or none. */
  readonly patroni: string | null;
  /** How many nodes may stream straight from a primary. */
  readonly standbys: number;
  readonly replication?: Replication | undefined;
  readonly syncStandbys?: number | undefined;
  /** `replication` is missing in labs made before there was a choice. */
  readonly before: { readonly replication?: Replication | undefined; readonly syncStandbys: number } | null;
}

/**
 * Four segments, where Patroni's default is 1 MB: `archive_timeout` of a lab ends one every ten seconds, and what is left of it counts as lag though nothing was
 * written there. A primary that has lost its standbys a moment before the store would have nobody to replace it, with synchronous replication too.
 */
const LAG_BYTES = 4 * 16 * 1_048_576;
const APPLY_MS = 60_000;
const refuse = (what: string, hint: string): GamedayError => new GamedayError('setting_invalid', what, hint);

/** What a topology does where nothing is said: as every lab did before there was a choice. */
const usual = (topology: Topology): Exclude<Replication, 'async'> => (isPatroni(topology) ? 'sync' : 'quorum');

function checkCount(count: number, { topology, standbys }: ReplicationRequest): void {
  if (!Number.isInteger(count) || count < 0 || count > standbys)
    throw refuse(
      `${count} synchronous standbys are not possible: ${standbys} stream from the primary`,
      `use ${Array.from({ length: standbys + 1 }, (_, at) => at).join(', ')}.`,
    );
  // pgautofailover: "At least n+1 standby nodes are required": one may be lost and commits go on.
  if (topology === 'pg-auto-failover' && count >= standbys)
    throw refuse(
      `pg_auto_failover wants a standby more than commits wait for, and there are ${standbys}`,
      `use at most ${standbys - 1} with --sync-standbys.`,
    );
}

function checkMode(replication: Replication, { topology, patroni }: ReplicationRequest): void {
  if (replication === 'sync' && topology === 'pg-auto-failover')
    throw refuse('pg_auto_failover knows no order among standbys: commits wait for any of them, or for none', 'use quorum or async.');
  if (replication === 'quorum' && isPatroni(topology) && !(parseInt(patroni ?? '', 10) >= 4))
    throw refuse(
      `Patroni ${patroni ?? 'of the distribution'} has no quorum mode: it came with 4.0`,
      'use sync or async, or make a lab with `--patroni 4.1`.',
    );
}

/** What is asked for, else what was before, else one standby in the topology's usual way. Throws `setting_invalid`. */
export function chooseReplication(request: ReplicationRequest): LabReplication {
  const { topology, before, replication: asked, syncStandbys: count } = request;
  if (count !== undefined) checkCount(count, request);
  if (asked !== undefined && count !== undefined && (asked === 'async') !== (count === 0))
    throw refuse(
      `--replication ${asked} and --sync-standbys ${count} contradict each other`,
      'async waits for 0 standbys, sync and quorum for at least 1.',
    );
  if (asked === 'async' || count === 0) return { replication: 'async', syncStandbys: 0 };
  const remembered = before === null ? null : (before.replication ?? (before.syncStandbys === 0 ? 'async' : usual(topology)));
  if (asked === undefined && count === undefined && remembered === 'async') return { replication: 'async', syncStandbys: 0 };
  const replication = asked ?? (remembered === null || remembered === 'async' ? usual(topology) : remembered);
  const syncStandbys = count ?? Math.max(1, before?.syncStandbys ?? 1);
  checkMode(replication, request);
  checkCount(syncStandbys, request);
  return { replication, syncStandbys };
}

/** One line for people, e.g. `quorum, any 1 standby confirms`. */
export function replicationWords({ replication, syncStandbys: n }: LabReplication): string {
  const standbys = n === 1 ? '1 standby confirms' : `${n} standbys confirm`;
  switch (replication) {
    case 'async':
      return 'asynchronous, no standby confirms';
    case 'sync':
      return `synchronous, the first ${standbys}`;
    case 'quorum':
      return `quorum, any ${standbys}`;
  }
}

/** Patroni's words for it; not strict: without a standby it commits alone. */
export function patroniReplication({ replication, syncStandbys }: LabReplication): JsonObject {
  return {
    synchronous_mode: replication === 'async' ? false : replication === 'quorum' ? 'quorum' : true,
    synchronous_mode_strict: false,
    synchronous_node_count: Math.max(1, syncStandbys),
    maximum_lag_on_failover: LAG_BYTES,
  };
}

const isApplied = (names: string, { replication }: LabReplication): boolean =>
  replication === 'async' ? names === '' : names !== '' && /^ANY /i.test(names) === (replication === 'quorum');

/** Carries it into Patroni's store where it differs from what stands there, and waits until the primary goes by it. Idempotent. Throws `lab_failed`. */
export async function setPatroniReplication(live: LiveTarget, wanted: LabReplication): Promise<void> {
  const { controller } = live.target;
  if (controller.kind !== 'patroni') return;
  const rest = openPatroniRest(controller);
  const config = await rest.config();
  const settings = patroniReplication(wanted);
  if (Object.entries(settings).every(([name, value]) => (config[name] ?? false) === value)) return;
  const answer = await rest.configure(settings);
  if (!answer.ok) throw new GamedayError('lab_failed', `Patroni does not take its settings: HTTP ${answer.status}: ${answer.text}`);
  let names = '';
  await until(
    async () => {
      const rows = await live.sql(await awaitPrimary(live), 'operate', (sql) => sql.query('SHOW synchronous_standby_names'));
      names = rows[0]?.['synchronous_standby_names'] ?? '';
      return isApplied(names, wanted) ? true : null;
    },
    {
      timeoutMs: APPLY_MS,
      everyMs: 250,
      onTimeout: (last) =>
        new GamedayError(
          'lab_failed',
          `Patroni was told “${replicationWords(wanted)}”, and after ${APPLY_MS} ms synchronous_standby_names is “${names}”${last === null ? '' : `: ${messageOf(last)}`}`,
          'a standby that does not stream cannot confirm: `gameday lab status`.',
        ),
    },
  );
}
