#!/usr/bin/env node
// `npm run build`: brings dist/ up to date with the sources. Needs the npm dependencies, not the tools.
import { ensureBuild } from '../setup/build.mjs';
import { ensureDependencies } from '../setup/npm.mjs';
import { explain, say } from '../setup/progress.mjs';

try {
  await ensureDependencies();
  await ensureBuild();
  say('dist/ is up to date');
} catch (error) {
  process.exitCode = explain(error);
}
