/** Builds dist/ and starts the lab that all live tests share. A lab that does not come up ends the run with its error, and is taken down again. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { packageRoot } from '../../core/files';
import { labUp } from '../../infra/lab/up';
import { makeHome, removeHome, SHARED_HOME_VARIABLE, SHARED_NET } from './lab';

async function globalSetup(): Promise<void> {
  const built = spawnSync(process.execPath, [join(packageRoot(), 'infra', 'bin', 'build.mjs')], { stdio: 'inherit', timeout: 300_000 });
  if (built.status !== 0) throw new Error(`the build failed with ${built.status}`);
  // Paper takes seconds of processor a drill; one test of the seal and those of the report in a browser print it.
  process.env['GAMEDAY_REPORT_PDF'] ??= 'off';
  const home = makeHome();
  process.env[SHARED_HOME_VARIABLE] = home;
  try {
    await labUp({ home, net: SHARED_NET, onProgress: (text) => process.stderr.write(`shared lab: ${text}\n`) });
  } catch (error) {
    await removeHome(home);
    if (error instanceof GamedayError) process.stderr.write(`shared lab: ${error.message}\nHINT: ${error.hint}\n`);
    throw error;
  }
}

// Jest wants this hook as the module itself.
module.exports = globalSetup;
