// Builds dist/: every TypeScript file of the product transpiled one to one (CommonJS, source maps), assets copied, workflows bundled for Temporal's sandbox.
// Does nothing when nothing changed. Files are replaced one by one and never all removed first, because a running lab reads them.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { withLock } from './lock.mjs';
import { cacheRoot, checkout } from './places.mjs';
import { say } from './progress.mjs';
import { digestOf, listSources, stampOf } from './sources.mjs';

const dist = join(checkout, 'dist');
const stateFile = join(dist, 'build.json');
const bundleFile = join(dist, 'workflow-bundle.js');
const workflowEntry = join(checkout, 'workflows', 'index.ts');
/** Files of dist that the build did not make from a source. */
const KEPT = new Set(['tools.json', 'build.json', 'workflow-bundle.js']);
const BUILDER = 3;

function readState() {
  try {
    return JSON.parse(readFileSync(stateFile, 'utf8'));
  } catch {
    return {};
  }
}

function writeWhole(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** What workflows may import, and so all that their bundle is made of, besides packages. */
const isWorkflowSource = (path) => /^(workflows|model|core|activities)\//.test(path);

function compilerDigest(require) {
  const versions = ['esbuild', '@temporalio/worker'].map((name) => `${name}@${require(`${name}/package.json`).version}`);
  return `${BUILDER} ${versions.join(' ')} node${process.versions.node.split('.')[0]}`;
}

async function transpile(require, code) {
  const esbuild = require('esbuild');
  const result = await esbuild.build({
    absWorkingDir: checkout,
    entryPoints: code,
    outdir: dist,
    outbase: checkout,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    // Dist is CommonJS: a module asked for later is required later, without an extension.
    supported: { 'dynamic-import': false },
    jsx: 'automatic',
    jsxImportSource: 'preact',
    sourcemap: true,
    sourcesContent: false,
    write: false,
    logLevel: 'error',
  });
  for (const file of result.outputFiles) {
    // An unchanged file keeps its time and identity.
    if (!existsSync(file.path) || readFileSync(file.path, 'utf8') !== file.text) writeWhole(file.path, file.text);
  }
  return result.outputFiles.map((file) => file.path);
}

function copyAssets(assets) {
  return assets.map((path) => {
    const target = join(dist, path);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(checkout, path), `${target}.new`);
    renameSync(`${target}.new`, target);
    return target;
  });
}

/** Removes what a deleted source left behind: a test must not find yesterday's file. */
function removeStale(directory, made) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      removeStale(path, made);
      if (readdirSync(path).length === 0) rmdirSync(path);
    } else if (!made.has(path) && !(directory === dist && KEPT.has(entry.name)) && !entry.name.endsWith('.new')) {
      rmSync(path, { force: true });
    }
  }
}

async function bundleWorkflows(require) {
  const { bundleWorkflowCode } = require('@temporalio/worker');
  const quiet = { trace() {}, debug() {}, info() {}, log() {}, warn: (text) => say(text), error: (text) => say(text) };
  const { code } = await bundleWorkflowCode({ workflowsPath: workflowEntry, logger: quiet });
  writeWhole(bundleFile, code);
}

async function build(require, sources, state, compiler) {
  const started = Date.now();
  const next = { ...state, compiler };
  const codeDigest = digestOf(checkout, [...sources.code, ...sources.assets]);
  if (state.code !== codeDigest || state.compiler !== compiler || !existsSync(join(dist, 'core'))) {
    const made = [...(await transpile(require, sources.code)), ...copyAssets(sources.assets)];
    removeStale(dist, new Set(made));
    next.code = codeDigest;
    writeWhole(stateFile, JSON.stringify({ ...next, stamp: null }));
    say(`built ${sources.code.length} files into dist/ (${Date.now() - started} ms)`);
  }
  const workflowDigest = digestOf(checkout, sources.code.filter(isWorkflowSource));
  if (existsSync(workflowEntry) && (state.workflows !== workflowDigest || state.compiler !== compiler || !existsSync(bundleFile))) {
    const since = Date.now();
    await bundleWorkflows(require);
    next.workflows = workflowDigest;
    say(`bundled the workflows (${Date.now() - since} ms)`);
  }
  return next;
}

/** Builds what is stale. Needs the npm dependencies. */
export async function ensureBuild(env = process.env) {
  const fast = listSources(checkout);
  const stamp = stampOf(checkout, [...fast.code, ...fast.assets, 'package-lock.json']);
  const first = readState();
  if (first.stamp === stamp && (existsSync(bundleFile) || !existsSync(workflowEntry))) return;
  const require = createRequire(join(checkout, 'package.json'));
  await withLock(join(cacheRoot(env), 'builds', Buffer.from(checkout).toString('base64url')), async () => {
    const sources = listSources(checkout);
    const next = await build(require, sources, readState(), compilerDigest(require));
    writeWhole(stateFile, JSON.stringify({ ...next, stamp }));
  });
}
