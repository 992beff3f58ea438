/** Names and digests of drop-table; the accident itself is tried in test/live/faults.test.ts. */
import { createHash } from 'node:crypto';
import { dropTable } from './drop-table';
import { paperContext } from './paper-target.test-data';

const resolve = (step: string, rows = 2) => dropTable.resolve(dropTable.schema.parse({ rows }), paperContext(step));

test('the table is the drill’s and the step’s own, and fits an identifier', async () => {
  expect((await resolve('drop-it')).table).toBe('victim_drill_000042_drop_it');
  const long = 'a-very-long-step-name-that-goes-on-and-on-until-it-no-longer-fits';
  expect((await resolve(long)).table).toMatch(/^[a-z0-9_]{1,63}$/);
  expect((await resolve(`${long}-1`)).table).not.toBe((await resolve(`${long}-2`)).table);
});

test('names that differ only in punctuation are different tables', async () => {
  expect((await resolve('drop-it')).table).not.toBe((await resolve('drop--it')).table);
  expect((await resolve('drop-it')).table).not.toBe((await resolve('Drop.it')).table);
});

test('the rows’ digest follows from the name alone', async () => {
  const { table, sha256 } = await resolve('drop-it');
  const row = (id: number): string => `${id}:${createHash('sha256').update(`${table}/${id}`).digest('hex')}`;
  expect(sha256).toBe(
    createHash('sha256')
      .update(`${row(1)},${row(2)}`)
      .digest('hex'),
  );
});

test('rows have a limit', () => {
  expect(dropTable.schema.parse({})).toEqual({ rows: 1_000 });
  expect(dropTable.schema.safeParse({ rows: 0 }).success).toBe(false);
  expect(dropTable.schema.safeParse({ rows: 1e9 }).success).toBe(false);
});
