/** The lab's own Temporal: the dev server, with its settings, its addresses, and when it is ready. */
import { join } from 'node:path';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { run } from '../../core/process';
import type { ChildSpec } from '../supervisor/contract';
import { makeServerDir } from './places';
import { labAddresses, temporalPorts, type LabPlan } from './topology';

const TEMPORAL_TIMEOUT_MS = 45_000;

type TemporalPlan = Pick<LabPlan, 'lab' | 'net' | 'user'>;

/**
 * Defaults of the dev server cost 43 ms per hop (20 polls per second and shard); measured, these bring a serial activity from 82 ms to 16–20 ms.
 * Eager execution hands an activity to the worker that asked for it.
 */
const DYNAMIC_CONFIG = [
  'system.enableActivityEagerExecution=true',
  'history.transferProcessorMaxPollRPS=5000',
  'history.timerProcessorMaxPollRPS=5000',
];

/** Its database is kept; it runs as the servers' user. */
export function temporalServer(plan: TemporalPlan, program: string): ChildSpec {
  const dir = join(plan.lab, 'temporal');
  makeServerDir(dir, plan.user, 0o700);
  const host = labAddresses(plan.net).temporal;
  const ports = temporalPorts(plan.net);
  const flags = {
    '--db-filename': join(dir, 'temporal.db'),
    '--ip': host,
    '--port': String(ports.grpc),
    '--ui-ip': host,
    '--ui-port': String(ports.ui),
    '--log-level': 'error',
  };
  return {
    name: 'temporal',
    argv: [
      program,
      'server',
      'start-dev',
      ...Object.entries(flags).flat(),
      ...['journal_mode=WAL', 'synchronous=NORMAL'].flatMap((pragma) => ['--sqlite-pragma', pragma]),
      ...DYNAMIC_CONFIG.flatMap((value) => ['--dynamic-config-value', value]),
    ],
    env: { HOME: dir },
    cwd: dir,
    user: plan.user,
    restart: true,
    readyWhen: { kind: 'tcp', host, port: ports.grpc },
    readyTimeoutMs: TEMPORAL_TIMEOUT_MS,
    // Its own stop takes 8 s and saves nothing: its database survives a kill (WAL).
    stopGraceMs: 1_000,
  };
}

/** The dev server makes its namespace after it has begun to listen. */
export async function awaitNamespace(plan: TemporalPlan, program: string): Promise<void> {
  const argv = [
    program,
    'operator',
    'namespace',
    'describe',
    '--namespace',
    'default',
    '--address',
    temporalAddress(plan.net),
    '--command-timeout',
    '5s',
  ];
  const env = { PATH: process.env['PATH'] ?? '', HOME: join(plan.lab, 'temporal') };
  await until(async () => ((await run(argv, { timeoutMs: 10_000, env })).code === 0 ? true : null), {
    timeoutMs: TEMPORAL_TIMEOUT_MS,
    everyMs: 200,
    onTimeout: (last) =>
      new GamedayError(
        'temporal_unreachable',
        `${temporalAddress(plan.net)}: namespace default is not there after ${TEMPORAL_TIMEOUT_MS} ms${last === null ? '' : `: ${messageOf(last)}`}`,
      ),
  });
}

export const temporalAddress = (net: string): string => `${labAddresses(net).temporal}:${temporalPorts(net).grpc}`;
export const temporalUi = (net: string): string => `http://${labAddresses(net).temporal}:${temporalPorts(net).ui}`;
