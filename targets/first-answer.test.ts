import { answerText, firstAnswer, NO_ROW } from './first-answer';
import type { Sql } from './sql';

const serverWith = (rows: readonly { readonly [column: string]: string | null }[], asked: string[]): Sql => ({
  query: (text) => {
    asked.push(text);
    return Promise.resolve(text.startsWith('select') ? rows : []);
  },
});

test('the first value is asked in a transaction that can change nothing', async () => {
  const asked: string[] = [];
  expect(await firstAnswer(serverWith([{ a: '5', b: '6' }, { a: '7' }], asked), 'select 1')).toBe('5');
  expect(asked).toEqual(['BEGIN READ ONLY', 'select 1', 'ROLLBACK']);
  expect(await firstAnswer(serverWith([], asked), 'select 1')).toBe(NO_ROW);
  expect(await firstAnswer(serverWith([{ a: null }], asked), 'select 1')).toBe('(null)');
});

test.each([
  ['5', '5', '5'],
  ['t', 'f', 't'],
  [NO_ROW, 'x', NO_ROW],
  ['3', '5', '3'],
  ['Ada', 'Ada', 'Ada'],
  ['Ada Lovelace', 'Bob', 'another value (12 characters, withheld)'],
  // A number is a value of somebody’s where no number is expected.
  ['4915112345678', 'none', 'another value (13 characters, withheld)'],
  ['x', '5', 'another value (1 character, withheld)'],
])('%s where %s is expected is told as %s', (found, expected, told) => {
  expect(answerText(found, expected)).toBe(told);
});
