// Replays histories against today's workflow code, outside jest, whose module registry protobuf's types do not survive.
// `node test/replay-runner.js [--swap] FILE…` prints one JSON line: { FILE: null or the error }. With --swap the first two activities trade names first.
const { temporal } = require('@temporalio/proto');
const { bundleWorkflowCode, DefaultLogger, Runtime, Worker } = require('@temporalio/worker');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { gunzipSync } = require('node:zlib');

function swapFirstActivities(history) {
  const scheduled = history.events.map((event) => event.activityTaskScheduledEventAttributes).filter(Boolean);
  const [first, second] = scheduled;
  [first.activityType.name, second.activityType.name] = [second.activityType.name, first.activityType.name];
}

async function main() {
  const args = process.argv.slice(2);
  const logger = new DefaultLogger('ERROR', () => undefined);
  Runtime.install({ logger });
  const workflowBundle = await bundleWorkflowCode({ workflowsPath: join(__dirname, '..', 'workflows', 'index.ts'), logger });
  const results = {};
  for (const file of args.filter((arg) => arg !== '--swap')) {
    const history = temporal.api.history.v1.History.decode(gunzipSync(readFileSync(file)));
    if (args.includes('--swap')) swapFirstActivities(history);
    results[file] = await Worker.runReplayHistory({ workflowBundle }, history, file).then(
      () => null,
      (error) => String(error),
    );
  }
  process.stdout.write(`${JSON.stringify(results)}\n`);
}

void main();
