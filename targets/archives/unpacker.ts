/** The restoring side of the unpacking thread (`unpack-thread.ts`): asks, and gets promises and gameday's own errors back. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { GamedayError, messageOf } from '../../core/errors';
import { packageRoot } from '../../core/files';
import type { UnpackAnswers, UnpackOrder, UnpackReply, UnpackRequest } from './unpack-orders';

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

export class Unpacker {
  private readonly thread = new Worker(join(packageRoot(), 'dist', 'targets', 'archives', 'unpack-thread.js'), { execArgv: [] });
  private readonly waiting = new Map<number, Waiting>();
  private newest = 0;
  private ended: GamedayError | null = null;

  constructor() {
    // It holds the process only while somebody waits for it.
    this.thread.unref();
    this.thread.on('message', (reply: UnpackReply) => this.answered(reply));
    this.thread.on('error', (error) => this.end(`the thread that unpacks failed: ${messageOf(error)}`));
    this.thread.on('exit', (code) => this.end(`the thread that unpacks ended with ${code}`));
  }

  /** `packed` of an order is the thread's from now on, with all of its buffer. Rejects with what the thread's module says, or `restore_failed` if it died. */
  ask<K extends UnpackOrder['kind']>(order: Extract<UnpackOrder, { kind: K }>): Promise<UnpackAnswers[K]> {
    if (this.ended !== null) return Promise.reject(this.ended);
    this.newest += 1;
    const request: UnpackRequest = { id: this.newest, order };
    const answer = new Promise<UnpackAnswers[K]>((resolve, reject) => this.waiting.set(request.id, { resolve, reject }));
    this.thread.ref();
    this.thread.postMessage(request, 'packed' in order ? [order.packed.buffer as ArrayBuffer] : []);
    return answer;
  }

  /** Whatever it is doing. */
  async close(): Promise<void> {
    this.end('nobody unpacks any more');
    await this.thread.terminate();
  }

  private answered(reply: UnpackReply): void {
    const waiting = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    if (this.waiting.size === 0) this.thread.unref();
    if ('value' in reply) waiting?.resolve(reply.value as never);
    else waiting?.reject(new GamedayError(reply.error.code ?? 'restore_failed', reply.error.message));
  }

  private end(why: string): void {
    this.ended ??= new GamedayError('restore_failed', why);
    for (const { reject } of this.waiting.values()) reject(this.ended);
    this.waiting.clear();
    this.thread.unref();
  }
}
