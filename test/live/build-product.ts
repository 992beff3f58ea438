/** Brings dist/ up to date: live tests run the product as people do. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';

export function buildProduct(): void {
  const built = spawnSync(process.execPath, [join(packageRoot(), 'infra', 'bin', 'build.mjs')], { stdio: 'inherit', timeout: 300_000 });
  if (built.status !== 0) throw new Error(`the build failed with ${built.status}`);
}
