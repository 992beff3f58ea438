/** What the unpacking thread is asked and what it answers: plain data, because it crosses threads. Packed bytes change hands with an order and are not copied. */
import type { ErrorCode } from '../../core/errors';
import type { BackupPart } from './base-backup';
import type { SandboxPlace } from './sandbox-server';
import type { TarState } from './tar-unpack';

export type UnpackOrder =
  /** Base files go into `dir` from now on, behind what `tar` says was written. Answered with that state. */
  | { readonly kind: 'base'; readonly dir: string; readonly owner: SandboxPlace['owner']; readonly tar: TarState }
  /** The next part. Answered with the state behind it when every byte of it is in its file. */
  | { readonly kind: 'part'; readonly part: BackupPart; readonly packed: Uint8Array }
  /** No more parts. Answered with the last state if the stream ended between two files. */
  | { readonly kind: 'end' }
  /** A WAL file, to a place of its own. Answered with the number of plain bytes. */
  | { readonly kind: 'wal'; readonly name: string; readonly packed: Uint8Array; readonly path: string; readonly systemIdentifier: string };

export interface UnpackAnswers {
  readonly base: TarState;
  readonly part: TarState;
  readonly end: TarState;
  readonly wal: number;
}

export interface UnpackRequest {
  readonly id: number;
  readonly order: UnpackOrder;
}

export type UnpackReply =
  | { readonly id: number; readonly value: TarState | number }
  | { readonly id: number; readonly error: { readonly code: ErrorCode | null; readonly message: string } };
