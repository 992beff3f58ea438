import { lineageDifferences } from './lineage';

test('a history that stayed, or went on from where it was, is no difference', () => {
  expect(lineageDifferences(['1'], ['1'])).toEqual([]);
  expect(lineageDifferences(['1'], ['1 until 0/5000140', '2'])).toEqual([]);
  expect(lineageDifferences(['1 until 0/5000140', '2'], ['1 until 0/5000140', '2 until 0/9000000', '3'])).toEqual([]);
});

test('a history that left an earlier one, or lost its end, is told with both', () => {
  // Somebody else was promoted from timeline 1 too, at another place.
  expect(lineageDifferences(['1 until 0/5000140', '2'], ['1 until 0/5000000', '2'])).toEqual([
    'the history of timelines is 1 until 0/5000000, 2, which does not go on from 1 until 0/5000140, 2',
  ]);
  expect(lineageDifferences(['1 until 0/5000140', '2'], ['1'])).toHaveLength(1);
  // Timeline 2, which led at the start, is not among its ancestors.
  expect(lineageDifferences(['1 until 0/5000140', '2'], ['1 until 0/5000140', '3'])).toHaveLength(1);
});

test('what could not be read is compared with nothing', () => {
  expect(lineageDifferences(null, ['1'])).toEqual([]);
  expect(lineageDifferences(['1'], undefined)).toEqual([]);
});
