/** Builds dist/ and starts the labs that live tests share, one for each of Jest's workers. One that does not come up ends the run with its error, and all are taken down again. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { packageRoot } from '../../core/files';
import { labUp } from '../../infra/lab/up';
import { makeHome, removeHome, sharedLab } from './lab';

async function startShared(worker: number): Promise<void> {
  const { variable, net } = sharedLab(worker);
  const home = makeHome();
  process.env[variable] = home;
  await labUp({ home, net, onProgress: (text) => process.stderr.write(`shared lab ${worker}: ${text}\n`) });
}

async function globalSetup({ maxWorkers }: { readonly maxWorkers: number }): Promise<void> {
  const built = spawnSync(process.execPath, [join(packageRoot(), 'infra', 'bin', 'build.mjs')], { stdio: 'inherit', timeout: 300_000 });
  if (built.status !== 0) throw new Error(`the build failed with ${built.status}`);
  const workers = Array.from({ length: maxWorkers }, (_, at) => at + 1);
  const started = await Promise.allSettled(workers.map(startShared));
  const failed = started.find((each) => each.status === 'rejected');
  if (failed === undefined) return;
  const homes = workers.map((worker) => process.env[sharedLab(worker).variable]).filter((home) => home !== undefined);
  await Promise.all(homes.map(removeHome));
  const error: unknown = failed.reason;
  if (error instanceof GamedayError) process.stderr.write(`shared lab: ${error.message}\nHINT: ${error.hint}\n`);
  throw error;
}

// Jest wants this hook as the module itself.
module.exports = globalSetup;
