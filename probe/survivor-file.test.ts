import { mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RowBatch } from './copy-out';
import { keepSurvivors, readSurvivorFile, type SurvivorInfo } from './survivor-file';

const dir = mkdtempSync(join(tmpdir(), 'gameday-survivors-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const info: SurvivorInfo = { synchronousCommit: 'on', joinedOn: 'n2', replicas: [{ node: 'n3', missing: 0, extra: 1 }], rpoBytes: '4096' };

async function* batches(rows: readonly (readonly [number, number])[], size = 3): AsyncIterable<RowBatch> {
  for (let at = 0; at < rows.length; at += size) {
    const part = rows.slice(at, at + size);
    await Promise.resolve();
    yield {
      count: part.length,
      streams: Int32Array.from(part.map(([s]) => s)),
      seqs: Float64Array.from(part.map(([, q]) => q)),
    };
  }
}

async function all(rows: AsyncIterable<RowBatch>): Promise<(readonly [number, number])[]> {
  const found: (readonly [number, number])[] = [];
  for await (const batch of rows) for (let at = 0; at < batch.count; at += 1) found.push([batch.streams[at] ?? -1, batch.seqs[at] ?? -1]);
  return found;
}

test('rows pass by unchanged and come back the same: gaps, duplicates, streams', async () => {
  const path = join(dir, 'a.gz');
  const rows = [
    [0, 1],
    [0, 2],
    [0, 2],
    [0, 3],
    [0, 7],
    [1, 1],
    [1, 2],
    [1, 2],
    [1, 2],
    [3, 9],
  ] as const;
  expect(await all(keepSurvivors(path, info, batches(rows)))).toEqual(rows);
  const read = await readSurvivorFile(path);
  expect(read.info).toEqual(info);
  expect(await all(read.rows)).toEqual(rows);
});

test('a million rows without a hole are one run, and no rows are none', async () => {
  const path = join(dir, 'b.gz');
  async function* many(): AsyncIterable<RowBatch> {
    const size = 10_000;
    for (let from = 1; from < 1_000_000; from += size) {
      await Promise.resolve();
      yield { count: size, streams: new Int32Array(size), seqs: Float64Array.from({ length: size }, (_, at) => from + at) };
    }
  }
  for await (const batch of keepSurvivors(path, info, many())) expect(batch.count).toBe(10_000);
  expect(statSync(path).size).toBeLessThan(300);
  expect((await all((await readSurvivorFile(path)).rows)).length).toBe(1_000_000);
  expect(await all(keepSurvivors(path, info, batches([])))).toEqual([]);
  expect(await all((await readSurvivorFile(path)).rows)).toEqual([]);
});

test('a truncated file is refused', async () => {
  const path = join(dir, 'c.gz');
  await all(keepSurvivors(path, info, batches([[0, 1]])));
  truncateSync(path, statSync(path).size - 9);
  await expect(readSurvivorFile(path).then(({ rows }) => all(rows))).rejects.toMatchObject({ code: 'object_corrupt' });
  await expect(readSurvivorFile(join(dir, 'none.gz'))).rejects.toMatchObject({ code: 'file_unreadable' });
});
