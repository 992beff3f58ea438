/**
 * Writes the members of a tar stream into a directory as they come, each byte once, and can go on from any point of the stream.
 * It writes nothing outside its directory, follows no link that it did not make, and makes none.
 */
import { closeSync, constants, fchmodSync, fchownSync, lchownSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { failing, writePlain } from './plain-file';
import { parseTarHeader, TAR_BLOCK, type TarHeader } from './tar-header';

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

  /** On return every byte of `chunk` is in its file. Throws `object_corrupt`, `disk_full`, `restore_failed`. */
  feed(chunk: Buffer): void {
    for (let from = 0; from < chunk.length;) from += this.step(chunk, from);
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
  private step(chunk: Buffer, from: number): number {
    const left = chunk.length - from;
    if (this.padding > 0) {
      const skipped = Math.min(this.padding, left);
      this.padding -= skipped;
      return skipped;
    }
    if (this.member !== null) {
      const taken = Math.min(this.member.bytes - this.at, left);
      this.put(chunk.subarray(from, from + taken));
      if (this.at === this.member.bytes) this.finish();
      return taken;
    }
    const taken = Math.min(TAR_BLOCK - this.header.length, left);
    this.header = Buffer.concat([this.header, chunk.subarray(from, from + taken)]);
    if (this.header.length === TAR_BLOCK) {
      const header = parseTarHeader(this.header);
      this.header = Buffer.alloc(0);
      if (header !== null) this.begin(header);
    }
    return taken;
  }

  private put(data: Buffer): void {
    if (this.fd === null) throw new GamedayError('internal', 'a member without an open file');
    writePlain(this.fd, data, this.at);
    this.at += data.length;
  }

  private begin({ name, kind, bytes, mode }: TarHeader): void {
    if (kind === 'other') throw new GamedayError('restore_failed', `the backup holds ${name}, which is neither a file nor a directory`);
    const path = this.pathOf(name);
    if (kind === 'directory') {
      mkdirSync(path, { recursive: true, mode });
      if (this.owner !== null) lchownSync(path, this.owner.uid, this.owner.gid);
      return;
    }
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
    failing(() => {
      this.fd = openSync(path, flags, 0o600);
      if (mode !== 0o600) fchmodSync(this.fd, mode);
      if (this.owner !== null) fchownSync(this.fd, this.owner.uid, this.owner.gid);
    });
    this.member = { name, bytes, mode };
    this.at = 0;
    if (bytes === 0) this.finish();
  }

  private finish(): void {
    this.close();
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
