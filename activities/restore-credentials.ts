/**
 * Whose keys a restore reads the archive with. A copy is made where more people work than on production, so its keys must not be those that production archives
 * with: whoever has them could overwrite or delete the archive. Keys are compared and never shown; what cannot be compared is said to be so.
 */
import { readFileSync } from 'node:fs';
import { resolveSecret } from '../core/secrets';
import type { CheckResult } from '../model/record';
import type { BarmanCloudTargetArchive, NativeTargetArchive, PgbackrestTargetArchive, Target, WalGTargetArchive } from '../model/target';

/** Text of a file on a node's host; null: there is none. */
export type ReadOnNode = (node: string, path: string) => Promise<string | null>;

/** `same`: null where they could not be compared. */
interface Compared {
  readonly same: boolean | null;
  readonly found: string;
}

const NAME = 'restores read the archive with keys of their own';
const EXPECTED = 'other keys than those that production archives with';
const HOW = {
  native: 'make a pair of keys that may only read, and name it under archive.restoreKeys of the target file.',
  pgbackrest:
    'give this machine a configuration of its own, with keys that may only read, as archive.config; name that of the nodes as archive.nodeConfig.',
  'barman-cloud':
    'give this machine a credentials file of its own, with keys that may only read, as archive.credentials; name that of the nodes as archive.nodeCredentials.',
  'wal-g':
    'give this machine a configuration of its own, with keys that may only read, as archive.config; name that of the nodes as archive.nodeConfig.',
} as const;

/** Nothing in a lab: what is archived there is nobody's. */
export async function credentialChecks(target: Target, onNode: ReadOnNode): Promise<readonly CheckResult[]> {
  const { archive, kind } = target;
  if (kind === 'lab' || archive === null) return [];
  const { same, found } = await compare(target, onNode);
  const ok = same !== true;
  return [{ name: NAME, ok, found, expected: EXPECTED, hint: ok ? null : HOW[archive.kind] }];
}

async function compare({ archive, nodes }: Target, onNode: ReadOnNode): Promise<Compared> {
  switch (archive?.kind) {
    case 'native':
      return compareNative(archive);
    case 'pgbackrest':
      return compareFiles(nodes, onNode, pgbackrestFiles(archive));
    case 'barman-cloud':
      return compareFiles(nodes, onNode, barmanFiles(archive));
    case 'wal-g':
      return compareFiles(nodes, onNode, walGFiles(archive));
    case undefined:
      return { same: null, found: 'no archive' };
  }
}

function compareNative({ accessKey, restoreKeys }: NativeTargetArchive): Compared {
  if (restoreKeys === undefined) return { same: true, found: 'archive.restoreKeys names none, so the keys of the archiver are used' };
  return resolveSecret(accessKey) === resolveSecret(restoreKeys.accessKey)
    ? { same: true, found: 'archive.restoreKeys holds the very key that archives' }
    : { same: false, found: 'archive.restoreKeys, another key than the one that archives' };
}

interface KeyFiles {
  readonly here: string;
  readonly there: string;
  /** The key ids that stand in such a file. */
  readonly keysIn: (text: string) => readonly string[];
}

const pgbackrestFiles = ({ config, nodeConfig }: PgbackrestTargetArchive): KeyFiles => ({
  here: config,
  there: nodeConfig ?? config,
  keysIn: (text) => [...text.matchAll(/^\s*repo\d*-(?:s3|azure|gcs)-key\s*=\s*(\S+)\s*$/gm)].map(([, key]) => key ?? ''),
});

const barmanFiles = ({ credentials, nodeCredentials, profile }: BarmanCloudTargetArchive): KeyFiles => ({
  here: credentials,
  there: nodeCredentials ?? credentials,
  keysIn: (text) => {
    const section = text.split(/^\s*\[/m).find((part) => part.split(']')[0]?.trim() === profile) ?? '';
    return [...section.matchAll(/^\s*aws_access_key_id\s*=\s*(\S+)\s*$/gm)].map(([, key]) => key ?? '');
  },
});

/** The same line in every format that WAL-G reads: `NAME: value`, `"NAME": "value"`, `NAME=value`. */
const walGFiles = ({ config, nodeConfig }: WalGTargetArchive): KeyFiles => ({
  here: config,
  there: nodeConfig ?? config,
  keysIn: (text) =>
    [...text.matchAll(/^(?!\s*[#;]).*?(?<![A-Z_])AWS_ACCESS_KEY(?:_ID)?["']?\s*[:=]\s*["']?([^\s"',}]+)/gim)].map(([, key]) => key ?? ''),
});

/** The file of this machine against those of all nodes: which of them archives now, a failover decides. */
async function compareFiles(nodes: Target['nodes'], onNode: ReadOnNode, { here, there, keysIn }: KeyFiles): Promise<Compared> {
  const own = readHere(here);
  if (own === null) return { same: null, found: `not compared: ${here} cannot be read here` };
  const keys = new Set(keysIn(own));
  if (keys.size === 0) return { same: null, found: `not compared: no key stands in ${here}` };
  const unread: string[] = [];
  for (const { name } of nodes) {
    const text = await onNode(name, there).catch(() => null);
    const theirs = text === null ? [] : keysIn(text);
    if (theirs.some((key) => keys.has(key))) return { same: true, found: `${here} here and ${there} on ${name} hold the same key` };
    if (theirs.length === 0) unread.push(name);
  }
  return unread.length === 0
    ? { same: false, found: `${here} here holds another key than ${there} on ${nodes.map(({ name }) => name).join(', ')}` }
    : { same: null, found: `not compared: no key could be read in ${there} on ${unread.join(', ')}` };
}

function readHere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
