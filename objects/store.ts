/** The object store as the rest of gameday sees it: a directory or S3. Keys use `/`, never start or end with it. */

export interface ObjectHead {
  readonly key: string;
  readonly bytes: number;
  readonly modifiedAt: string;
}

export interface ObjectStore {
  readonly description: string;
  /** Null if there is no such object. Throws `store_unreachable`. */
  get(key: string): Promise<Uint8Array | null>;
  /** Part of an object as a stream, for large ones; `end` is the last byte. Throws `object_missing`, `object_corrupt` if it ends before `start`. */
  read(key: string, range?: { readonly start: number; readonly end: number }, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  head(key: string): Promise<ObjectHead | null>;
  /** Durable when it resolves, checksummed on the way. */
  put(key: string, data: Uint8Array): Promise<void>;
  /** Creates exclusively (`wx`, `If-None-Match: *`); false if the key exists already. */
  create(key: string, data: Uint8Array): Promise<boolean>;
  /** Streams a file of known size without holding it in memory. */
  putFile(key: string, path: string): Promise<void>;
  /** In key order, all pages. */
  list(prefix: string): AsyncIterable<ObjectHead>;
  delete(key: string): Promise<void>;
}
