/** Which layout an archive has, by what stands at its prefix, and the reader for it. Adding a layout is one reader and one line here. */
import { GamedayError } from '../../../core/errors';
import type { ArchiveLayout } from '../../../model/archive-audit';
import type { ObjectStore } from '../../../objects/store';
import type { ArchiveReader, ReaderContext } from './archive-reader';
import { openBarmanReader } from './barman-reader';
import { openNativeReader } from './native-reader';
import { openPgbackrestReader } from './pgbackrest-reader';
import { openWalGReader } from './wal-g-reader';

/** Prefixes of which one is enough; told apart from longest to shortest. */
const SIGNS: readonly { readonly layout: ArchiveLayout; readonly prefix: string; readonly key: RegExp }[] = [
  { layout: 'wal-g', prefix: 'basebackups_005/', key: /./ },
  { layout: 'wal-g', prefix: 'wal_005/', key: /./ },
  { layout: 'pgbackrest', prefix: 'archive/', key: /^archive\/[^/]+\/(archive\.info|[0-9.]+-[0-9]+\/)/ },
  { layout: 'pgbackrest', prefix: 'backup/', key: /^backup\/[^/]+\// },
  { layout: 'barman-cloud', prefix: 'wals/', key: /./ },
  { layout: 'native', prefix: 'wal/', key: /./ },
  { layout: 'barman-cloud', prefix: 'base/', key: /^base\/[0-9]{8}T[0-9]{6}\/(backup\.info|data)/ },
  { layout: 'native', prefix: 'base/', key: /^base\/[^/]+\/(manifest\.json|part-)/ },
];

/** Throws `setting_invalid` where nothing tells a layout. */
export async function detectLayout(store: ObjectStore): Promise<ArchiveLayout> {
  for (const { layout, prefix, key } of SIGNS)
    for await (const head of store.list(prefix)) {
      if (key.test(head.key)) return layout;
      break;
    }
  throw new GamedayError(
    'setting_invalid',
    `nothing at ${store.description} looks like an archive of native, pgbackrest, wal-g or barman-cloud`,
    'check bucket and prefix: for pgBackRest the prefix is repo1-path, for barman-cloud it ends with the server’s name; `--layout` forces one.',
  );
}

export async function openReader(context: ReaderContext, layout: ArchiveLayout, stanza: string | null): Promise<ArchiveReader> {
  switch (layout) {
    case 'native':
      return openNativeReader(context);
    case 'wal-g':
      return openWalGReader(context);
    case 'barman-cloud':
      return openBarmanReader(context);
    case 'pgbackrest':
      return openPgbackrestReader(context, stanza ?? (await firstStanza(context.store)));
  }
}

async function firstStanza(store: ObjectStore): Promise<string> {
  for (const prefix of ['archive/', 'backup/'])
    for await (const { key } of store.list(prefix)) {
      const stanza = key.split('/')[1];
      if (stanza !== undefined) return stanza;
    }
  throw new GamedayError(
    'setting_invalid',
    `${store.description} holds no stanza of pgBackRest`,
    'the prefix is repo1-path without its first slash.',
  );
}
