// Runs a TypeScript program of test/: `node test/run.mjs test/bench/measure.ts …`. Bundled on the spot, because what proves the product is no part of its build.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
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
  // In one file each module would take itself for the program, and the product's own programs would start beside this one.
  define: { 'require.main': 'undefined' },
});
// Paper is no part of what these programs prove or measure, and takes seconds of processor a drill.
const env = { GAMEDAY_REPORT_PDF: 'off', ...process.env };
const program = spawn(process.execPath, ['--enable-source-maps', outfile, ...args], { stdio: 'inherit', env });
// Whoever ends this means the program, which has servers to stop. Ctrl-C reaches it by itself.
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => program.kill(signal));
process.on('SIGINT', () => undefined);
program.on('exit', (code, signal) => {
  if (signal !== null) process.stderr.write(`${entry} was ended by ${signal}\n`);
  process.exit(signal === null ? code : 128 + constants.signals[signal]);
});
