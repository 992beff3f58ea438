/**
 * The surviving rows as they were counted, kept beside the ledger: `survivors.jsonl.gz`, runs of consecutive sequence numbers instead of rows, so that
 * whoever has the bundle can join again without the database. It holds numbers of the probe's own table only, and is written while the rows pass by.
 */
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { createGunzip, createGzip } from 'node:zlib';
import { GamedayError, messageOf } from '../core/errors';
import type { RowBatch } from './copy-out';
import type { JoinInfo } from './join';

export const SURVIVORS_FILE = 'survivors.jsonl.gz';
const BATCH_ROWS = 8_192;

/** What the join needs to know beside ledger and rows. `t0` is the judge's and is made again from the ledger. */
export type SurvivorInfo = Omit<JoinInfo, 't0'>;

/** Consecutive rows of one stream: from, to (both included), copies of each. */
type Run = [stream: number, from: number, to: number, copies: number];

/**
 * Hands the rows on unchanged and writes them as runs; the file is whole and on disk when the last row has passed. Rows come in the order
 * (stream, seq), duplicates beside each other. Throws what reading or writing throws.
 */
export async function* keepSurvivors(path: string, info: SurvivorInfo, rows: AsyncIterable<RowBatch>): AsyncIterable<RowBatch> {
  const packer = createGzip({ level: 4 });
  const file = createWriteStream(path, { mode: 0o600 });
  const written = once(file, 'close');
  packer.pipe(file);
  const put = async (line: unknown): Promise<void> => {
    if (!packer.write(`${JSON.stringify(line)}\n`)) await once(packer, 'drain');
  };
  await put(info);
  const runs = new RunBuilder();
  for await (const batch of rows) {
    for (let at = 0; at < batch.count; at += 1) {
      const done = runs.add(batch.streams[at] as number, batch.seqs[at] as number);
      if (done !== null) await put(done);
    }
    yield batch;
  }
  for (const run of runs.rest()) await put(run);
  packer.end();
  await written;
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

/** The file read back; rows in their order, in bounded batches. Throws `file_unreadable`, `object_corrupt`. */
export async function readSurvivorFile(path: string): Promise<{ readonly info: SurvivorInfo; readonly rows: AsyncIterable<RowBatch> }> {
  const lines = linesOf(path);
  const first = await lines.next();
  if (first.done === true) throw new GamedayError('object_corrupt', `${path} is empty`);
  const info = parse<SurvivorInfo>(path, first.value);
  return { info, rows: rowsOf(path, lines) };
}

/** Joins rows into runs: first copies of one row, then neighbours with as many copies. */
class RunBuilder {
  private run: Run | null = null;
  private row: Run | null = null;

  /** A run that is over, or null. */
  add(stream: number, seq: number): Run | null {
    const { row } = this;
    if (row !== null && row[0] === stream && row[1] === seq) {
      row[3] += 1;
      return null;
    }
    const done = this.closeRow();
    this.row = [stream, seq, seq, 1];
    return done;
  }

  rest(): Run[] {
    const done = this.closeRow();
    const last = this.run;
    this.run = null;
    return [done, last].filter((run): run is Run => run !== null);
  }

  private closeRow(): Run | null {
    const { row, run } = this;
    this.row = null;
    if (row === null) return null;
    if (run !== null && run[0] === row[0] && run[2] + 1 === row[1] && run[3] === row[3]) {
      run[2] = row[2];
      return null;
    }
    this.run = row;
    return run;
  }
}

async function* rowsOf(path: string, lines: AsyncGenerator<string>): AsyncIterable<RowBatch> {
  let batch = { count: 0, streams: new Int32Array(BATCH_ROWS), seqs: new Float64Array(BATCH_ROWS) };
  for await (const line of lines) {
    const [stream, from, to, copies] = parse<Run>(path, line);
    for (let seq = from; seq <= to; seq += 1)
      for (let copy = 0; copy < copies; copy += 1) {
        batch.streams[batch.count] = stream;
        batch.seqs[batch.count] = seq;
        batch.count += 1;
        if (batch.count < BATCH_ROWS) continue;
        yield batch;
        batch = { count: 0, streams: new Int32Array(BATCH_ROWS), seqs: new Float64Array(BATCH_ROWS) };
      }
  }
  if (batch.count > 0) yield batch;
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const unpacked = createReadStream(path)
    .on('error', (error) => unpacked.destroy(error))
    .pipe(createGunzip());
  try {
    for await (const line of createInterface({ input: unpacked, crlfDelay: Infinity })) yield line;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new GamedayError(code.startsWith('Z_') ? 'object_corrupt' : 'file_unreadable', `${path}: ${messageOf(error)}`, null, {
      cause: error,
    });
  }
}

function parse<T>(path: string, line: string): T {
  try {
    return JSON.parse(line) as T;
  } catch (error) {
    throw new GamedayError('object_corrupt', `${path} holds a line that is no JSON`, null, { cause: error });
  }
}
