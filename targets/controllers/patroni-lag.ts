/**
 * Whether Patroni's `maximum_lag_on_failover` leaves a candidate once a WAL segment was ended early. A primary's position then jumps to the next segment; a
 * standby that was cut off before lacks up to a segment of padding, which counts as lag although no write is in it (seen in `primary-isolated`). Pure.
 */
import { formatBytes } from '../../core/units';
import type { JsonObject } from '../../model/json';
import type { Advice } from '../ports';

/** Patroni's own default. */
const DEFAULT_LAG_BYTES = 1024 ** 2;
/** As in our labs: a primary that is cut off may end more than one before it gives up. */
const SEGMENTS = 4;

/** Of the primary: `archiveTimeoutMs` 0 where nothing but backups and people end a segment early. */
export interface SegmentSettings {
  readonly segmentBytes: number;
  readonly archiveTimeoutMs: number;
}

export const SEGMENT_SETTINGS = `SELECT name, setting FROM pg_settings WHERE name IN ('wal_segment_size', 'archive_timeout')`;

/** From what `SEGMENT_SETTINGS` answers: bytes and seconds. */
export function readSegmentSettings(rows: readonly { readonly [column: string]: string | null }[]): SegmentSettings {
  const setting = (name: string): number => Number(rows.find((row) => row['name'] === name)?.['setting'] ?? NaN);
  return { segmentBytes: setting('wal_segment_size'), archiveTimeoutMs: setting('archive_timeout') * 1_000 };
}

/** `config`: the dynamic configuration. */
export function lagAdvice(config: JsonObject, { segmentBytes, archiveTimeoutMs }: SegmentSettings): Advice {
  const said = config['maximum_lag_on_failover'];
  const lagBytes = typeof said === 'number' ? said : DEFAULT_LAG_BYTES;
  const segment = formatBytes(segmentBytes);
  const allowed = `maximum_lag_on_failover is ${formatBytes(lagBytes)}${typeof said === 'number' ? '' : ', Patroni’s default'}; a WAL segment is ${segment}`;
  const base = { name: 'a standby stays a candidate when a WAL segment ends early', expected: `≥ ${segment}` };
  if (lagBytes >= segmentBytes) return { ...base, found: allowed, remedy: null };
  const by = archiveTimeoutMs > 0 ? `archive_timeout (${archiveTimeoutMs / 1_000} s)` : 'a base backup or pg_switch_wal()';
  const effect = `a primary that is cut off while ${by} ends its segment seems up to ${segment} ahead: no standby is a candidate then, and nobody is promoted until it is back`;
  return {
    ...base,
    found: `${allowed}: ${effect}`,
    remedy: `\`patronictl edit-config --set maximum_lag_on_failover=${SEGMENTS * segmentBytes}\` (${SEGMENTS} segments); under asynchronous replication a standby that truly lacks as much may be promoted then`,
  };
}
