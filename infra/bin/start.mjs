#!/usr/bin/env node
// `npm start`: sets everything up, then runs `gameday demo` and ends with its exit code. Interrupts reach the demo, which decides what they mean.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { prepareGround } from '../setup/ground.mjs';
import { checkout } from '../setup/places.mjs';
import { explain } from '../setup/progress.mjs';

function demo() {
  const child = spawn(process.execPath, [join(checkout, 'infra', 'bin', 'gameday.js'), 'demo', ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  // The terminal sends Ctrl-C to the whole group; this process only waits. A signal sent to it alone is passed on.
  process.on('SIGINT', () => undefined);
  for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
  return new Promise((resolve) => {
    child.on('error', () => resolve(70));
    child.on('close', (code) => resolve(code ?? 130));
  });
}

try {
  await prepareGround();
  process.exitCode = await demo();
} catch (error) {
  process.exitCode = explain(error);
}
