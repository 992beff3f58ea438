/**
 * Writes the members of a tar stream into a directory as they come, each byte once, and can go on from any point of the stream.
 * It writes nothing outside its directory, follows no link that it did not make, and makes none.
 */
import { closeSync, constants, fchmodSync, fchownSync, lchownSync, mkdirSync, openSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GamedayError } from '../../core/errors';
import { parseTarHeader, TAR_BLOCK, type TarHeader } from './tar-header';

const writeAsync = promisify(write);

/** Below this a write in place costs less than handing it to a thread. */
const SMALL_BYTES = 32 * 1024;

/** Where the stream stands, as plain data: what a later process needs to go on behind the last byte that was fed. */
export interface TarState {
  readonly member: { readonly name: string; readonly bytes: number; readonly mode: number } | null;
  /** Content bytes of `member` that were written. */
  readonly at: number;
  /** Bytes of padding still to skip. */
  readonly padding: number;
  /** Beginning of a header that was cut by the end of what was fed, base64. */
  readonly header: string;
}

export const TAR_START: TarState = { member: null, at: 0, padding: 0, header: '' };

export class TarUnpacker {
  private member: TarState['member'];
  private at: number;
  private padding: number;
  private header: Buffer;
  private fd: number | null = null;

  constructor(
    private readonly dir: string,
    private readonly owner: { readonly uid: number; readonly gid: number } | null,
    state: TarState = TAR_START,
  ) {
    this.member = state.member;
    this.at = state.at;
    this.padding = state.padding;
    this.header = Buffer.from(state.header, 'base64');
    if (this.member !== null) this.fd = openSync(this.pathOf(this.member.name), constants.O_WRONLY | constants.O_NOFOLLOW);
  }

  state(): TarState {
    return { member: this.member, at: this.at, padding: this.padding, header: this.header.toString('base64') };
  }

  /** Resolves when every byte of `chunk` is in its file. */
  async feed(chunk: Buffer): Promise<void> {
    const writing: Promise<unknown>[] = [];
    const closing: number[] = [];
    try {
      for (let from = 0; from < chunk.length;) from += this.step(chunk, from, writing, closing);
    } finally {
      const results = await Promise.allSettled(writing);
      for (const fd of closing) closeSync(fd);
      for (const result of results) if (result.status === 'rejected') throw writeError(result.reason);
    }
  }

  /** Throws `object_corrupt` unless the stream ended between two members. */
  end(): void {
    const whole = this.member === null && this.padding === 0 && this.header.length === 0;
    if (!whole) throw new GamedayError('object_corrupt', `the backup's tar stream ends inside ${this.member?.name ?? 'a header'}`);
  }

  close(): void {
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }

  /** Takes what belongs together from `chunk` at `from`; returns how much that was. */
  private step(chunk: Buffer, from: number, writing: Promise<unknown>[], closing: number[]): number {
    const left = chunk.length - from;
    if (this.padding > 0) {
      const skipped = Math.min(this.padding, left);
      this.padding -= skipped;
      return skipped;
    }
    if (this.member !== null) {
      const taken = Math.min(this.member.bytes - this.at, left);
      this.put(chunk.subarray(from, from + taken), writing);
      if (this.at === this.member.bytes) this.finish(closing);
      return taken;
    }
    const taken = Math.min(TAR_BLOCK - this.header.length, left);
    this.header = Buffer.concat([this.header, chunk.subarray(from, from + taken)]);
    if (this.header.length === TAR_BLOCK) {
      const header = parseTarHeader(this.header);
      this.header = Buffer.alloc(0);
      if (header !== null) this.begin(header, closing);
    }
    return taken;
  }

  private put(data: Buffer, writing: Promise<unknown>[]): void {
    const fd = this.fd;
    if (fd === null) throw new GamedayError('internal', 'a member without an open file');
    const position = this.at;
    this.at += data.length;
    if (data.length <= SMALL_BYTES) {
      for (let done = 0; done < data.length;) done += writeSync(fd, data, done, data.length - done, position + done);
    } else writing.push(writeWhole(fd, data, position));
  }

  private begin({ name, kind, bytes, mode }: TarHeader, closing: number[]): void {
    if (kind === 'other') throw new GamedayError('restore_failed', `the backup holds ${name}, which is neither a file nor a directory`);
    const path = this.pathOf(name);
    if (kind === 'directory') {
      mkdirSync(path, { recursive: true, mode });
      if (this.owner !== null) lchownSync(path, this.owner.uid, this.owner.gid);
      return;
    }
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    try {
      this.fd = openSync(path, flags, 0o600);
      if (mode !== 0o600) fchmodSync(this.fd, mode);
      if (this.owner !== null) fchownSync(this.fd, this.owner.uid, this.owner.gid);
    } catch (error) {
      throw writeError(error);
    }
    this.member = { name, bytes, mode };
    this.at = 0;
    if (bytes === 0) this.finish(closing);
  }

  private finish(closing: number[]): void {
    if (this.fd !== null) closing.push(this.fd);
    this.fd = null;
    this.padding = (TAR_BLOCK - ((this.member?.bytes ?? 0) % TAR_BLOCK)) % TAR_BLOCK;
    this.member = null;
    this.at = 0;
  }

  private pathOf(name: string): string {
    const parts = name.replace(/^\.\//, '').replace(/\/$/, '').split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..'))
      throw new GamedayError('object_corrupt', `the backup names the file ${JSON.stringify(name)}, which is not inside a data directory`);
    return join(this.dir, ...parts);
  }
}

async function writeWhole(fd: number, data: Buffer, position: number): Promise<void> {
  for (let done = 0; done < data.length;) done += (await writeAsync(fd, data, done, data.length - done, position + done)).bytesWritten;
}

function writeError(error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  return new GamedayError(code === 'ENOSPC' || code === 'EDQUOT' ? 'disk_full' : 'restore_failed', message, null, { cause: error });
}
