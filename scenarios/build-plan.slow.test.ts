import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { canonicalJson } from '../core/canonical-json';
import { GamedayError } from '../core/errors';
import { sha256Hex } from '../core/files';
import type { Target } from '../model/target';
import { sampleTarget } from '../test/sample-plan';
import { flattenSteps } from '../model/plan-steps';
import { buildPlan } from './build-plan';
import { findScenario, listScenarios } from './index';
import { scenarioJsonSchema } from './json-schema';
import { loadScenario, parseScenario } from './load-scenario';
import type { LoadedTarget } from './load-target';

/** As every node of a lab has one to the store. */
const toStore = (from: string, at: number): NonNullable<Target['links']>['list'][number] => ({
  name: `${from}-s3`,
  from,
  to: 's3',
  listenHost: `127.0.99.${20 + at}`,
  listenPort: 7070,
  upstreamHost: '127.0.99.40',
  upstreamPort: 7070,
  speaks: 'http',
});

const LAB: Target = {
  ...sampleTarget(),
  links: { api: 'http://127.0.99.30:8474', restart: ['/bin/true'], list: ['n1', 'n2', 'n3'].map(toStore) },
  archive: {
    kind: 'native',
    endpoint: 'http://127.0.0.2:1',
    region: 'r',
    bucket: 'bucket',
    prefix: 'p',
    accessKey: 'env:A',
    secretKey: 'env:B',
    spoolDir: '/nowhere/spool',
  },
  sandbox: { dir: '/nowhere/sandbox', osUser: null, binDir: '/nowhere/bin' },
  paths: [
    { name: 'pooler', kind: 'pooler', hosts: [{ host: '127.0.99.50', port: 6432 }], database: 'gameday' },
    { name: 'direct', kind: 'direct', hosts: [{ host: '127.0.99.11', port: 5432 }], database: 'gameday' },
  ],
  policy: { ...sampleTarget().policy, allowFaults: ['noop', 'link-latency', 'process-kill'], maxFaultMs: 900_000, maxDrillMs: 3_600_000 },
};
const ENCRYPTED: Target = {
  ...LAB,
  archive: {
    kind: 'pgbackrest',
    stanza: 'main',
    config: '/c',
    nodeConfig: null,
    program: '/p',
    keys: { escrow: 'file:/k', older: 'env:K' },
  },
};
const target = (value: Target = LAB): LoadedTarget => ({ target: value, source: '', sha256: sha256Hex(''), file: 'lab.yaml' });
const HEAD = 'name: x\ntitle: X\nhypothesis: h\nobjectives: { rto: 30s }\n';
const build = (text: string, on: Target = LAB) => buildPlan({ scenario: parseScenario('s.yaml', text), target: target(on) });
const failure = (work: () => unknown): GamedayError => {
  try {
    work();
  } catch (error) {
    if (error instanceof GamedayError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('the library', () => {
  test('holds these scenarios, each usable', () => {
    expect(listScenarios().map(({ name, problem }) => [name, problem])).toEqual([
      ['backend-crash', null],
      ['bucket-emptied', null],
      ['cascade-upstream-lost', null],
      ['container-off-network', null],
      ['container-pauses', null],
      ['controller-dies', null],
      ['controller-hangs', null],
      ['dcs-leader-loss', null],
      ['dcs-outage', null],
      ['encryption-key-lost', null],
      ['failover-three-ways', null],
      ['flapping-link', null],
      ['fork-rejoins', null],
      ['game-day-in-a-box', null],
      ['history-file-lost', null],
      ['maintenance-forgotten', null],
      ['many-restores', null],
      ['mass-update', null],
      ['narrow-replication', null],
      ['one-way-partition', null],
      ['outside-retention', null],
      ['planned-switchover', null],
      ['pooler-after-switchover', null],
      ['pooler-dies', null],
      ['postmaster-crash', null],
      ['primary-isolated', null],
      ['primary-loss', null],
      ['primary-thaws', null],
      ['primary-without-dcs', null],
      ['region-lost', null],
      ['replication-cut', null],
      ['replication-latency', null],
      ['restore-over-slow-store', null],
      ['router-dies', null],
      ['runbook-rehearsal', null],
      ['standby-while-archive-lags', null],
      ['storm-after-failover', null],
      ['sync-standbys-lost', null],
    ]);
  });

  test('every scenario becomes a plan for the lab', () => {
    const outline = listScenarios().map(({ name, path }) => {
      const { plan } = buildPlan({ scenario: loadScenario(path), target: target(name === 'encryption-key-lost' ? ENCRYPTED : LAB) });
      const words = (step: (typeof plan.steps)[number]): string =>
        step.kind === 'fault'
          ? `${step.id}=${step.fault} ≤ ${step.maxMs}`
          : step.kind === 'wait'
            ? `${step.id}=${JSON.stringify(step.wait)}`
            : `${step.id}=${step.kind}`;
      return {
        name,
        objectives: plan.objectives.map(({ name: n, target: t, unit, step, path: by }) => {
          const about = step ?? by ?? null;
          return `${n} ≤ ${t} ${unit}${about === null ? '' : ` (${about})`}`;
        }),
        steps: flattenSteps(plan.steps).map(words),
      };
    });
    expect(outline).toEqual([
      {
        name: 'backend-crash',
        objectives: ['rto ≤ 5000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 0 count'],
        steps: ['kill=process-kill ≤ 900000', 'wait-1={"kind":"recovered","timeoutMs":90000}'],
      },
      {
        name: 'bucket-emptied',
        objectives: ['write_stall ≤ 5000 ms', 'restore_time ≤ 60000 ms (restore)', 'recovery_point_error ≤ 0 tx (restore)'],
        steps: [
          'accident=drop-table ≤ 900000',
          'emptied=archive-emptied ≤ 900000',
          'wait-1={"kind":"for","ms":5000}',
          'versions=heal',
          'restore=restore',
          'mend=heal',
        ],
      },
      {
        name: 'cascade-upstream-lost',
        objectives: ['write_stall ≤ 5000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 0 count'],
        steps: [
          'kill=process-kill ≤ 900000',
          'wait-1={"kind":"for","ms":10000}',
          'repair=heal',
          'streaming=check',
          'wait-2={"kind":"recovered","timeoutMs":60000}',
        ],
      },
      {
        name: 'container-off-network',
        objectives: ['rto ≤ 45000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 1 count'],
        steps: [
          'unplug=container-disconnect ≤ 900000',
          'failover=failover',
          'wait-1={"kind":"recovered","timeoutMs":90000}',
          'plug=heal',
          'wait-2={"kind":"recovered","timeoutMs":120000}',
        ],
      },
      {
        name: 'container-pauses',
        objectives: ['rto ≤ 45000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 1 count'],
        steps: [
          'pause=container-pause ≤ 900000',
          'failover=failover',
          'wait-1={"kind":"recovered","timeoutMs":90000}',
          'wait-2={"kind":"for","ms":10000}',
          'wake=heal',
          'wait-3={"kind":"recovered","timeoutMs":120000}',
        ],
      },
      {
        name: 'controller-dies',
        objectives: ['rto ≤ 60000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: [
          'agent=process-kill ≤ 900000',
          'wait-1={"kind":"for","ms":45000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'controller-hangs',
        objectives: ['write_stall ≤ 15000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 0 count'],
        steps: [
          'agent=process-freeze ≤ 900000',
          'wait-1={"kind":"for","ms":8000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":60000}',
        ],
      },
      {
        name: 'dcs-leader-loss',
        objectives: ['write_stall ≤ 1000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 0 count'],
        steps: [
          'member=service-kill ≤ 900000',
          'wait-1={"kind":"for","ms":10000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":60000}',
        ],
      },
      {
        name: 'dcs-outage',
        objectives: ['rto ≤ 45000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: [
          'quorum=service-kill ≤ 900000',
          'wait-1={"kind":"for","ms":20000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'encryption-key-lost',
        objectives: ['write_stall ≤ 10000 ms', 'restore_time ≤ 120000 ms (restore)', 'recovery_point_error ≤ 0 tx (restore)'],
        steps: ['accident=drop-table ≤ 900000', 'refused=restore', 'restore=restore', 'mend=heal'],
      },
      {
        name: 'failover-three-ways',
        objectives: ['rto ≤ 30000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: [
          'kill=process-kill ≤ 900000',
          'failover=failover',
          'recovered={"kind":"recovered","timeoutMs":90000}',
          'all-back={"kind":"for","ms":5000}',
        ],
      },
      {
        name: 'flapping-link',
        objectives: ['write_stall ≤ 15000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 0 count'],
        steps: [
          'flap=link-flap ≤ 900000',
          'wait-1={"kind":"for","ms":20000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":60000}',
        ],
      },
      {
        name: 'fork-rejoins',
        objectives: ['rto ≤ 45000 ms', 'rpo_transactions ≤ 5000 tx'],
        steps: [
          'cut=link-cut ≤ 900000',
          'wait-1={"kind":"for","ms":3000}',
          'kill=process-kill ≤ 900000',
          'failover=failover',
          'wait-2={"kind":"recovered","timeoutMs":90000}',
          'rejoin=heal',
          'mend=heal',
          'wait-3={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'game-day-in-a-box',
        objectives: [
          'rto ≤ 30000 ms',
          'rpo_transactions ≤ 0 tx',
          'restore_time ≤ 60000 ms (restore)',
          'recovery_point_error ≤ 0 tx (restore)',
        ],
        steps: [
          'slow-replication=link-latency ≤ 300000',
          'under-latency={"kind":"for","ms":5000}',
          'note-1=note',
          'kill-primary=process-kill ≤ 900000',
          'failover=failover',
          'recovered={"kind":"recovered","timeoutMs":90000}',
          'heal-latency=heal',
          'accident=drop-table ≤ 900000',
          'restore=restore',
          'heal-all=heal',
        ],
      },
      {
        name: 'history-file-lost',
        objectives: [
          'rto ≤ 45000 ms',
          'rpo_transactions ≤ 0 tx',
          'restore_time ≤ 60000 ms (restore)',
          'recovery_point_error ≤ 0 tx (restore)',
        ],
        steps: [
          'kill=process-kill ≤ 900000',
          'failover=failover',
          'wait-1={"kind":"recovered","timeoutMs":90000}',
          'accident=drop-table ≤ 900000',
          'lost=archive-object-lost ≤ 900000',
          'refused=restore',
          'found=heal',
          'restore=restore',
          'mend=heal',
        ],
      },
      {
        name: 'maintenance-forgotten',
        objectives: ['rto ≤ 60000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: [
          'pause=automation-paused ≤ 900000',
          'loss=process-kill ≤ 900000',
          'wait-1={"kind":"for","ms":15000}',
          'heal-1=heal',
          'failover=failover',
          'wait-2={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'many-restores',
        objectives: [
          'write_stall ≤ 10000 ms',
          'restore_time ≤ 120000 ms (first)',
          'restore_time ≤ 120000 ms (second)',
          'restore_time ≤ 120000 ms (third)',
          'recovery_point_error ≤ 0 tx (first)',
          'recovery_point_error ≤ 0 tx (second)',
          'recovery_point_error ≤ 0 tx (third)',
        ],
        steps: ['accident=drop-table ≤ 900000', 'at-once=parallel', 'first=restore', 'second=restore', 'third=restore', 'mend=heal'],
      },
      {
        name: 'mass-update',
        objectives: ['write_stall ≤ 5000 ms', 'restore_time ≤ 60000 ms (beside)', 'recovery_point_error ≤ 0 tx (beside)'],
        steps: ['mark-1=mark', 'migration=mass-update ≤ 900000', 'beside=restore', 'merge=heal'],
      },
      {
        name: 'narrow-replication',
        objectives: ['rpo_transactions ≤ 0 tx', 'commit_p99 ≤ 1000 ms', 'promotions ≤ 0 count', 'no_safe_candidate ≤ 60000 ms'],
        steps: [
          'narrow=link-bandwidth ≤ 900000',
          'wait-1={"kind":"for","ms":15000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":60000}',
        ],
      },
      {
        name: 'one-way-partition',
        objectives: ['rto ≤ 60000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 1 count'],
        steps: [
          'cut=link-cut ≤ 900000',
          'wait-1={"kind":"for","ms":45000}',
          'wait-2={"kind":"for","ms":15000}',
          'heal-1=heal',
          'wait-3={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'outside-retention',
        objectives: ['write_stall ≤ 5000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: ['refused=restore'],
      },
      {
        name: 'planned-switchover',
        objectives: ['rto ≤ 15000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: ['note-1=note', 'switchover=failover', 'wait-1={"kind":"recovered","timeoutMs":60000}', 'check-1=check'],
      },
      {
        name: 'pooler-after-switchover',
        objectives: ['write_stall ≤ 15000 ms (pooler)', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 1 count', 'rejections ≤ 5 count (pooler)'],
        steps: ['switchover=failover', 'wait-1={"kind":"recovered","timeoutMs":60000}', 'wait-2={"kind":"for","ms":20000}'],
      },
      {
        name: 'pooler-dies',
        objectives: ['rto ≤ 10000 ms (pooler)', 'write_stall ≤ 2000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 0 count'],
        steps: [
          'pooler=service-kill ≤ 900000',
          'wait-1={"kind":"for","ms":5000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":60000}',
          'wait-3={"kind":"for","ms":5000}',
        ],
      },
      {
        name: 'postmaster-crash',
        objectives: ['rto ≤ 30000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: ['kill=process-kill ≤ 900000', 'failover=failover', 'wait-1={"kind":"recovered","timeoutMs":90000}'],
      },
      {
        name: 'primary-isolated',
        objectives: ['rto ≤ 60000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 1 count'],
        steps: [
          'standbys=link-cut ≤ 900000',
          'store=link-cut ≤ 900000',
          'wait-1={"kind":"for","ms":45000}',
          'wait-2={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'primary-loss',
        objectives: ['rto ≤ 30000 ms', 'rto_beyond_prediction ≤ 5000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: ['kill=process-kill ≤ 900000', 'failover=failover', 'wait-1={"kind":"recovered","timeoutMs":90000}'],
      },
      {
        name: 'primary-thaws',
        objectives: ['rto ≤ 45000 ms', 'rpo_transactions ≤ 0 tx', 'split_brain ≤ 5000 ms'],
        steps: [
          'freeze=process-freeze ≤ 900000',
          'failover=failover',
          'wait-1={"kind":"recovered","timeoutMs":90000}',
          'wait-2={"kind":"for","ms":30000}',
          'thaw=heal',
          'wait-3={"kind":"for","ms":20000}',
          'wait-4={"kind":"recovered","timeoutMs":120000}',
        ],
      },
      {
        name: 'primary-without-dcs',
        objectives: ['rto ≤ 45000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: [
          'cut=link-cut ≤ 900000',
          'wait-1={"kind":"for","ms":5000}',
          'failover=failover',
          'wait-2={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'region-lost',
        objectives: ['restore_time ≤ 120000 ms (rebuild)', 'recovery_point_error ≤ 0 tx (rebuild)', 'archive_rpo ≤ 300000 ms (rebuild)'],
        steps: [
          'wait-1={"kind":"for","ms":15000}',
          'standbys=sync-standby-loss ≤ 900000',
          'primary=process-kill ≤ 900000',
          'rebuild=restore',
          'mend=heal',
          'wait-2={"kind":"recovered","timeoutMs":120000}',
        ],
      },
      {
        name: 'replication-cut',
        objectives: ['write_stall ≤ 30000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 0 count'],
        steps: [
          'cut=link-cut ≤ 900000',
          'wait-1={"kind":"for","ms":20000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":60000}',
        ],
      },
      {
        name: 'replication-latency',
        objectives: ['rpo_transactions ≤ 0 tx', 'commit_p99 ≤ 1000 ms', 'promotions ≤ 0 count'],
        steps: [
          'slow=link-latency ≤ 300000',
          'wait-1={"kind":"for","ms":15000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":120000}',
        ],
      },
      {
        name: 'restore-over-slow-store',
        objectives: ['write_stall ≤ 10000 ms', 'restore_time ≤ 120000 ms (restore)', 'recovery_point_error ≤ 0 tx (restore)'],
        steps: ['far=link-latency ≤ 900000', 'accident=drop-table ≤ 900000', 'restore=restore', 'mend=heal'],
      },
      {
        name: 'router-dies',
        objectives: ['rto ≤ 10000 ms', 'write_stall ≤ 2000 ms (direct)', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 0 count'],
        steps: [
          'router=service-kill ≤ 900000',
          'wait-1={"kind":"for","ms":5000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":60000}',
        ],
      },
      {
        name: 'runbook-rehearsal',
        objectives: ['rto ≤ 5000 ms'],
        steps: [
          'announce=manual',
          'go-ahead=gate',
          'slow=link-latency ≤ 120000',
          'wait-1={"kind":"for","ms":5000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":120000}',
        ],
      },
      {
        name: 'standby-while-archive-lags',
        objectives: ['write_stall ≤ 10000 ms', 'rpo_transactions ≤ 0 tx', 'rebuild_time ≤ 60000 ms (rebuild)', 'promotions ≤ 0 count'],
        steps: [
          'archive=archive-unavailable ≤ 900000',
          'lag={"kind":"for","ms":15000}',
          'rebuild=rebuild',
          'mend=heal',
          'wait-1={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'storm-after-failover',
        objectives: ['rto ≤ 45000 ms', 'rpo_transactions ≤ 0 tx', 'promotions ≤ 1 count'],
        steps: [
          'kill=process-kill ≤ 900000',
          'failover=failover',
          'storm=connection-storm ≤ 900000',
          'wait-1={"kind":"for","ms":15000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":90000}',
        ],
      },
      {
        name: 'sync-standbys-lost',
        objectives: ['rto_reads ≤ 2000 ms', 'write_stall ≤ 60000 ms', 'rpo_transactions ≤ 0 tx'],
        steps: [
          'loss=sync-standby-loss ≤ 900000',
          'wait-1={"kind":"for","ms":10000}',
          'heal-1=heal',
          'wait-2={"kind":"recovered","timeoutMs":90000}',
        ],
      },
    ]);
  });

  test('an unknown scenario names the nearest', () => {
    const error = failure(() => findScenario('primary-los'));
    expect([error.code, error.message]).toEqual(['scenario_unknown', 'no scenario "primary-los" (did you mean "primary-loss"?)']);
  });
});

describe('a plan', () => {
  test('has the digest of its canonical JSON, the same every time, and another with another variable', () => {
    const scenario = loadScenario(findScenario('replication-latency'));
    const one = buildPlan({ scenario, target: target() });
    expect(one.planSha256).toBe(sha256Hex(canonicalJson(one.plan)));
    expect(buildPlan({ scenario, target: target() }).planSha256).toBe(one.planSha256);
    const other = buildPlan({ scenario, target: target(), overrides: { latency: '20ms' } });
    expect(other.planSha256).not.toBe(one.planSha256);
    expect(other.plan.scenario.variables).toMatchObject({ latency: '20ms', hold: '15s' });
  });

  test('says which faults the policy will refuse', () => {
    const { notes } = buildPlan({ scenario: loadScenario(findScenario('game-day-in-a-box')), target: target() });
    expect(notes).toEqual(['lab.yaml:1: fault drop-table is not in policy.allowFaults of target sample: the drill will be refused']);
  });

  test('for production says who must approve it, with the line that says production; a plan that breaks nothing needs nobody', () => {
    const source = 'name: sample\nkind: production\n';
    const production = { ...LAB, kind: 'production', policy: { ...LAB.policy, approvers: '/etc/gameday/approvers' } } as const;
    const notesOf = (steps: string, value: Target): readonly string[] =>
      buildPlan({ scenario: parseScenario('s.yaml', `${HEAD}${steps}`), target: { ...target(value), source, file: '/targets/shop.yaml' } })
        .notes;
    const said = '/targets/shop.yaml:2: kind is production: two others than whoever starts the drill must approve this plan';
    expect(notesOf('steps: [{ fault: noop }]\n', production)).toEqual([said]);
    expect(notesOf('steps: [{ failover: most-advanced }]\n', { ...production, policy: { ...production.policy, approvers: null } })).toEqual(
      [`${said}, and policy.approvers names nobody who could: the drill will be refused`],
    );
    expect(notesOf('steps: [{ wait: 1s }]\n', production)).toEqual([]);
  });

  test('has the same digest wherever the target’s file lies', () => {
    const scenario = loadScenario(findScenario('primary-loss'));
    const at = (file: string): string => buildPlan({ scenario, target: { ...target(), file } }).planSha256;
    expect(at('/a/shop.yaml')).toBe(at('shop.yaml'));
  });

  test('gives a fault the time of its own permit, and refuses more', () => {
    const allowFaults = [{ fault: 'noop', maxMs: 5_000, maxNodes: null }];
    const strict: Target = { ...LAB, policy: { ...LAB.policy, allowFaults } };
    expect(build(`${HEAD}steps: [{ fault: noop }]\n`, strict).plan.steps[0]).toMatchObject({ maxMs: 5_000 });
    expect(failure(() => build(`${HEAD}steps: [{ fault: noop, max: 6s }]\n`, strict)).message).toContain(
      '6 s is more than policy.allowFaults[0].maxMs of target sample allows (5 s)',
    );
  });

  test('derives ids that no written id has', () => {
    const { plan } = build(`${HEAD}steps: [{ wait: 1s }, { wait: 1s, id: wait-1 }, { wait: 1s }, { fault: noop }, { fault: noop }]\n`);
    expect(plan.steps.map(({ id }) => id)).toEqual(['wait-2', 'wait-1', 'wait-3', 'noop', 'noop-2']);
  });

  test('branches run side by side and are validated like the rest', () => {
    const { plan } = build(`${HEAD}steps: [{ parallel: [[{ wait: 1s }], [{ note: hello }]] }]\n`);
    expect(plan.steps[0]).toMatchObject({
      kind: 'parallel',
      branches: [[{ kind: 'wait', id: 'wait-1' }], [{ kind: 'note', text: 'hello' }]],
    });
    expect(failure(() => build(`${HEAD}steps: [{ parallel: [[{ wait: 1s }], [{ nte: hello }]] }]\n`)).message).toMatch(
      /^s\.yaml:5:\d+: steps\[0\]\.parallel\[1\]\[0\]\.nte: unknown verb \(did you mean "note"\?\)/,
    );
  });

  test.each([
    ['steps: [{ fault: noop, id: a }, { wait: 1s, id: a }]', 'step id "a" is used twice'],
    ['steps: [{ fault: nop }]', 'nop'],
    ['steps: [{ fault: noop, id: a }, { heal: [b] }]', 'no step "b"'],
    ['steps: [{ heal: [a] }, { fault: noop, id: a }]', 'comes later'],
    ['steps: [{ wait: 1s, id: a }, { restore: { before: a } }]', 'is a wait step, not a fault'],
    ['steps: [{ failover: { candidate: n9 } }]', 'has no node "n9"'],
    ['steps: [{ check: { sql: select 1, expect: 1, on: sandbox } }]', 'none comes before'],
    ['steps: [{ restore: { latest: true, expect: refused } }, { check: { sql: s, expect: 1, on: sandbox } }]', 'none comes before'],
    ['steps: [{ fault: noop, max: 2h }]', 'more than policy.maxFaultMs'],
    ['steps: [{ fault: noop, with: { nonsense: 1 } }]', 'unknown key'],
  ])('%s is refused: %s', (steps, words) => {
    const error = failure(() => build(`${HEAD}${steps}\n`));
    expect(error.code).toBe('plan_invalid');
    expect(error.message).toMatch(/^s\.yaml:5:\d+: steps/);
    expect(error.message).toContain(words);
  });

  test.each([
    ['steps: [{ wait: 10 }]', 'steps[0].wait: 10 has no unit'],
    ['steps: [{ wait: 10s, note: x }]', 'a step has one verb, this one has wait and note'],
    ['steps: []', 'steps: needs at least one step'],
    ['steps: [{ gate: go? }]', 'steps[0].owner: is missing'],
    ['steps: [{ failover: { candidat: n1 } }]', 'did you mean "candidate"'],
    ['steps: [{ restore: { xid: 5, name: x } }]', 'exactly one of'],
    ['steps: [{ restore: { latest: true, immediate: true } }]', 'exactly one of'],
    [
      'steps: [{ restore: { latest: true, expect: refusd } }]',
      'must be refused, or { refused: REASON } with one of backup_missing, wal_missing',
    ],
    [
      'steps: [{ restore: { latest: true, expect: { refused: disk_full } } }]',
      'expect.refused: must be one of backup_missing, wal_missing, archive_key_wrong',
    ],
    ['steps: [{ restore: { latest: true, expect: refused, proof: quick } }]', 'proof: goes with a restore that is carried out'],
    ['stepps: []', 'unknown key (did you mean "steps"?)'],
  ])('%s is no scenario: %s', (steps, words) => {
    const error = failure(() => build(`${HEAD}${steps}\n`));
    expect(error.code).toBe('scenario_invalid');
    expect(error.message).toContain(words);
  });

  test('conditions that end it early hold once a second, three times in a row, unless they say otherwise', () => {
    const { plan } = build(
      `${HEAD}steps: [{ note: x }]\nstop:\n  - { sql: { sql: select 1, expect: 1 } }\n  - { id: up, nodes: { minUp: 2 }, every: 5s, failures: 2, of: 4 }\n`,
    );
    expect(plan.stop).toEqual([
      { id: expect.any(String), check: { kind: 'sql', on: 'primary', sql: 'select 1', expect: '1' }, everyMs: 1_000, failures: 3, of: 3 },
      { id: 'up', check: { kind: 'nodes', maxWritable: null, minUp: 2 }, everyMs: 5_000, failures: 2, of: 4 },
    ]);
  });

  test.each([
    ['{ http: { url: "https://x", stats: 200 } }', 'unknown key'],
    ['{ nodes: { minUp: 2 }, failures: 5, of: 3 }', 'failures'],
    ['{ sql: { sql: select 1, expect: 1 }, nodes: { minUp: 1 } }', 'one'],
    ['{ every: 5s }', 'one'],
  ])('the condition %s is refused, with its place', (condition, words) => {
    const error = failure(() => build(`${HEAD}steps: [{ note: x }]\nstop:\n  - ${condition}\n`));
    expect(['scenario_invalid', 'plan_invalid']).toContain(error.code);
    expect(error.message).toMatch(/s\.yaml:7:\d+/);
    expect(error.message).toContain(words);
  });

  test('objectives speak in units and may name source and approver', () => {
    const text =
      'name: x\ntitle: X\nhypothesis: h\nobjectives:\n  rto: { target: 1m, source: BIA 2026, approver: cto }\n  rpo: 0 tx\nsteps: [{ wait: 1s }]\n';
    expect(build(text).plan.objectives).toEqual([
      { name: 'rto', target: 60_000, unit: 'ms', step: null, source: 'BIA 2026', approver: 'cto' },
      { name: 'rpo_transactions', target: 0, unit: 'tx', step: null, source: null, approver: null },
    ]);
    expect(failure(() => build(text.replace('0 tx', '30s'))).message).toMatch(
      /^s\.yaml:6:8: objectives\.rpo: "30s" is no number of transactions/,
    );
  });

  test('an RTO says which span it is about, or is about the headline', () => {
    const text = `${HEAD.replace('{ rto: 30s }', '{ rto: { target: 5m, about: verified }, time_to_redundancy: 1h, replica_staleness: 10s }')}steps: [{ wait: 1s }]\n`;
    expect(build(text).plan.objectives.map(({ name, target, unit, about }) => [name, target, unit, about])).toEqual([
      ['rto', 300_000, 'ms', 'verified'],
      ['time_to_redundancy', 3_600_000, 'ms', undefined],
      ['replica_staleness', 10_000, 'ms', undefined],
    ]);
    expect(failure(() => build(text.replace('verified', 'verfied'))).message).toMatch(/objectives\.rto.*about/);
  });

  test('an RTO from the declaration needs one step that declares', () => {
    const text = (steps: string): string =>
      `${HEAD.replace('{ rto: 30s }', '{ rto: { target: 5m, about: declaration } }')}steps:\n${steps}`;
    const page = '  - manual: Page the owner.\n    id: page\n    owner: sre\n';
    const { plan } = build(text(`${page}    declares: incident\n  - gate: Go on?\n    owner: lead\n`));
    expect(plan.objectives[0]).toMatchObject({ name: 'rto', about: 'declaration' });
    expect(plan.steps.map((step) => 'declares' in step)).toEqual([true, false]);
    const nobody = failure(() => build(text('  - wait: 1s\n')));
    expect(nobody.code).toBe('plan_invalid');
    expect(nobody.message).toMatch(
      /s\.yaml:4:\d+: objectives\.rto\.about: no step declares the incident; ask for it with a `manual` or `gate` step/,
    );
    expect(failure(() => build(text(page))).message).toContain('give one of the steps page the line `declares: incident`');
    const both = `${page}    declares: incident\n  - gate: Go on?\n    owner: lead\n    declares: incident\n`;
    expect(failure(() => build(text(both))).message).toMatch(/s\.yaml:12:\d+.*step "page" declares the incident already/);
    expect(failure(() => build(text(`${page}    declares: alarm\n`))).message).toContain('can only be incident');
    // A control run asks nobody: then there is nothing to judge.
    expect(build(text('  - wait: 1s\n').replace(', about: declaration', '')).plan.objectives).toHaveLength(1);
  });

  test('an objective about a further way in needs that way to be probed', () => {
    const text = `${HEAD.replace('{ rto: 30s }', '{ rto: { target: 5s, path: pooler }, promotions: 1 }')}probe: { paths: [pooler] }\nsteps: [{ wait: 1s }]\n`;
    expect(build(text).plan.objectives.map(({ name, target, unit, path }) => [name, target, unit, path])).toEqual([
      ['rto', 5_000, 'ms', 'pooler'],
      ['promotions', 1, 'count', undefined],
    ]);
    expect(failure(() => build(text.replace('[pooler]', '[direct]'))).message).toContain(
      '"pooler" is not probed; name it in `probe.paths`',
    );
    expect(failure(() => build(text.replace('promotions: 1', 'promotions: 1s'))).message).toContain(
      'objectives.promotions: must be a whole number',
    );
  });

  test('an objective about a restore needs a restore', () => {
    expect(failure(() => build(`${HEAD.replace('{ rto: 30s }', '{ restore_time: 60s }')}steps: [{ wait: 1s }]\n`)).message).toContain(
      'no step restores',
    );
  });

  test('further ways in are those that the target names', () => {
    const text = (paths: string): string => `${HEAD}probe:\n  paths: ${paths}\nsteps: [{ wait: 1s }]\n`;
    expect(build(text('[direct, pooler]')).plan.probe.paths).toEqual(['direct', 'pooler']);
    const wrong = failure(() => build(text('[pooler, poler, entry, pooler]')));
    expect(wrong.code).toBe('plan_invalid');
    expect(wrong.message).toContain('s.yaml:6:19');
    expect(wrong.message).toContain('target sample has no path "poler" (did you mean "pooler"?); it has pooler, direct');
    expect(wrong.message).toContain('s.yaml:6:26');
    expect(wrong.message).toContain('the main entry is always probed');
    expect(wrong.message).toContain('path "pooler" is named twice');
    expect(failure(() => build(text('[pooler]'), { ...LAB, paths: [] })).message).toContain('it has none besides its main entry');
  });

  test('more ways in than the allowed connections suffice for are refused', () => {
    const text = (settings: string): string => `${HEAD}probe: { ${settings} }\nsteps: [{ wait: 1s }]\n`;
    expect(build(text('paths: [direct], naive: true, maxConnections: 26')).plan.probe.maxConnections).toBe(26);
    const wrong = failure(() => build(text('paths: [direct], naive: true, maxConnections: 25')));
    expect(wrong.message).toContain('these streams need at least 26 connections, `probe.maxConnections` is 25');
    expect(failure(() => build(text('naive: true'), { ...LAB, kind: 'staging' })).message).toContain('need at least 11 connections');
  });

  test('an objective about reads needs reads, one about a prediction a failover', () => {
    const text = `${HEAD.replace('{ rto: 30s }', '{ rto_reads: 10s, write_stall: 5s }')}steps: [{ wait: 1s }]\n`;
    expect(build(text).plan.objectives.map(({ name, target, unit }) => [name, target, unit])).toEqual([
      ['rto_reads', 10_000, 'ms'],
      ['write_stall', 5_000, 'ms'],
    ]);
    expect(failure(() => build(`${text}probe: { readStreams: 0 }\n`)).message).toContain('is about reads, and `probe.readStreams` is 0');
    const predicted = text.replace('{ rto_reads: 10s', '{ rto_beyond_prediction: 1s');
    expect(failure(() => build(predicted)).message).toContain('is about a failover, and no step fails over');
    const failover = predicted.replace('{ wait: 1s }', '{ failover: most-advanced }');
    expect(build(failover).plan.objectives[0]).toMatchObject({ name: 'rto_beyond_prediction', target: 1_000, unit: 'ms' });
  });
});

describe('whatever stands in a file', () => {
  const library = listScenarios().map(({ path }) => readFileSync(path, 'utf8'));
  const pieces = [
    '"',
    "'",
    '{',
    '}',
    '[',
    ']',
    ':',
    '- ',
    '\n',
    '\t',
    '#',
    '&a',
    '*a',
    '!!binary x',
    '${',
    '}',
    '9e999',
    '.nan',
    'null',
    '~',
    '\u0000',
    '\uD800',
    '__proto__: 1',
    '<<: *a',
    '? ',
    '|\n',
    '---\n',
    '%YAML 3.0\n',
    '💥',
  ];

  test('the result is a plan or a GamedayError, never another exception', () => {
    const mutation = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      remove: fc.nat(30),
      insert: fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 6 })),
    });
    fc.assert(
      fc.property(fc.constantFrom(...library), fc.array(mutation, { minLength: 1, maxLength: 6 }), (text, mutations) => {
        const mutated = mutations.reduce((now, { at, remove, insert }) => {
          const offset = Math.floor(at * now.length);
          return now.slice(0, offset) + insert + now.slice(offset + remove);
        }, text);
        try {
          build(mutated);
        } catch (error) {
          if (!(error instanceof GamedayError) || error.code === 'internal') throw error;
        }
      }),
      { numRuns: 1_500 },
    );
  });

  test('any plain data in place of the scenario is judged, not thrown on', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        expect(failure(() => build(text)).code).toMatch(/^(yaml|scenario)_invalid$/);
      }),
      { numRuns: 500 },
    );
  });
});

test('the JSON Schema for editors knows every verb', () => {
  const text = JSON.stringify(scenarioJsonSchema());
  for (const verb of ['fault', 'wait', 'failover', 'restore', 'rebuild', 'check', 'heal', 'note', 'manual', 'gate', 'parallel'])
    expect(text).toContain(`"${verb}":{`);
});

describe('a standby made anew by a step', () => {
  const text = (steps: string, objectives = '{ rebuild_time: 60s }'): string =>
    `${HEAD.replace('{ rto: 30s }', objectives)}steps: [${steps}]\n`;
  const STAGING: Target = { ...LAB, kind: 'staging' };

  test('is one standby of the target, and each such step has the objective about it', () => {
    const { plan } = build(text('{ rebuild: { node: any-replica } }, { rebuild: { node: n3 }, timeout: 5m }'));
    expect(plan.steps).toMatchObject([
      { kind: 'rebuild', id: 'rebuild-1', node: 'any-replica', timeoutMs: 600_000 },
      { kind: 'rebuild', id: 'rebuild-2', node: 'n3', timeoutMs: 300_000 },
    ]);
    expect(plan.objectives.map(({ name, step }) => [name, step])).toEqual([
      ['rebuild_time', 'rebuild-1'],
      ['rebuild_time', 'rebuild-2'],
    ]);
    expect(failure(() => build(text('{ rebuild: { node: primary } }'))).message).toMatch(/"primary" is no standby of target sample/);
    expect(failure(() => build(text('{ wait: 1s }'))).message).toContain('is about a rebuild, and no step rebuilds');
    const named = text('{ rebuild: { node: n2 }, id: anew }', '{ rebuild_time: { target: 60s, step: aneww } }');
    expect(failure(() => build(named)).message).toMatch(/no rebuild step "aneww".*did you mean "anew"/);
  });

  test('is for labs, whoever is asked first', () => {
    const steps = '{ gate: May n2 be made anew?, owner: dba }, { rebuild: { node: n2 } }';
    expect(failure(() => build(text(steps), STAGING)).message).toMatch(/is no lab: its standbys are made anew by your own runbook/);
  });
});

describe('restores of a scenario', () => {
  const restore = (words: string): string =>
    `${HEAD.replace('{ rto: 30s }', '{ restore_time: 60s }')}steps: [{ fault: noop, id: a }, { restore: ${words} }, { restore: { before: a } }]\n`;

  test('an objective that names no step is about every one of them', () => {
    const { plan } = build(restore('{ before: a }'));
    expect(plan.objectives.map(({ name, step }) => [name, step])).toEqual([
      ['restore_time', 'restore-1'],
      ['restore_time', 'restore-2'],
    ]);
  });

  test('one that must be refused is in no objective, and says for which reason', () => {
    const { plan } = build(restore('{ before: a, expect: { refused: wal_missing } }'));
    expect(plan.objectives.map(({ name, step }) => [name, step])).toEqual([['restore_time', 'restore-2']]);
    expect(plan.steps[1]).toMatchObject({ kind: 'restore', title: 'a restore that must be refused', expect: { refused: 'wal_missing' } });
    expect(build(restore('{ time: 2001-01-01T00:00:00Z, expect: refused }')).plan.steps[1]).toMatchObject({ expect: { refused: null } });
    const alone = `${HEAD.replace('{ rto: 30s }', '{ restore_time: 60s }')}steps: [{ restore: { latest: true, expect: refused } }]\n`;
    expect(failure(() => build(alone)).message).toContain('no step restores');
  });

  test('what only the archive holds is about restores of all of it', () => {
    const text = (steps: string): string => `${HEAD.replace('{ rto: 30s }', '{ archive_rpo: 60s }')}steps: [${steps}]\n`;
    const { plan } = build(text('{ restore: { latest: true } }, { restore: { immediate: true } }'));
    expect(plan.objectives).toMatchObject([{ name: 'archive_rpo', target: 60_000, unit: 'ms', step: 'restore-1' }]);
    expect(failure(() => build(text('{ restore: { immediate: true } }'))).message).toContain('no step has `restore: { latest: true }`');
  });

  test('a node’s link is taken, where there is one and gameday fetches by itself', () => {
    expect(build(restore('{ before: a, through: n2 }')).plan.steps[1]).toMatchObject({ kind: 'restore', through: 'n2' });
    expect(build(restore('{ before: a }')).plan.steps[1]).not.toHaveProperty('through');
    const message = (words: string, on: Target): string => failure(() => build(restore(words), on)).message;
    expect(message('{ before: a, through: n4 }', LAB)).toMatch(/restore\.through: "n4" is neither primary nor a node/);
    expect(message('{ before: a, through: primary }', { ...LAB, links: null })).toMatch(/has no link from n1, n2, n3 to s3/);
    expect(message('{ before: a, through: n1 }', ENCRYPTED)).toMatch(/an archive of pgbackrest is fetched by its own tool/);
  });

  test('a key is one of the target’s, or wrong, where the archive has any', () => {
    expect(build(restore('{ before: a, key: escrow }'), ENCRYPTED).plan.steps[1]).toMatchObject({ kind: 'restore', key: 'escrow' });
    expect(build(restore('{ before: a, key: wrong, expect: refused }'), ENCRYPTED).plan.steps[1]).toMatchObject({ key: 'wrong' });
    expect(build(restore('{ before: a }'), ENCRYPTED).plan.steps[1]).not.toHaveProperty('key');
    const message = (words: string, on: Target): string => failure(() => build(restore(words), on)).message;
    expect(message('{ before: a, key: escro }', ENCRYPTED)).toMatch(
      /restore\.key: target sample has no key "escro" .*did you mean "escrow".*it has escrow, older/,
    );
    expect(message('{ before: a, key: escrow }', LAB)).toMatch(/restore\.key: an archive of native is not encrypted/);
  });
});
