import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { commandLine } from './shell-words';

const byShell = (argv: readonly string[]): string[] =>
  execFileSync('sh', ['-c', commandLine(['printf', '%s\\0', ...argv])], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1);

test('whatever a word holds, the shell hands it on as it is', () => {
  const word = fc.string({ unit: fc.constantFrom(...`ab '"\\$\`!*?~#&|;<>()[]{}\n\t-=é…`), maxLength: 12 });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), (argv) => {
      expect(byShell(argv)).toEqual(argv);
    }),
    { numRuns: 150 },
  );
});

test('plain words stay readable, an empty one is kept, NUL is refused', () => {
  expect(commandLine(['ls', '-1', '/var/lib', ''])).toBe("ls -1 /var/lib ''");
  expect(() => commandLine(['a\0b'])).toThrow('NUL');
});
