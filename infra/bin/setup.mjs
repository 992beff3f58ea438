#!/usr/bin/env node
// `npm run setup`: everything that gameday needs on this machine, and nothing more. Ends with 0, or with 2 and the command to run by hand.
import { prepareGround } from '../setup/ground.mjs';
import { explain, say } from '../setup/progress.mjs';

try {
  await prepareGround();
  say('everything is set up');
} catch (error) {
  process.exitCode = explain(error);
}
