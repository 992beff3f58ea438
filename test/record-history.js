// Records the histories of closed drills for test/replay.slow.test.ts: `node test/record-history.js ADDRESS WORKFLOW_ID RUN_ID FILE.binpb.gz`.
const { Client, Connection } = require('@temporalio/client');
const { temporal } = require('@temporalio/proto');
const { writeFileSync } = require('node:fs');
const { gzipSync } = require('node:zlib');

async function main() {
  const [address, workflowId, runId, file] = process.argv.slice(2);
  const connection = await Connection.connect({ address });
  const history = await new Client({ connection }).workflow.getHandle(workflowId, runId).fetchHistory();
  writeFileSync(file, gzipSync(temporal.api.history.v1.History.encode(history).finish(), { level: 9 }));
  await connection.close();
}

void main();
