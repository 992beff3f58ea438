// Runs a TypeScript program of test/: `node test/run.mjs test/bench/measure.ts …`. Bundled on the spot, because what proves the product is no part of its build.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [entry, ...args] = process.argv.slice(2);
const { buildSync } = createRequire(join(root, 'package.json'))('esbuild');
const outfile = join(root, 'dist', entry.replace(/\.ts$/, '.js'));
buildSync({
  entryPoints: [join(root, entry)],
  outfile,
  bundle: true,
  platform: 'node',
  packages: 'external',
  sourcemap: 'inline',
});
const ended = spawnSync(process.execPath, ['--enable-source-maps', outfile, ...args], { stdio: 'inherit' });
process.exit(ended.status ?? 1);
