// Runs measure.ts: bundled on the spot, because benchmarks are no part of the product and stand outside its build.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { buildSync } = createRequire(join(root, 'package.json'))('esbuild');
const outfile = join(root, 'dist', 'bench', 'measure.js');
buildSync({
  entryPoints: [join(root, 'test', 'bench', 'measure.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  packages: 'external',
  sourcemap: 'inline',
});
const ended = spawnSync(process.execPath, ['--enable-source-maps', outfile, ...process.argv.slice(2)], { stdio: 'inherit' });
process.exit(ended.status ?? 1);
