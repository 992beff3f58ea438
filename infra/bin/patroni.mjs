#!/usr/bin/env node
// `node infra/bin/patroni.mjs VERSION`: makes sure that this pinned version of Patroni is in the cache, and prints its directory alone on stdout. `lab up
// --patroni` calls it. Ends with 0, or with 2 and the command to run by hand.
import { ensurePatroni } from '../setup/patroni.mjs';
import { cacheRoot } from '../setup/places.mjs';
import { explain } from '../setup/progress.mjs';

try {
  process.stdout.write(`${await ensurePatroni(process.argv[2] ?? '', cacheRoot())}\n`);
} catch (error) {
  process.exitCode = explain(error);
}
