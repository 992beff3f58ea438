// Two projects: `unit` runs in seconds on every save; `live` shares one lab per run and is run in band.
const transform = {
  '^.+\\.ts$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } }],
};
// The longest wait is for a command line that starts beside everything else that runs; what hangs has deadlines of its own.
const shared = {
  transform,
  testEnvironment: 'node',
  testTimeout: 30_000,
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.gameday/'],
};
module.exports = {
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/**/*.test.ts'],
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
