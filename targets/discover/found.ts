/**
 * What could be found out about a cluster that somebody else runs, before anything is written down: facts, and null where nobody could say.
 * A guess is never a fact here; it is marked as one.
 */
import type { HostPort } from '../../model/target';

/** How a value came to be known; guesses are written down as guesses. */
export interface Guess {
  readonly value: string;
  /** In words, e.g. `Debian's place for version 15`; null: it was seen. */
  readonly guessedFrom: string | null;
}

export interface FoundNode {
  readonly name: string;
  /** Null: it is known to exist and nothing says where. */
  readonly host: string | null;
  /** Where it may be, with the reason; only where `host` is null. */
  readonly hostGuess: Guess | null;
  readonly port: number | null;
  readonly role: 'primary' | 'standby' | 'unknown';
  /** Is its address one of the machine where this ran? */
  readonly local: boolean;
  readonly dataDir: string | null;
  readonly binDir: Guess | null;
  readonly logFile: Guess | null;
  readonly osUser: string | null;
  /** Base URL of Patroni's REST API. */
  readonly api: string | null;
  /** The standby that it is told to stream from; null: the primary, or nobody said. */
  readonly upstream: string | null;
  /** Why it could not be asked, in one line; null: it answered, or nobody tried. */
  readonly problem: string | null;
}

export type FoundController =
  | { readonly kind: 'standalone'; readonly syncStandbys: number | null }
  | { readonly kind: 'patroni'; readonly scope: string | null; readonly syncStandbys: number; readonly version: string | null }
  | {
      readonly kind: 'repmgr';
      readonly syncStandbys: number | null;
      /** Path of repmgr.conf by node; null: not known. */
      readonly config: { readonly [node: string]: string | null };
      readonly database: string;
    }
  | {
      readonly kind: 'pg-auto-failover';
      readonly formation: string;
      readonly syncStandbys: number;
      readonly monitor: HostPort & { readonly database: string; readonly user: string };
    };

export type ArchiveTool = 'pgbackrest' | 'wal-g' | 'barman-cloud' | 'barman' | 'native' | 'another' | 'none';

export interface Found {
  /** Where it was found out, in words. */
  readonly source: string;
  readonly suggestedName: string | null;
  readonly systemIdentifier: string | null;
  readonly controller: FoundController;
  readonly nodes: readonly FoundNode[];
  /** Where clients come in, as far as whoever asked came in there; null: not known. */
  readonly entry: HostPort | null;
  /** Role by which standbys stream now. */
  readonly replicateUser: string | null;
  /** Null: not known. */
  readonly archive: ArchiveTool | null;
  /** What a reader of the file should know, a sentence each. */
  readonly notes: readonly string[];
}

/** How a role logs in to servers that are asked. */
export interface Login {
  readonly user: string;
  /** The value itself, in memory alone; null: trust, peer, or what libpq's usual places hold. */
  readonly password: string | null;
  readonly database: string;
}

const NAME = /^[a-z][a-z0-9-]{0,39}$/;

/** A name as target files take them, from any text; null where nothing of it is left. */
export function plainName(text: string | null): string | null {
  const plain = (text ?? '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-+$/g, '')
    .slice(0, 40);
  return NAME.test(plain) ? plain : null;
}

/** Which archiver an `archive_command` calls, by its program alone: the rest of the command may hold secrets and is never kept. */
export function archiveToolOf(mode: string | null, command: string | null, library: string | null): ArchiveTool | null {
  if (mode === null) return null;
  if (mode === 'off') return 'none';
  const text = command ?? '';
  if (/\bpgbackrest\b/i.test(text)) return 'pgbackrest';
  if (/\bwal-g\b|\bwal-e\b/i.test(text)) return 'wal-g';
  if (/\bbarman-cloud-wal-archive\b/i.test(text)) return 'barman-cloud';
  if (/\bbarman(-wal-archive)?\b/i.test(text)) return 'barman';
  if (/^\/bin\/sh '[^']*\/push\.sh' /.test(text)) return 'native';
  if (text === '' || text === '(disabled)') return (library ?? '') === '' ? 'none' : 'another';
  return 'another';
}

/** Standbys that a commit waits for, from `synchronous_standby_names` (documentation, "Replication: Primary Server"); null: unreadable. */
export function syncStandbysOf(names: string): number | null {
  const text = names.trim();
  if (text === '') return 0;
  const counted = /^(?:(?:first|any)\s+)?([0-9]+)\s*\(/i.exec(text);
  if (counted !== null) return Number(counted[1]);
  return text.includes('(') ? null : 1;
}
