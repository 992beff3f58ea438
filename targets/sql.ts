/**
 * The SQL port: short-lived, bounded connections for everything but the prober. The only file besides the prober that imports `pg`.
 * Every connection has a connect timeout and a client deadline; a hung server costs the deadline, never the caller's life.
 */
import { Client, type ClientConfig } from 'pg';
import { GamedayError, messageOf } from '../core/errors';

export interface Sql {
  /** Rows as text or null per column; values are never parsed into JavaScript types. */
  query(text: string, values?: readonly (string | number | null)[]): Promise<readonly { readonly [column: string]: string | null }[]>;
}

export interface SqlAddress {
  /** Host name, address, or directory of a unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | null;
  readonly database: string;
}

/** Connects, runs `work`, closes. Throws `database_unreachable` when it cannot connect. Default deadlines: 2 s to connect, 5 s a statement. */
export async function withSql<T>(
  address: SqlAddress,
  work: (sql: Sql) => Promise<T>,
  options: {
    readonly connectTimeoutMs?: number;
    readonly queryTimeoutMs?: number;
    readonly applicationName?: string;
    /** Speaks the replication protocol, as a standby does: `IDENTIFY_SYSTEM` and its like, no SQL. */
    readonly replication?: boolean;
  } = {},
): Promise<T> {
  const config: ClientConfig & { replication?: string } = {
    host: address.host,
    port: address.port,
    user: address.user,
    database: address.database,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 2_000,
    query_timeout: options.queryTimeoutMs ?? 5_000,
    application_name: options.applicationName ?? 'gameday',
    types: { getTypeParser: () => (value: string | Buffer) => value.toString() },
    ...(address.password === null ? {} : { password: address.password }),
    ...(options.replication === true ? { replication: 'true' } : {}),
  };
  const client = new Client(config);
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    throw new GamedayError('database_unreachable', `${address.host}:${address.port} as ${address.user}: ${messageOf(error)}`, null, {
      cause: error,
    });
  }
  try {
    return await work({
      query: async (text, values) => {
        const result =
          values === undefined
            ? await client.query<Record<string, string | null>>(text)
            : await client.query<Record<string, string | null>>(text, [...values]);
        return result.rows;
      },
    });
  } finally {
    // A connection whose statement timed out never answers a polite goodbye.
    await Promise.race([client.end().catch(() => undefined), new Promise((resolve) => setTimeout(resolve, 500).unref())]);
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
}
