/**
 * Feeds a recovering server with WAL from the store: a prefetcher in this process, and the shell script that PostgreSQL runs as
 * restore_command. Segments come ahead of replay in a bounded window, verified; a file that fails its check stops recovery instead of ending it early.
 */
import { chown, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { walFileKind } from './wal-object';

/** Segments (16 MB each) that may lie ready ahead of replay. */
const WINDOW = 16;
const PARALLEL = 4;
const POLL_MS = 10;
/** The script gives up when nobody serves it any more, so that an orphaned sandbox ends by itself. */
const SCRIPT_WAIT_SECONDS = 90;

export interface FeederOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface FeederOptions {
  /** Directory of its own, e.g. `<sandbox>/wal`; created. */
  readonly dir: string;
  readonly owner: FeederOwner | null;
  /** Segments that replay will ask for, in order. */
  readonly plan: readonly string[];
  /** Verified plain bytes; null if the store has no such file. */
  readonly fetch: (name: string) => Promise<Buffer | null>;
  readonly onDelivered: (name: string, bytes: number) => void;
}

/**
 * restore_command: exit 0 with the file in place, 1 if the archive has none (PostgreSQL then tries another timeline or ends), 200 if it cannot
 * be had though it should: above 125 PostgreSQL aborts recovery (postmaster's docs, restore_command). Exported for its test.
 */
export function fetchScript(dir: string): string {
  return `#!/bin/sh
# Written by gameday; called by PostgreSQL as: fetch.sh %f %p
dir='${dir}'
file=$1
end=$(( $(date +%s) + ${SCRIPT_WAIT_SECONDS} ))
asked=
while :; do
  if [ -f "$dir/ready/$file" ]; then mv "$dir/ready/$file" "$2" && exit 0; exit 200; fi
  if [ -f "$dir/absent/$file" ]; then rm -f "$dir/absent/$file"; exit 1; fi
  if [ -f "$dir/failed/$file" ]; then cat "$dir/failed/$file" >&2; exit 200; fi
  if [ -z "$asked" ]; then : > "$dir/want/$file" || exit 200; asked=1; fi
  if [ "$(date +%s)" -ge "$end" ]; then echo "gameday: nobody delivered $file" >&2; exit 200; fi
  sleep 0.02
done
`;
}

export class WalFeeder {
  /** First file that should have come and did not; the reason a recovery was aborted. */
  failure: GamedayError | null = null;
  private readonly fetching = new Set<string>();
  private readonly flying = new Set<Promise<void>>();
  private next = 0;
  private stopped = false;
  private loop: Promise<void> = Promise.resolve();

  constructor(private readonly options: FeederOptions) {}

  /** Writes the script and starts to prefetch; returns the value for restore_command. */
  async start(): Promise<string> {
    const { dir, owner } = this.options;
    if (/['\n%\\]/.test(dir))
      throw new GamedayError('setting_invalid', `the sandbox's path ${dir} has a character that restore_command cannot carry`);
    for (const name of ['', 'want', 'ready', 'absent', 'failed', 'tmp']) {
      await mkdir(join(dir, name), { recursive: true, mode: 0o700 });
      if (owner !== null) await chown(join(dir, name), owner.uid, owner.gid);
    }
    const script = join(dir, 'fetch.sh');
    await writeFile(script, fetchScript(dir), { mode: 0o700 });
    if (owner !== null) await chown(script, owner.uid, owner.gid);
    this.loop = this.run().catch((error: unknown) => this.fail('the prefetcher', error));
    return `/bin/sh '${script}' "%f" "%p"`;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.loop;
    await Promise.allSettled(this.flying);
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      for (const name of await readdir(join(this.options.dir, 'want'))) {
        await rm(join(this.options.dir, 'want', name), { force: true });
        if (walFileKind(name) !== null && !this.fetching.has(name) && !(await this.isReady(name))) this.launch(name);
      }
      await this.fillWindow();
      await sleep(POLL_MS);
    }
  }

  private async isReady(name: string): Promise<boolean> {
    return stat(join(this.options.dir, 'ready', name)).then(
      () => true,
      () => false,
    );
  }

  private async fillWindow(): Promise<void> {
    const ready = (await readdir(join(this.options.dir, 'ready'))).length;
    while (this.next < this.options.plan.length && this.fetching.size < PARALLEL && ready + this.fetching.size < WINDOW) {
      const name = this.options.plan[this.next];
      this.next += 1;
      if (name !== undefined && !this.fetching.has(name)) this.launch(name);
    }
  }

  private launch(name: string): void {
    this.fetching.add(name);
    const work = this.deliver(name)
      .catch((error: unknown) => this.fail(name, error))
      .finally(() => {
        this.fetching.delete(name);
        this.flying.delete(work);
      });
    this.flying.add(work);
  }

  private async deliver(name: string): Promise<void> {
    const data = await this.options.fetch(name);
    if (this.stopped) return;
    if (data === null) return this.place('absent', name, Buffer.alloc(0));
    await this.place('ready', name, data);
    this.options.onDelivered(name, data.length);
  }

  /** Appears whole or not at all. */
  private async place(where: 'ready' | 'absent' | 'failed', name: string, data: Buffer): Promise<void> {
    const { dir, owner } = this.options;
    const temporary = join(dir, 'tmp', name);
    await writeFile(temporary, data, { mode: 0o600 });
    if (owner !== null) await chown(temporary, owner.uid, owner.gid);
    await rename(temporary, join(dir, where, name));
  }

  private async fail(name: string, error: unknown): Promise<void> {
    this.failure ??=
      error instanceof GamedayError ? error : new GamedayError('restore_failed', `${name}: ${messageOf(error)}`, null, { cause: error });
    if (!this.stopped && walFileKind(name) !== null)
      await this.place('failed', name, Buffer.from(`gameday: ${messageOf(error)}\n`)).catch(() => undefined);
  }
}
