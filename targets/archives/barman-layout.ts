/**
 * The layout that barman-cloud keeps in a bucket, as text: names of WAL objects, and `backup.info`. Pure; read by the auditor and by restores alike, never
 * written.
 */
import { walFileKind, type WalFileKind } from './wal-object';

const WAL_KEY = /^wals\/(?:([0-9A-F]{16})\/)?([0-9A-F]{8}\.history|[0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?)(?:\.([a-z0-9]+))?$/;

export interface BarmanWal {
  /** As PostgreSQL calls the file. */
  readonly name: string;
  readonly kind: WalFileKind;
  /** Of the packed object, without its dot; empty: not packed. */
  readonly extension: string;
}

/** The WAL file that stands under a key below the server's prefix; null for what Barman puts nowhere. */
export function barmanWalOf(key: string): BarmanWal | null {
  const [, directory, name = '', extension = ''] = WAL_KEY.exec(key) ?? [];
  const kind = walFileKind(name);
  if (kind === null || (kind === 'history') !== (directory === undefined)) return null;
  return directory !== undefined && !name.startsWith(directory) ? null : { name, kind, extension };
}

/** Key of a WAL file without the extension that its packing adds. */
export function barmanWalKey(name: string): string {
  return walFileKind(name) === 'history' ? `wals/${name}` : `wals/${name.slice(0, 16)}/${name}`;
}

/** `name=value` in lines; `None` stands for nothing. */
export function parseBackupInfo(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name, value] = /^([a-z_]+)=(.*)$/.exec(line.trim()) ?? [];
    if (name !== undefined && value !== undefined && value !== 'None') fields.set(name, value);
  }
  return fields;
}

/** `2026-01-01 10:00:00.123456+00:00`, as Python writes it; null if it is none. */
export function barmanTime(text: string | undefined): string | null {
  const parsed = Date.parse((text ?? '').replace(' ', 'T').replace(/(\.[0-9]{3})[0-9]+/, '$1'));
  return Number.isNaN(parsed) ? null : new Date(parsed).toISOString();
}
