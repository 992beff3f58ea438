// `unit` is for every save; `slow` (`*.slow.test.ts`) needs no servers either, but starts processes or searches long; `live` shares one lab per run and is run
// in band: two at a time want more than two cores have, and take no less time.
const transform = {
  '^.+\\.ts$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } }],
};
const shared = {
  transform,
  testEnvironment: 'node',
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.gameday/'],
};
module.exports = {
  // The longest wait is for a command line that starts beside everything else that runs; what hangs has deadlines of its own. Of a project jest takes none.
  testTimeout: 30_000,
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '/dist/', '<rootDir>/test/live/', '\\.slow\\.test\\.ts$'],
    },
    {
      ...shared,
      displayName: 'slow',
      testMatch: ['<rootDir>/**/*.slow.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '/dist/', '<rootDir>/test/live/'],
    },
    {
      ...shared,
      displayName: 'live',
      testMatch: ['<rootDir>/test/live/**/*.test.ts'],
      globalSetup: '<rootDir>/test/live/global-setup.ts',
      globalTeardown: '<rootDir>/test/live/global-teardown.ts',
    },
  ],
};
