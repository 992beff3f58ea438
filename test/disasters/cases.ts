/**
 * The disasters of high availability that the library rehearses, each as it must pass and as it must fail. A case that must fail breaks what the scenario
 * relies on, or asks for more than the cluster gives; the objective that has to find it is named.
 */
import type { ObjectiveName } from '../../model/plan';

/** Labs by name, and what `lab up` is told to make them. */
export const LABS = {
  standalone: ['--topology', 'standalone'],
  patroni: ['--topology', 'patroni'],
  'pg-auto-failover': ['--topology', 'pg-auto-failover'],
  cascade: ['--topology', 'cascade'],
  'patroni, asynchronous': ['--topology', 'patroni', '--replication', 'async'],
} as const;
export type LabName = keyof typeof LABS;

export interface DisasterCase {
  /** Numbers in the list of disasters, as its scenario's description names them. */
  readonly disasters: string;
  readonly scenario: string;
  readonly set: Readonly<Record<string, string>>;
  readonly labs: readonly LabName[];
  /** `missed`: it fails, and one of these objectives is missed. `refused`: nothing is broken, because the settings of the cluster cannot give what is asked for. */
  readonly must: 'pass' | 'refused' | { readonly missed: readonly ObjectiveName[] };
}

const EVERYWHERE: readonly LabName[] = ['standalone', 'patroni', 'pg-auto-failover'];
const AGENTS: readonly LabName[] = ['patroni', 'pg-auto-failover'];
const DCS: readonly LabName[] = ['patroni'];

const passes = (
  disasters: string,
  scenario: string,
  labs: readonly LabName[] = EVERYWHERE,
  set: DisasterCase['set'] = {},
): DisasterCase => ({ disasters, scenario, set, labs, must: 'pass' });
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

export const CASES: readonly DisasterCase[] = [
  passes('1', 'postmaster-crash'),
  fails('1', 'postmaster-crash', ['rto'], { rto: '50ms' }),
  passes('2', 'backend-crash'),
  // The whole server instead of one session.
  fails('2', 'backend-crash', ['rto', 'promotions'], { scope: 'postmaster', rto: '50ms' }),
  passes('3', 'primary-loss', EVERYWHERE, { rto: '45s' }),
  // Less than a key lives, or a monitor waits.
  refused('3', 'primary-loss', { rto: '3s' }, AGENTS),
  // Less than a promotion takes.
  refused('3', 'primary-loss', { rto: '10ms' }, ['standalone']),
  passes('5', 'controller-hangs', DCS),
  // Longer than the key lives: another is promoted beside a primary that nobody stops.
  fails('5', 'controller-hangs', ['promotions', 'rpo_transactions', 'write_stall', 'split_brain'], { pause: '40s' }, DCS),
  // Without a watchdog.
  fails('6', 'controller-dies', ['rpo_transactions', 'split_brain'], {}, DCS),
  passes('3', 'maintenance-forgotten', DCS),
  fails('3', 'maintenance-forgotten', ['rto'], { rto: '20s' }, DCS),
  passes('7', 'planned-switchover', EVERYWHERE, { rto: '30s' }),
  fails('7', 'planned-switchover', ['rto'], { rto: '10ms' }),
  passes('9', 'dcs-outage', DCS),
  // As with failsafe_mode, which this cluster does not have.
  fails('9', 'dcs-outage', ['rto'], { rto: '1s' }, DCS),
  passes('10', 'dcs-leader-loss', DCS),
  fails('10', 'dcs-leader-loss', ['write_stall'], { member: 'dcs-quorum' }, DCS),
  passes('11', 'primary-without-dcs', DCS),
  fails('11', 'primary-without-dcs', ['rto'], { rto: '1s' }, DCS),
  passes('14', 'replication-cut'),
  fails('14', 'replication-cut', ['write_stall'], { stall: '10ms' }),
  passes('15', 'replication-latency'),
  fails('15', 'replication-latency', ['commit_p99'], { slowest: '50ms' }),
  passes('16', 'narrow-replication'),
  fails('16', 'narrow-replication', ['commit_p99'], { rate: '4kB', slowest: '50ms' }),
  passes('17', 'flapping-link'),
  passes('18, 19', 'sync-standbys-lost'),
  passes('22', 'fork-rejoins', ['patroni, asynchronous']),
  fails('22', 'fork-rejoins', ['rpo_transactions'], { loss: '0' }, ['patroni, asynchronous']),
  passes('26', 'cascade-upstream-lost', ['cascade']),
  passes('27', 'router-dies'),
  fails('27', 'router-dies', ['rto'], { rto: '10ms' }),
  passes('27', 'pooler-dies'),
  fails('27', 'pooler-dies', ['rto'], { rto: '10ms' }),
  passes('28', 'pooler-after-switchover'),
  passes('30', 'storm-after-failover'),
  fails('30', 'storm-after-failover', ['promotions'], { promotions: '0' }),
];

/** Those of one lab, and of the scenarios that are named, if any are. */
export const casesOf = (lab: LabName, only: readonly string[]): readonly DisasterCase[] =>
  CASES.filter(({ scenario, labs }) => labs.includes(lab) && (only.length === 0 || only.includes(scenario)));
