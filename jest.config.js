// `unit` is for every save; `slow` (`*.slow.test.ts`) needs no servers either, but starts processes or searches long. Live tests stand in test/live: those that
// use the lab that a run shares, or take figures that count, are `live`; the others bring servers of their own and are `labs`. Each of the two runs in band, side by side.
const LIVE = 'approvals|calibration|drill|failure|halt|lab|loss|observe|paths|patroni|power-cut|probe|repeat|schedule';
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
      testRegex: [`/test/live/(${LIVE})\\.test\\.ts$`],
      globalSetup: '<rootDir>/test/live/global-setup.ts',
      globalTeardown: '<rootDir>/test/live/global-teardown.ts',
    },
    {
      ...shared,
      displayName: 'labs',
      testRegex: [`/test/live/(?!(?:${LIVE})\\.)[a-z-]+\\.test\\.ts$`],
      globalSetup: '<rootDir>/test/live/global-build.ts',
    },
  ],
};
