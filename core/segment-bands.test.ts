import { predictedBand } from './segment-bands';

const predicted = {
  lowMs: 10,
  highMs: 300,
  formula: 'all',
  segments: [
    { name: 'decision', lowMs: 10, highMs: 100, formula: 'ttl' },
    { name: 'promotion', lowMs: 0, highMs: 200, formula: 'replay' },
  ],
} as const;

test('merged segments have the sum of their bands, and none where a part cannot be predicted', () => {
  expect(predictedBand('promotion', predicted)).toEqual({ lowMs: 0, highMs: 200, formula: 'replay' });
  expect(predictedBand('decision+promotion', predicted)).toEqual({ lowMs: 10, highMs: 300, formula: 'ttl + replay' });
  expect(predictedBand('detection+decision', predicted)).toBeNull();
});
