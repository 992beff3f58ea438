/** The registry is complete: every fault has its own test and its line in the guide, and its schema can be printed for editors. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../core/files';
import { TRIED } from '../test/live/tried';
import { FAULTS, faultSchemas, findFault } from './registry';

test.each(FAULTS.map((fault) => fault.name))('%s has a test, a row on real servers, a line in the guide and a printable schema', (name) => {
  expect(TRIED.map((row) => row.fault)).toContain(name);
  expect(existsSync(join(__dirname, `${name}.test.ts`))).toBe(true);
  expect(readFileSync(join(packageRoot(), 'docs/WRITING-A-FAULT.md'), 'utf8')).toMatch(new RegExp(`^\\| \`${name}\` +\\|`, 'm'));
  expect(z.toJSONSchema(faultSchemas[name] ?? z.never(), { io: 'input' })).toMatchObject({ type: 'object', additionalProperties: false });
});

test('names are unique, and an unknown one is told what there is', () => {
  expect(new Set(FAULTS.map((fault) => fault.name)).size).toBe(FAULTS.length);
  expect(() => findFault('meteor')).toThrow('there is no fault "meteor"');
});
