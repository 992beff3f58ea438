/**
 * The unpacking thread (its main module): decompresses, verifies and writes what a restore fetches. It is a thread because of its memory: tens of megabytes of
 * plain bytes a second make the collector walk all objects of whoever holds them, and here there are few. Parts are written in the order in which they came;
 * after one that failed none is.
 */
import { parentPort } from 'node:worker_threads';
import { present } from '../../core/assert';
import { GamedayError, messageOf } from '../../core/errors';
import { unpackPart } from './base-parts';
import { TAR_START, TarUnpacker, type TarState } from './tar-unpack';
import type { UnpackAnswers, UnpackOrder, UnpackReply, UnpackRequest } from './unpack-orders';
import { UnpackTurns } from './unpack-turns';
import { unpackWalInto } from './wal-object';

/** Parts (8 MB) held plain at once, segments on their way to the disk included. */
const PLAIN = 3;

const port = present(parentPort, 'a port: this runs as a thread');
let base: TarUnpacker | null = null;
/** Settles when everything before is in its files. */
let written: Promise<TarState> = Promise.resolve(TAR_START);
const turns = new UnpackTurns(PLAIN);

function writePart(order: Extract<UnpackOrder, { kind: 'part' }>): Promise<TarState> {
  const [unpacker, before] = [present(base, 'a directory to write to'), written];
  written = turns.take('part', async () => {
    const unpacking = unpackPart(order.part, order.packed);
    const [, pieces] = await Promise.all([before, unpacking]);
    for (const piece of pieces) unpacker.feed(piece);
    return unpacker.state();
  });
  return written;
}

const handlers: { readonly [kind in UnpackOrder['kind']]: (order: Extract<UnpackOrder, { kind: kind }>) => Promise<UnpackAnswers[kind]> } =
  {
    base: async ({ dir, owner, tar }) => {
      // Whatever came before it is in its files, or failed.
      await written.catch(() => undefined);
      base?.close();
      base = new TarUnpacker(dir, owner, tar);
      written = Promise.resolve(tar);
      return tar;
    },
    part: async (order) => writePart(order),
    end: async () => {
      const last = await written;
      const unpacker = present(base, 'a directory that was written to');
      unpacker.end();
      unpacker.close();
      return last;
    },
    wal: ({ name, packed, path, systemIdentifier }) => turns.take('wal', () => unpackWalInto(name, packed, path, systemIdentifier)),
  };

port.on('message', ({ id, order }: UnpackRequest) => {
  const handle = handlers[order.kind] as (order: UnpackOrder) => Promise<TarState | number>;
  const answer = (reply: UnpackReply): void => port.postMessage(reply);
  handle(order).then(
    (value) => answer({ id, value }),
    (error: unknown) => answer({ id, error: { code: error instanceof GamedayError ? error.code : null, message: messageOf(error) } }),
  );
});
