/**
 * The worker process: `node dist/worker/main.js --home DIR [--site NAME] [--roles control,site,undo]`.
 * It injects and undoes nothing itself; the guardian does. Killing it at any moment costs time, never safety.
 */
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker, type LogEntry } from '@temporalio/worker';
import { parseArgs } from 'node:util';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import pino from 'pino';
import { createActivities } from '../activities/index';
import { reconcile } from '../activities/reconcile';
import { tendEvidence } from '../activities/seal-lost';
import type { Asking, Hand } from '../activities/open-drill';
import { sleep } from '../core/clock';
import { GamedayError, messageOf } from '../core/errors';
import { packageRoot } from '../core/files';
import { taskQueues } from '../core/ids';
import type { DrillProgress } from '../model/message';
import { loadTemporalConfig, type TemporalConfig } from './config';
import { tendSchedules } from './missed-slots';

type Role = 'control' | 'site' | 'undo';
const ROLES: readonly Role[] = ['control', 'site', 'undo'];
/** Pace at which lost drills and undelivered bundles are looked for. */
const TEND_EVIDENCE_MS = 15_000;
/** Pace at which schedules are asked what they missed: often enough to be on record before anybody exports the month. */
const TEND_SCHEDULES_MS = 30_000;
/** A question to Temporal that nobody answers must not hold up every later round. */
const ROUND_MS = 20_000;
const logger = pino({ name: 'worker', timestamp: pino.stdTimeFunctions.isoTime });

function parseRoles(text: string): readonly Role[] {
  const roles = text.split(',').filter((role): role is Role => (ROLES as readonly string[]).includes(role));
  if (roles.length === 0) throw new GamedayError('setting_invalid', `--roles "${text}" names none of ${ROLES.join(', ')}`);
  return roles;
}

/** An answer that takes longer says nothing of the instant at which it was asked for. */
const ASKING_WITHIN_MS = 2_000;

/** The lab's Temporal may start after its worker: connecting is tried for 60 s. */
async function connect(config: TemporalConfig): Promise<{ native: NativeConnection; client: Client }> {
  const options = { address: config.address, ...(config.apiKey === null ? {} : { apiKey: config.apiKey, tls: true }) };
  const tries = 60;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const native = await NativeConnection.connect(options);
      const connection = await Connection.connect({ ...options, connectTimeout: '5s' });
      return { native, client: new Client({ connection, namespace: config.namespace }) };
    } catch (error) {
      if (attempt === tries) throw new GamedayError('temporal_unreachable', `${config.address}: ${tries} attempts: ${messageOf(error)}`);
      await sleep(1_000);
    }
  }
}

function isRunning(client: Client): Hand['isRunning'] {
  return async (workflowId, runId) => {
    try {
      const description = await client.workflow.getHandle(workflowId, runId).describe();
      return description.status.name === 'RUNNING';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  };
}

function isAsking(client: Client): Asking['isAsking'] {
  return async (workflowId, runId, step) => {
    const ask = (): Promise<DrillProgress> => client.workflow.getHandle(workflowId, runId).query<DrillProgress>('progress');
    const { open } = await client.withDeadline(Date.now() + ASKING_WITHIN_MS, ask);
    return open.some((question) => question.step === step);
  };
}

/** Lost drills are sealed and waiting bundles delivered; the same trouble every time is told once. */
function evidenceTender(hand: Hand): () => Promise<void> {
  let told = '';
  return async () => {
    const done = await tendEvidence(hand);
    const text = JSON.stringify(done);
    if (done.sealed.length + done.delivered.length > 0 || (done.waiting.length > 0 && text !== told))
      logger.info({ done }, 'evidence tended');
    told = text;
  };
}

/** Does it at start and then again and again, one round at a time; a round that fails costs only itself. */
function keepTending(what: string, everyMs: number, tend: () => Promise<void>): NodeJS.Timeout {
  let busy = false;
  const round = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    try {
      await tend();
    } catch (error) {
      logger.error({ error: messageOf(error) }, `${what} could not be tended`);
    } finally {
      busy = false;
    }
  };
  void round();
  return setInterval(() => void round(), everyMs);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { home: { type: 'string' }, site: { type: 'string', default: 'lab' }, roles: { type: 'string', default: ROLES.join(',') } },
  });
  const home = resolve(values.home ?? '.gameday');
  const roles = parseRoles(values.roles);
  const bundle = join(packageRoot(), 'dist', 'workflow-bundle.js');
  if (!existsSync(bundle)) throw new GamedayError('internal', `${bundle} is missing`, 'run `npm run setup`.');
  Runtime.install({
    logger: new DefaultLogger('INFO', (entry: LogEntry) => logger.info({ ...entry.meta, level: entry.level }, entry.message)),
    shutdownSignals: ['SIGTERM', 'SIGINT'],
  });
  const config = loadTemporalConfig(home);
  const { native, client } = await connect(config);
  const hand: Hand & Asking = { home, isRunning: isRunning(client), isAsking: isAsking(client) };
  const activities = createActivities(hand);
  const queues = taskQueues(values.site);
  const base = {
    connection: native,
    namespace: config.namespace,
    shutdownGraceTime: '5s',
    maxHeartbeatThrottleInterval: '2s',
    defaultHeartbeatThrottleInterval: '1s',
  } as const;
  const workers = await Promise.all(
    roles.map((role) => {
      switch (role) {
        case 'control':
          return Worker.create({
            ...base,
            taskQueue: queues.control,
            workflowBundle: { codePath: bundle },
            activities: activities.control,
            maxCachedWorkflows: 50,
          });
        case 'site':
          return Worker.create({ ...base, taskQueue: queues.site, activities: activities.site, maxConcurrentActivityTaskExecutions: 50 });
        case 'undo':
          return Worker.create({ ...base, taskQueue: queues.undo, activities: activities.undo, maxConcurrentActivityTaskExecutions: 20 });
      }
    }),
  );
  void reconcile(hand).then(
    (done) => logger.info({ done }, 'reconciled'),
    (error: unknown) => logger.error({ error: messageOf(error) }, 'reconciliation failed'),
  );
  const tending = roles.includes('control')
    ? [
        keepTending('evidence', TEND_EVIDENCE_MS, evidenceTender(hand)),
        keepTending('schedules', TEND_SCHEDULES_MS, () => client.withDeadline(Date.now() + ROUND_MS, () => tendSchedules(client, home))),
      ]
    : [];
  logger.info({ roles, address: config.address, home }, 'worker runs');
  await Promise.all(workers.map((worker) => worker.run()));
  for (const timer of tending) clearInterval(timer);
  await native.close();
}

main().catch((error: unknown) => {
  logger.fatal({ error: messageOf(error) }, 'worker ended');
  process.exitCode = error instanceof GamedayError ? error.exit : 70;
});
