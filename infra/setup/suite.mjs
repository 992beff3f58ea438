// The suite that `npm test` runs: jest's projects and each lint check, counted together. A check that could not run has failed.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout } from './places.mjs';
import { say } from './progress.mjs';

const LIMIT_MS = { unit: 15 * 60_000, slow: 15 * 60_000, live: 60 * 60_000, check: 10 * 60_000 };

/**
 * Runs a program of node_modules/.bin with its output shown; the exit code, 124 when it took too long.
 * `quiet` hides stdout: with --json, jest prints its whole report there besides writing the file.
 */
function show(program, args, timeoutMs, quiet = false) {
  return new Promise((resolve) => {
    const stdio = ['ignore', quiet ? 'ignore' : 'inherit', 'inherit'];
    const child = spawn(join(checkout, 'node_modules', '.bin', program), args, { cwd: checkout, stdio });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 30_000).unref();
    }, timeoutMs);
    const end = (code) => {
      clearTimeout(timer);
      resolve(late ? 124 : code);
    };
    child.on('error', () => end(127));
    child.on('close', (code) => end(code ?? 128));
  });
}

async function runCheck(name, program, args) {
  say(`check: ${name}`);
  const code = await show(program, args, LIMIT_MS.check);
  if (code !== 0) say(`check failed: ${name} (exit ${code})`);
  return { name, passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1 };
}

/** A file that did not even load counts as one failure; a run without any test, or one that ended badly with no failure named, as one too. */
export function countJest(name, code, report) {
  if (report === null) return { name, passed: 0, failed: 1 };
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  const bad = code !== 0 || report.numPassedTests === 0;
  return { name, passed: report.numPassedTests, failed: failed === 0 && bad ? 1 : failed };
}

async function runJest(project, extra) {
  say(`tests: ${project}`);
  const scratch = mkdtempSync(join(tmpdir(), 'gameday-suite-'));
  const file = join(scratch, 'report.json');
  try {
    const args = ['--config', 'jest.config.js', '--selectProjects', project, '--json', '--outputFile', file, '--verbose', ...extra];
    const code = await show('jest', args, LIMIT_MS[project], true);
    return countJest(project, code, existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function runChecks() {
  return [
    await runCheck('tsc', 'tsc', ['--noEmit']),
    await runCheck('eslint', 'eslint', ['.', '--max-warnings', '0']),
    await runCheck('prettier', 'prettier', ['--check', '--log-level', 'warn', '.']),
    await runCheck('knip', 'knip', []),
  ];
}

/** Runs everything even when something fails. Returns [{ name, passed, failed }]. */
export async function runSuite() {
  const quick = await Promise.all([runJest('unit', ['--maxWorkers=1']), runJest('slow', ['--maxWorkers=1']), runChecks()]);
  // Live tests have the machine to themselves. Global teardown has shown that nothing is left; node's own clean-up of Temporal's native add-on sometimes spins for
  // ever at a natural exit.
  return [...quick.flat(), await runJest('live', ['--runInBand', '--forceExit'])];
}
