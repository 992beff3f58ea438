import { findProgram } from './target-controllers';

test('a runbook’s program is found by its path, or as a bare name on PATH', () => {
  expect(findProgram('/bin/sh')).toBe('/bin/sh');
  expect(findProgram('sh', '/nowhere:/bin')).toBe('/bin/sh');
  expect(findProgram('sh', '/nowhere')).toBeNull();
  expect(findProgram('/etc/passwd')).toBeNull();
});
