/**
 * Local calls between gameday's processes: JSON over HTTP on a unix socket (mode 0600), one POST per call, a deadline on each.
 * Errors keep their code, message and hint across the socket. Node only; never listens on a network address.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { GamedayError, isErrorCode, messageOf, type ErrorCode } from './errors';

const BODY_LIMIT = 16 * 1024 * 1024;

export type RpcHandlers = Readonly<Record<string, (params: never) => Promise<unknown> | unknown>>;

export interface RpcServer {
  close(): Promise<void>;
}

/** Starts to serve; fails if a live process already serves this socket, replaces a dead one's. */
export async function serveRpc(socketPath: string, handlers: RpcHandlers): Promise<RpcServer> {
  mkdirSync(dirname(socketPath), { recursive: true });
  if (await answers(socketPath)) throw new GamedayError('internal', `another process already serves ${socketPath}`);
  rmSync(socketPath, { force: true });
  const server: Server = createServer((req, res) => {
    const name = (req.url ?? '/').slice(1);
    const chunks: Buffer[] = [];
    let size = 0;
    req.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > BODY_LIMIT) req.destroy();
      else chunks.push(chunk);
    });
    req.on('end', () => {
      void (async () => {
        let status = 200;
        let body: string;
        try {
          const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
          if (handler === undefined) throw new GamedayError('internal', `no call named "${name}" on ${socketPath}`);
          const text = Buffer.concat(chunks).toString('utf8');
          const result = await handler((text === '' ? null : JSON.parse(text)) as never);
          body = JSON.stringify({ result: result ?? null });
        } catch (error) {
          status = 500;
          body = JSON.stringify({
            error:
              error instanceof GamedayError
                ? { code: error.code, message: error.message, hint: error.hint }
                : { code: 'internal', message: messageOf(error), hint: null },
          });
        }
        res.writeHead(status, { 'content-type': 'application/json' }).end(body);
      })();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  chmodSync(socketPath, 0o600);
  return {
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Calls and returns the result, on a connection of its own: a kept-alive one may have been closed by the other side while the caller was busy. `unreachable` is the error code used when nobody answers in time. */
export function callRpc<T>(
  socketPath: string,
  name: string,
  params: unknown,
  options: { readonly timeoutMs: number; readonly unreachable: ErrorCode },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify(params ?? null);
    const req = request(
      {
        socketPath,
        agent: false,
        path: `/${name}`,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('error', fail);
        res.on('end', () => {
          clearTimeout(timer);
          try {
            const answer = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
              result?: T;
              error?: { code: string; message: string; hint: string | null };
            };
            if (answer.error === undefined) return resolve(answer.result as T);
            const code = isErrorCode(answer.error.code) ? answer.error.code : 'internal';
            reject(new GamedayError(code, answer.error.message, answer.error.hint));
          } catch (error) {
            fail(error);
          }
        });
      },
    );
    const timer = setTimeout(() => req.destroy(new Error(`no answer within ${options.timeoutMs} ms`)), options.timeoutMs);
    function fail(error: unknown): void {
      clearTimeout(timer);
      reject(new GamedayError(options.unreachable, `${socketPath}: ${name}: ${messageOf(error)}`, null, { cause: error }));
    }
    req.on('error', fail);
    req.end(body);
  });
}

/** True if some process accepts connections on this socket. */
export function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (value: boolean): void => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.setTimeout(1_000, () => end(false));
  });
}
