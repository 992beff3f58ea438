#!/usr/bin/env node
/**
 * The launcher of `gameday …`: brings dist/ up to date, then hands over to dist/cli/main.js in this very process.
 * Never installs tools by itself: without a set-up it says how to make one.
 */
'use strict';
const { existsSync } = require('node:fs');
const { join, resolve } = require('node:path');
const { pathToFileURL } = require('node:url');

const root = resolve(__dirname, '../..');
const main = join(root, 'dist', 'cli', 'main.js');

function refuse(message) {
  process.stderr.write(`${message}\nHINT: run \`npm run setup\` in ${root}.\n`);
  process.exit(2);
}

async function launch() {
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) refuse('gameday is not set up: its npm dependencies are missing');
  if (existsSync(join(root, 'core', 'errors.ts'))) {
    const { ensureBuild } = await import(pathToFileURL(join(root, 'infra', 'setup', 'build.mjs')).href);
    await ensureBuild();
  }
  if (!existsSync(main)) refuse('gameday is not built');
  require(main);
}

launch().catch((error) => {
  process.stderr.write(`gameday could not start: ${error?.stack ?? error}\nHINT: run \`npm run setup\` in ${root}.\n`);
  process.exit(70);
});
