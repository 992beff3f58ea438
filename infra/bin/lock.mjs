#!/usr/bin/env node
// `npm run lock`: completes package-lock.json after `npm install`. npm leaves out the bindings of other platforms when a registry does not serve them, and then
// refuses its own lock file in `npm ci`. Their exact versions stand in the packages that want them; this writes them down. Never changes an entry.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { missingBindings } from '../setup/lock-file.mjs';
import { checkout } from '../setup/places.mjs';

const file = join(checkout, 'package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8'));
const missing = missingBindings(lock);
const entries = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) => (a < b ? -1 : 1));
writeFileSync(file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(entries) }, null, 2)}\n`);
process.stdout.write(`${Object.keys(missing).length} bindings of other platforms added to package-lock.json\n`);
