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
        try {
          const result =
            values === undefined
              ? await client.query<Record<string, string | null>>(text)
              : await client.query<Record<string, string | null>>(text, [...values]);
          return result.rows;
        } catch (error) {
          throw withoutValues(error);
        }
      },
    });
  } finally {
    // A connection whose statement timed out never answers a polite goodbye.
    await Promise.race([client.end().catch(() => undefined), new Promise((resolve) => setTimeout(resolve, 500).unref())]);
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
}

/**
 * Classes of SQLSTATE in which the server's own message names objects and states, never a value of a table (documentation, "PostgreSQL Error Codes"). Not among
 * them: data exceptions (22), constraints (23, 44), and whatever `RAISE` says (P0 and codes of people's own).
 */
const NAMING_CLASSES = ['01', '02', '08', '0A', '25', '26', '28', '3D', '3F', '40', '42', '53', '54', '55', '57', '58', 'XX'] as const;

/** An error of the server, without words that could be somebody's: messages get into events and records, from which nothing is ever taken out again. */
export function withoutValues(error: unknown): unknown {
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown };
  // Only the server's own errors have a severity; those of a socket have a code alone.
  if (!(error instanceof Error) || typeof code !== 'string' || typeof severity !== 'string') return error;
  const message = NAMING_CLASSES.some((known) => code.startsWith(known))
    ? error.message
    : `the server refused it with SQLSTATE ${code}; its words may hold values of tables and are withheld`;
  return Object.assign(new Error(message), { code, severity });
}
