import { PARTS_PER_SEGMENT, UnpackTurns } from './unpack-turns';

/** Asks for turns while every place is taken, then gives the places back; returns who came in which order. */
async function orderOf(places: number, asked: readonly ('part' | 'wal')[]): Promise<string[]> {
  const turns = new UnpackTurns(places);
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const holders = Array.from({ length: places }, () => turns.take('part', () => held));
  const order: string[] = [];
  const counts = { part: 0, wal: 0 };
  const works = asked.map((kind) => {
    const name = `${kind} ${(counts[kind] += 1)}`;
    return turns.take(kind, async () => void order.push(name));
  });
  expect(order).toEqual([]);
  release();
  await Promise.all([...holders, ...works]);
  return order;
}

test('base files go first, and WAL that came before them gets a turn after every so many', async () => {
  const order = await orderOf(1, ['wal', 'wal', ...Array<'part'>(2 * PARTS_PER_SEGMENT).fill('part'), 'wal']);
  const parts = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, at) => `part ${from + at}`);
  expect(order).toEqual([
    ...parts(1, PARTS_PER_SEGMENT),
    'wal 1',
    ...parts(PARTS_PER_SEGMENT + 1, 2 * PARTS_PER_SEGMENT),
    'wal 2',
    'wal 3',
  ]);
});

test('no more work at once than there are places, and a failure gives its place back', async () => {
  const turns = new UnpackTurns(2);
  let [working, most] = [0, 0];
  const work = async (at: number): Promise<number> => {
    most = Math.max(most, (working += 1));
    await new Promise((resolve) => setImmediate(resolve));
    working -= 1;
    if (at % 3 === 0) throw new Error(`no ${at}`);
    return at;
  };
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, at) => turns.take(at % 2 === 0 ? 'part' : 'wal', () => work(at))),
  );
  expect(most).toBe(2);
  expect(outcomes.map((outcome) => outcome.status === 'fulfilled')).toEqual(Array.from({ length: 20 }, (_, at) => at % 3 !== 0));
});
