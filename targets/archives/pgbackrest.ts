/**
 * A team's pgBackRest repository as the rest of gameday sees it. Everything is asked of the tool itself, so that it works for every kind of repository.
 * It writes nothing into it but the backups that a drill asks for.
 */
import { randomBytes } from 'node:crypto';
import { GamedayError } from '../../core/errors';
import { resolveSecret } from '../../core/secrets';
import { WRONG_KEY } from '../../model/constants';
import type { PgbackrestTargetArchive, Target } from '../../model/target';
import type { Archive, Host } from '../ports';
import { readInfo, readSegments, type PgbackrestInfo } from './pgbackrest-info';
import { ownerOf, runPgbackrest, type PgbackrestKey } from './pgbackrest-run';
import { pgbackrestSource } from './pgbackrest-source';
import { openToolArchive, toolCheck, type ArchivedWal, type ToolRepository } from './tool-archive';
import { firstLine } from './tool-output';
import { historyName } from './wal-chain';

const ASK_LIMIT_MS = 120_000;
const BACKUP_LIMIT_MS = 24 * 3_600_000;

class Repository {
  constructor(
    private readonly target: Target,
    private readonly archive: PgbackrestTargetArchive,
    private readonly key: PgbackrestKey | null,
  ) {}

  private async ask(words: readonly string[]): Promise<string> {
    const result = await runPgbackrest(this.archive, words, {
      place: { owner: ownerOf(this.target) },
      key: this.key,
      timeoutMs: ASK_LIMIT_MS,
    });
    if (result.code === 0) return result.stdout;
    const said = firstLine((result.stderr + result.stdout).replace(/^.*ERROR: /, ''));
    throw new GamedayError(result.code === 55 ? 'object_missing' : 'store_unreachable', `pgbackrest ${words[0] ?? ''}: ${said}`);
  }

  async look(): Promise<ToolRepository> {
    const info = this.read(await this.ask(['info', '--output=json']));
    const { archiveId, backups } = info;
    return {
      place: `stanza ${this.archive.stanza}, WAL in ${archiveId}`,
      backups,
      checks: [pageCheck(info)],
      segments: (timeline) => this.segments(archiveId, timeline),
      history: (timeline) => this.history(archiveId, timeline),
    };
  }

  /** A key that was named is to blame by its name: the configuration's own may be the right one. */
  private read(text: string): PgbackrestInfo {
    const { archive, key } = this;
    try {
      const info = readInfo(text, archive.stanza);
      // pgBackRest drops a passphrase for which it has no use, without a word.
      if (key !== null && !info.isEncrypted)
        throw new GamedayError(
          'setting_invalid',
          `the key "${key.name}" opens nothing: repo1 of stanza "${archive.stanza}" is not encrypted`,
          'leave `key` out of the step, or look for repo1-cipher-type in the configuration that archive.config names.',
        );
      return info;
    } catch (error) {
      if (key === null || !(error instanceof GamedayError) || error.code !== 'archive_key_wrong') throw error;
      const hint = `compare the copy that archive.keys names with repo1-cipher-pass of the servers that push, and replace the copy where it is stale.`;
      throw new GamedayError('archive_key_wrong', `the key "${key.name}" does not open the archive: ${error.message}`, hint);
    }
  }

  /** All segments of a timeline; pgBackRest keeps 256 of them in a directory. */
  private async segments(archiveId: string, timeline: number): Promise<ArchivedWal[]> {
    const at = `archive/${this.archive.stanza}/${archiveId}`;
    const prefix = historyName(timeline).slice(0, 8);
    const directories = Object.keys(JSON.parse(await this.ask(['repo-ls', at, '--output=json'])) as object);
    const found: ArchivedWal[] = [];
    for (const name of directories.filter((each) => each.startsWith(prefix) && each.length === 16))
      found.push(...readSegments(await this.ask(['repo-ls', `${at}/${name}`, '--output=json'])));
    return found;
  }

  private async history(archiveId: string, timeline: number): Promise<string | null> {
    try {
      return await this.ask(['repo-get', `archive/${this.archive.stanza}/${archiveId}/${historyName(timeline)}`]);
    } catch (error) {
      if (!(error instanceof GamedayError) || error.code !== 'object_missing') throw error;
      return null;
    }
  }
}

function pageCheck({ withErrors }: PgbackrestInfo): ReturnType<typeof toolCheck> {
  const hint = 'read the backup’s log; the pages were wrong on the server.';
  return toolCheck('page checksums in backups', withErrors.length === 0, withErrors.join(', ') || 'no errors', 'no errors', hint);
}

/** What the target calls so; `wrong` is drawn anew each time that it is asked for, so that nobody can have set it. */
function findKey({ keys = {} }: PgbackrestTargetArchive, name: string): PgbackrestKey {
  if (name === WRONG_KEY) return { name, passphrase: () => randomBytes(48).toString('base64') };
  const secret = keys[name];
  if (secret === undefined)
    throw new GamedayError('setting_invalid', `the target names no key "${name}"`, 'name it under archive.keys of the target file.');
  return { name, passphrase: () => resolveSecret(secret) };
}

/** `key`: null opens it by the configuration's own. */
export function openPgbackrestArchive(
  target: Target,
  archive: PgbackrestTargetArchive,
  hostOf: (node: string) => Host,
  key: PgbackrestKey | null = null,
): Archive {
  const repository = new Repository(target, archive, key);
  const opened = openToolArchive({
    kind: 'pgbackrest',
    target,
    look: () => repository.look(),
    source: (recovery, estimate) => pgbackrestSource({ archive, key }, recovery, estimate),
    answers: 'pgbackrest info shows the stanza',
    async takeBackup(node, signal) {
      const config = `--config=${archive.nodeConfig ?? archive.config}`;
      const argv = [archive.program, config, `--stanza=${archive.stanza}`, '--log-level-console=warn', 'backup'];
      const result = await hostOf(node.name).exec(argv, { asNode: true, timeoutMs: BACKUP_LIMIT_MS, signal });
      if (result.code !== 0)
        throw new GamedayError(
          'step_failed',
          `pgbackrest backup on ${node.name}: ${firstLine((result.stdout + result.stderr).replace(/^[^]*ERROR: /, ''))}`,
        );
    },
  });
  return { ...opened, openedBy: (name) => openPgbackrestArchive(target, archive, hostOf, findKey(archive, name)) };
}
