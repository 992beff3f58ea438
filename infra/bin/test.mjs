#!/usr/bin/env node
// `npm test`: sets everything up, runs the whole suite, and prints alone on the last line `N passed, N failed`. Ends with 0 only if nothing failed.
import { ensureExtras } from '../setup/extras.mjs';
import { prepareGround } from '../setup/ground.mjs';
import { explain } from '../setup/progress.mjs';
import { runSuite } from '../setup/suite.mjs';

const sum = (results, key) => results.reduce((total, result) => total + result[key], 0);

function conclude(results, exitCode) {
  for (const { name, passed, failed } of results) process.stdout.write(`${name}: ${passed} passed, ${failed} failed.\n`);
  process.stdout.write(`${sum(results, 'passed')} passed, ${sum(results, 'failed')} failed\n`);
  process.exitCode = exitCode;
}

try {
  await prepareGround();
  await ensureExtras(process.env, { forTests: true });
  const results = await runSuite();
  conclude(results, sum(results, 'failed') === 0 ? 0 : 1);
} catch (error) {
  conclude([{ name: 'set-up', passed: 0, failed: 1 }], explain(error));
}
