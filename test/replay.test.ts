/**
 * Replays recorded histories of real drills against today's workflow code: a drill that runs while gameday is upgraded must go on, not break.
 * A red test here means that the change needs `patched()`. Recorded from a lab by:
 * `temporal workflow show -w drill/SYSTEM -o json | gzip -9 > test/histories/NAME.json.gz`
 */
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { packageRoot } from '../core/files';

const dir = join(packageRoot(), 'test', 'histories');
const names = readdirSync(dir).filter((name) => name.endsWith('.json.gz'));

interface RecordedEvent {
  readonly eventType: string;
  readonly activityTaskScheduledEventAttributes?: { readonly activityType: { name: string } };
}

function readHistory(name: string): { readonly events: readonly RecordedEvent[] } {
  return JSON.parse(gunzipSync(readFileSync(join(dir, name))).toString('utf8')) as { readonly events: readonly RecordedEvent[] };
}

let bundle: WorkflowBundleWithSourceMap;

beforeAll(async () => {
  const logger = new DefaultLogger('ERROR');
  Runtime.install({ logger });
  bundle = await bundleWorkflowCode({ workflowsPath: join(packageRoot(), 'workflows', 'index.ts'), logger });
}, 60_000);

test('there are recorded drills: one that fails over and restores, one that people answer, one that is halted', () => {
  expect(names.sort()).toEqual(['flagship.json.gz', 'halted.json.gz', 'people.json.gz']);
});

test.each(names)(
  '%s replays without a difference',
  async (name) => {
    await Worker.runReplayHistory({ workflowBundle: bundle }, readHistory(name), name);
  },
  60_000,
);

test('a history whose order of activities was changed is refused, so the test above can fail', async () => {
  const history = readHistory('flagship.json.gz');
  const scheduled = history.events.filter((event) => event.activityTaskScheduledEventAttributes !== undefined);
  const [first, second] = [scheduled[0]?.activityTaskScheduledEventAttributes, scheduled[1]?.activityTaskScheduledEventAttributes];
  if (first === undefined || second === undefined) throw new Error('the history schedules no activities');
  [first.activityType.name, second.activityType.name] = [second.activityType.name, first.activityType.name];
  await expect(Worker.runReplayHistory({ workflowBundle: bundle }, history, 'changed')).rejects.toThrow();
}, 60_000);
