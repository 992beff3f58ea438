/**
 * The disasters that the library rehearses, each as it must pass and as it must fail. A case that must fail breaks what the scenario
 * relies on, or asks for more than the cluster gives; the objective that has to find it is named.
 */
import type { ObjectiveName } from '../../model/plan';

/** Labs by name, and what `lab up` is told to make them. */
export const LABS = {
  standalone: ['--topology', 'standalone'],
  patroni: ['--topology', 'patroni'],
  'pg-auto-failover': ['--topology', 'pg-auto-failover'],
  cascade: ['--topology', 'cascade'],
  'patroni-cascade': ['--topology', 'patroni-cascade'],
  'patroni-cascade, asynchronous': ['--topology', 'patroni-cascade', '--replication', 'async'],
  'patroni, asynchronous': ['--topology', 'patroni', '--replication', 'async'],
  'patroni, watchdog': ['--topology', 'patroni', '--watchdog'],
  'patroni 4.1': ['--topology', 'patroni', '--patroni', '4.1'],
  docker: ['--runtime', 'docker'],
} as const;
export type LabName = keyof typeof LABS;

/** What is done to a lab before a case of it, and undone behind it: something that the scenario relies on is taken away, or given. */
export const CHANGES = [
  'failsafe-mode',
  'strict-synchronous',
  'router-keeps-sessions',
  'encrypted-repository',
  'archive-by-wal-g',
] as const;
export type ChangeName = (typeof CHANGES)[number];

export interface DisasterCase {
  /** Numbers in the list of disasters, as its scenario's description names them. */
  readonly disasters: string;
  readonly scenario: string;
  readonly set: Readonly<Record<string, string>>;
  readonly labs: readonly LabName[];
  readonly change?: ChangeName;
  /** `missed`: it fails, and one of these objectives is missed. `because`: it fails, and a reason says these words. `refused`: nothing is broken, because the settings of the cluster cannot give what is asked for. */
  readonly must: 'pass' | 'refused' | { readonly missed: readonly ObjectiveName[] } | { readonly because: string };
}

const EVERYWHERE: readonly LabName[] = ['standalone', 'patroni', 'pg-auto-failover'];
const AGENTS: readonly LabName[] = ['patroni', 'pg-auto-failover'];
const DCS: readonly LabName[] = ['patroni'];
/** Where a standby streams from a standby. */
const CASCADES: readonly LabName[] = ['cascade', 'patroni-cascade'];
/** Restores do not depend on who fails over. */
const STANDALONE: readonly LabName[] = ['standalone'];
/** Whose nodes are containers. */
const DOCKER: readonly LabName[] = ['docker'];
/** Those whose every path, to the store too, leads through a link. */
const PARTED: readonly LabName[] = ['patroni', 'docker'];

const passes = (
  disasters: string,
  scenario: string,
  labs: readonly LabName[] = EVERYWHERE,
  set: DisasterCase['set'] = {},
): DisasterCase => ({ disasters, scenario, set, labs, must: 'pass' });
const after = (change: ChangeName, each: DisasterCase): DisasterCase => ({ ...each, change });
const fails = (
  disasters: string,
  scenario: string,
  missed: readonly ObjectiveName[],
  set: DisasterCase['set'] = {},
  labs: readonly LabName[] = EVERYWHERE,
): DisasterCase => ({ disasters, scenario, set, labs, must: { missed } });
const refused = (disasters: string, scenario: string, set: DisasterCase['set'], labs: readonly LabName[]): DisasterCase => ({
  disasters,
  scenario,
  set,
  labs,
  must: 'refused',
});

/** It fails by a step that does not come out as it must: no objective is about that. */
const failsBecause = (
  disasters: string,
  scenario: string,
  because: string,
  set: DisasterCase['set'],
  labs: readonly LabName[],
): DisasterCase => ({ disasters, scenario, set, labs, must: { because } });

export const CASES: readonly DisasterCase[] = [
  passes('1', 'postmaster-crash'),
  fails('1', 'postmaster-crash', ['rto'], { rto: '50ms' }),
  passes('2', 'backend-crash'),
  // The whole server instead of one session.
  fails('2', 'backend-crash', ['rto', 'promotions'], { scope: 'postmaster', rto: '50ms' }),
  passes('3', 'primary-loss', [...EVERYWHERE, 'docker'], { rto: '45s' }),
  // Less than a key lives, or a monitor waits.
  refused('3', 'primary-loss', { rto: '3s' }, [...AGENTS, 'docker']),
  // Less than a promotion takes.
  refused('3', 'primary-loss', { rto: '10ms' }, ['standalone']),
  passes('4', 'primary-thaws', ['patroni 4.1']),
  // Less than a key lives and the frozen member is asked in vain, more than the settings could give.
  fails('4', 'primary-thaws', ['rto'], { rto: '16s', pause: '5s' }, ['patroni 4.1']),
  passes('4', 'container-pauses', DOCKER),
  // Longer than the key lives: somebody has to take it.
  fails('4', 'container-pauses', ['promotions'], { promotions: '0' }, DOCKER),
  passes('3', 'container-off-network', DOCKER),
  // Less than a key lives and the member that is away is asked in vain, more than the settings could give.
  fails('3', 'container-off-network', ['rto'], { rto: '16s' }, DOCKER),
  passes('5', 'controller-hangs', DCS),
  // Longer than the key lives: another is promoted beside a primary that nobody stops.
  fails('5', 'controller-hangs', ['promotions', 'rpo_transactions', 'write_stall', 'split_brain'], { pause: '40s' }, DCS),
  passes('6', 'controller-dies', ['patroni, watchdog']),
  // Without a watchdog.
  fails('6', 'controller-dies', ['rpo_transactions', 'split_brain'], {}, DCS),
  passes('3', 'maintenance-forgotten', DCS),
  // Less than the pause goes unnoticed, and not less than the settings could give: that would be refused.
  fails('3', 'maintenance-forgotten', ['rto'], { rto: '16s', unnoticed: '20s' }, DCS),
  passes('7', 'planned-switchover', [...EVERYWHERE, 'docker'], { rto: '30s' }),
  fails('7', 'planned-switchover', ['rto'], { rto: '10ms' }, [...EVERYWHERE, 'docker']),
  passes('9', 'dcs-outage', DCS),
  after('failsafe-mode', passes('9', 'dcs-outage', DCS, { rto: '2s' })),
  // As with failsafe_mode, which this cluster does not have.
  fails('9', 'dcs-outage', ['rto'], { rto: '1s' }, DCS),
  passes('10', 'dcs-leader-loss', DCS),
  fails('10', 'dcs-leader-loss', ['write_stall'], { member: 'dcs-quorum' }, DCS),
  passes('11', 'primary-without-dcs', DCS),
  fails('11', 'primary-without-dcs', ['rto'], { rto: '1s' }, DCS),
  passes('12', 'primary-isolated', PARTED),
  // What an asynchronous primary acknowledges until it gives up.
  fails('12', 'primary-isolated', ['rpo_transactions'], {}, ['patroni, asynchronous']),
  passes('13', 'one-way-partition', PARTED),
  passes('13', 'one-way-partition', DCS, { silent: 'up' }),
  // A primary that only speaks, or only hears, cannot keep its key.
  fails('13', 'one-way-partition', ['promotions'], { promotions: '0' }, PARTED),
  passes('14', 'replication-cut', [...EVERYWHERE, 'docker']),
  fails('14', 'replication-cut', ['write_stall'], { stall: '10ms' }),
  // Its replacement for the cut standby is so quick that a stall of 10 ms was neither surely missed nor surely kept.
  fails('14', 'replication-cut', ['write_stall'], { stall: '2ms' }, ['docker']),
  passes('15', 'replication-latency'),
  fails('15', 'replication-latency', ['commit_p99'], { slowest: '50ms' }),
  passes('16', 'narrow-replication'),
  fails('16', 'narrow-replication', ['commit_p99'], { rate: '4kB', slowest: '50ms' }),
  passes('17', 'flapping-link'),
  // Slower than commits can wait, where every standby is behind such a link.
  fails('17', 'flapping-link', ['write_stall'], { from: 'each-standby', down: '5s', stall: '2s' }),
  // Slower than the key lives.
  fails('17', 'flapping-link', ['promotions'], { from: 'primary', to: 'dcs', down: '22s', hold: '45s' }, DCS),
  passes('18, 19', 'sync-standbys-lost', [...EVERYWHERE, 'docker']),
  after('strict-synchronous', passes('19', 'sync-standbys-lost', DCS)),
  // Nobody goes on alone: nothing is acknowledged before they are back.
  after('strict-synchronous', fails('19', 'sync-standbys-lost', ['write_stall'], { stall: '8s' }, DCS)),
  fails('18, 19', 'sync-standbys-lost', ['write_stall'], { stall: '8s' }, ['standalone', 'pg-auto-failover']),
  passes('22', 'fork-rejoins', ['patroni, asynchronous']),
  fails('22', 'fork-rejoins', ['rpo_transactions'], { loss: '0' }, ['patroni, asynchronous']),
  // Asynchronous: else commits stall at each segment's end until three standbys have it, longer than a baseline allows.
  passes('26', 'cascade-upstream-lost', ['cascade', 'patroni-cascade, asynchronous']),
  // Longer than the key of the dead member lives: the last standby is led to the primary, and back.
  passes('26', 'cascade-upstream-lost', ['patroni-cascade'], { hold: '30s' }),
  // The primary instead, which clients do notice.
  fails('26', 'cascade-upstream-lost', ['write_stall'], { upstream: 'primary' }, CASCADES),
  // Its last standby is never promoted, and comes along. Behind the others: whom they call the upstream may lead then.
  passes('3', 'primary-loss', ['patroni-cascade'], { rto: '45s' }),
  passes('27', 'router-dies'),
  fails('27', 'router-dies', ['rto'], { rto: '10ms' }),
  passes('27', 'pooler-dies'),
  fails('27', 'pooler-dies', ['rto'], { rto: '10ms' }),
  passes('28', 'pooler-after-switchover'),
  // HAProxy without `on-marked-down shutdown-sessions`, and slow to notice: the pooler's sessions stay with the old primary.
  after('router-keeps-sessions', fails('28', 'pooler-after-switchover', ['rejections', 'write_stall'], {}, DCS)),
  passes('44', 'history-file-lost', STANDALONE),
  // A part of a backup is lost instead, which no look at the archive's lists tells.
  failsBecause('44', 'history-file-lost', 'not refused', { object: 'backup' }, STANDALONE),
  passes('46', 'mass-update', STANDALONE),
  // Restores by the team's own tool; a copy that lacks nothing all the same.
  after('archive-by-wal-g', passes('46', 'mass-update', STANDALONE)),
  // Less than PostgreSQL takes to start.
  fails('46', 'mass-update', ['restore_time'], { restore: '100ms' }, STANDALONE),
  passes('48', 'region-lost', STANDALONE),
  // Less than an archive can hold back.
  fails('48', 'region-lost', ['archive_rpo'], { loss: '10ms' }, STANDALONE),
  passes('50', 'outside-retention', STANDALONE),
  // As if a segment were missing.
  failsBecause('50', 'outside-retention', 'instead of wal_missing', { reason: 'wal_missing' }, STANDALONE),
  after('encrypted-repository', passes('51', 'encryption-key-lost', STANDALONE)),
  // A copy of the key that is stale.
  after(
    'encrypted-repository',
    failsBecause('51', 'encryption-key-lost', 'the key "wrong" does not open the archive', { escrow: 'wrong' }, STANDALONE),
  ),
  // A key that was thought to be replaced, and is not.
  after('encrypted-repository', failsBecause('51', 'encryption-key-lost', 'not refused', { lost: 'escrow' }, STANDALONE)),
  passes('52', 'bucket-emptied', STANDALONE),
  fails('52', 'bucket-emptied', ['restore_time'], { restore: '100ms' }, STANDALONE),
  passes('53', 'many-restores', STANDALONE),
  after('archive-by-wal-g', passes('53', 'many-restores', STANDALONE)),
  fails('53', 'many-restores', ['restore_time'], { restore: '100ms' }, STANDALONE),
  passes('54', 'restore-over-slow-store', STANDALONE),
  // So far away that one request alone takes longer.
  fails('54', 'restore-over-slow-store', ['restore_time'], { latency: '4s', restore: '8s' }, STANDALONE),
  passes('55', 'standby-while-archive-lags', STANDALONE),
  // Less than PostgreSQL takes to start.
  fails('55', 'standby-while-archive-lags', ['rebuild_time'], { streams: '100ms' }, STANDALONE),
  // Called off before it can be whole: what is left in the middle, the drill puts right.
  fails('55', 'standby-while-archive-lags', ['rebuild_time'], { limit: '1s', streams: '500ms' }, STANDALONE),
  passes('30', 'storm-after-failover'),
  fails('30', 'storm-after-failover', ['promotions'], { promotions: '0' }),
];

/** Those of one lab, and of the scenarios that are named, if any are. */
export const casesOf = (lab: LabName, only: readonly string[]): readonly DisasterCase[] =>
  CASES.filter(({ scenario, labs }) => labs.includes(lab) && (only.length === 0 || only.includes(scenario)));
