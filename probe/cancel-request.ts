/**
 * Asks a server to end what a client that gave up has left running there. A commit that waits for its standbys holds its session although the client is
 * gone and the statement's own timeout has passed (PostgreSQL disarms it before it commits), and every reconnect would take one session more.
 */
import { connect } from 'node:net';
import type { HostPort } from '../model/target';

/** What the server named its session by (BackendKeyData). */
export interface SessionKey {
  readonly processID: number;
  readonly secretKey: number;
}

const LENGTH = 16;
const CANCEL_REQUEST_CODE = 80_877_102;

/** CancelRequest of the frontend/backend protocol 3.0: a connection of its own, in the clear, that is never answered. */
export function cancelMessage({ processID, secretKey }: SessionKey): Buffer {
  const message = Buffer.alloc(LENGTH);
  for (const [at, word] of [LENGTH, CANCEL_REQUEST_CODE, processID, secretKey].entries()) message.writeInt32BE(word, 4 * at);
  return message;
}

/** Best effort, for nobody waits: it gives up after `timeoutMs`. A pooler that saw its client go knows the session no more, and lets it be. */
export function requestCancel({ host, port }: HostPort, key: SessionKey, timeoutMs: number): void {
  const socket = connect({ host, port }, () => socket.end(cancelMessage(key)));
  socket.setTimeout(timeoutMs, () => socket.destroy());
  socket.on('error', () => undefined);
  socket.resume().unref();
}
