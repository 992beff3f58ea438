/** Barman's cloud tools in `bench:restore`, as a team has them: gzip, and a process of Python for each segment. They take part where they are installed. */
import { chownSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { present } from '../../core/assert';
import { run } from '../../core/process';
import type { BarmanCloudTargetArchive } from '../../model/target';
import { readBackupList } from '../../targets/archives/barman-cloud-list';
import { barmanEnvironment, barmanWords, storeWords, type BarmanTool } from '../../targets/archives/barman-cloud-run';

export const BARMAN_BUCKET = 'barman';
const PROGRAMS = '/usr/bin';
const BACKUP_MS = 300_000;

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface BarmanSide {
  /** With their environment in front, up to what each asks for itself. */
  words(tool: BarmanTool, at: Address, options?: readonly string[]): readonly string[];
  readonly push: string;
  /** Returns its id. */
  backUp(connection: readonly string[]): Promise<string>;
}

/** Null where they are not installed. `s3`: where servers push to. */
export function barmanSide(
  dir: string,
  { s3, cert, keys, who }: { s3: Address; cert: string; keys: { access: string; secret: string }; who: { uid: number; gid: number } },
): BarmanSide | null {
  if (!existsSync(join(PROGRAMS, 'barman-cloud-restore'))) return null;
  const credentials = join(dir, 'barman-keys');
  writeFileSync(credentials, `[bench]\naws_access_key_id = ${keys.access}\naws_secret_access_key = ${keys.secret}\n`, { mode: 0o600 });
  chownSync(credentials, who.uid, who.gid);
  const archiveAt = ({ host, port }: Address): BarmanCloudTargetArchive => ({
    kind: 'barman-cloud',
    source: `s3://${BARMAN_BUCKET}/bench`,
    server: 'main',
    endpoint: `https://${host}:${port}`,
    region: 'us-east-1',
    credentials,
    profile: 'bench',
    awsConfig: null,
    nodeCredentials: null,
    compression: 'gzip',
    programs: PROGRAMS,
  });
  const own = archiveAt(s3);
  const env = [
    '/usr/bin/env',
    `AWS_CA_BUNDLE=${cert}`,
    ...Object.entries(barmanEnvironment(own)).map(([name, value]) => `${name}=${value}`),
  ];
  const writing = (tool: string, options: readonly string[]): string[] => [
    ...env,
    join(PROGRAMS, `barman-cloud-${tool}`),
    ...storeWords(own),
    '--gzip',
    ...options,
    own.source,
    own.server,
  ];
  const words: BarmanSide['words'] = (tool, at, options) => [...env, ...barmanWords(archiveAt(at), tool, options)];
  const ask = async (argv: readonly string[]): Promise<string> => {
    const result = await run(argv, { timeoutMs: BACKUP_MS, ...who, env: { PATH: '/usr/bin:/bin' } });
    if (result.code !== 0) throw new Error(`${argv.join(' ')}: ${result.stdout}${result.stderr}`);
    return result.stdout;
  };
  return {
    words,
    push: [...writing('wal-archive', []), '%p'].join(' '),
    async backUp(connection) {
      await ask(writing('backup', ['--immediate-checkpoint', ...connection]));
      const { backups } = readBackupList(await ask(words('backup-list', s3, ['--format', 'json'])));
      return present(backups.at(-1), 'a backup by barman-cloud').id;
    },
  };
}
