/** A complete plan for tests of what interprets plans; small windows, no server behind its addresses. */
import { FORMAT_VERSION } from '../model/constants';
import type { Plan, PlanStep } from '../model/plan';
import type { Target } from '../model/target';

const role = (user: string) => ({ user, password: null });

export function sampleTarget(): Target {
  return {
    name: 'sample',
    kind: 'lab',
    systemIdentifier: '7000000000000000001',
    site: 'sample',
    controller: { kind: 'standalone', stateDir: '/nowhere/state', syncStandbys: 1 },
    nodes: ['n1', 'n2', 'n3'].map((name, i) => ({
      name,
      host: `127.0.99.1${i + 1}`,
      port: 5432,
      dataDir: `/nowhere/${name}`,
      binDir: '/nowhere/bin',
      osUser: null,
      runsOn: { kind: 'local' },
      agent: null,
      logFile: `/nowhere/${name}.log`,
    })),
    links: null,
    router: { kind: 'none', socket: '', backend: '', stateFile: '' },
    entry: { host: '127.0.99.10', port: 5432, database: 'gameday' },
    paths: [],
    archive: null,
    roles: {
      operate: role('gameday_operate'),
      observe: role('gameday_observe'),
      probe: role('gameday_probe'),
      replicate: role('gameday_replicate'),
    },
    sandbox: null,
    policy: {
      allowFaults: ['noop'],
      acceptDataLoss: true,
      maxNodesAtOnce: 3,
      allowQuorumLoss: true,
      approvers: null,
      maxFaultMs: 60_000,
      maxDrillMs: 600_000,
      maxArchiveAgeMs: 60_000,
      minFreeDiskBytes: 0,
    },
    runDir: '/nowhere/run',
    labels: {},
  };
}

export function samplePlan(steps: readonly PlanStep[]): Plan {
  return {
    formatVersion: FORMAT_VERSION,
    toolVersion: '0.0.0-test',
    scenario: { name: 'sample', title: 'Sample', hypothesis: 'none', description: '', variables: {}, source: '', sha256: '0'.repeat(64) },
    targetSource: { source: '', sha256: '0'.repeat(64) },
    target: sampleTarget(),
    objectives: [{ name: 'rto', target: 30_000, unit: 'ms', step: null, source: null, approver: null }],
    probe: {
      periodMs: 5,
      writeStreams: 2,
      readStreams: 1,
      paths: [],
      naive: false,
      otherPeriodMs: 50,
      maxConnections: 48,
      clientDeadlineMs: 2_000,
      connectTimeoutMs: 1_000,
      statementTimeoutMs: 2_000,
      minWritesDue: 100,
    },
    steady: {
      windowMs: 1_000,
      timeoutMs: 5_000,
      successRatio: 0.999,
      maxP99Ms: 100,
      recoveryFactor: 2,
      recoveryFloorMs: 50,
      recoveryWindowMs: 1_000,
    },
    steps,
    limits: { maxDrillMs: 600_000, faultMaxMs: 60_000, leaseTtlMs: 10_000 },
  };
}
