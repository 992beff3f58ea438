// Runs check.ts: bundled on the spot, as the benchmarks are, because tests are no part of the product's build.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { buildSync } = createRequire(join(root, 'package.json'))('esbuild');
const outfile = join(root, 'dist', 'mutation', 'check.js');
buildSync({ entryPoints: [join(root, 'test', 'mutation', 'check.ts')], outfile, bundle: true, platform: 'node', packages: 'external' });
process.exit(spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1);
