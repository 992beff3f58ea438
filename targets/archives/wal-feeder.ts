/**
 * Feeds a recovering server with WAL from the store: a prefetcher in this process, and the restore_command that PostgreSQL runs. Segments come ahead of
 * replay in a bounded window, verified, and each is handed over by a rename. A file that fails its check stops recovery instead of ending it early.
 */
import { chown, copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { existsSync, readdirSync, watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import { GamedayError, messageOf } from '../../core/errors';
import { WAL_SEGMENT_BYTES } from '../../core/lsn';
import type { SandboxPlace } from './sandbox-server';
import { walFileKind } from './wal-object';

/** Segments (16 MB each, on disk) that may lie ready ahead of replay, from the start: what came beside the base files is not waited for later. */
const WINDOW = 64;
/** With the copy of the one that is asked for again. */
export const WAL_AHEAD_BYTES = (WINDOW + 1) * Number(WAL_SEGMENT_BYTES);
/** Requests under way: at 200 ms of latency this is more WAL than one core can replay. */
const PARALLEL = 6;
/** Fallback for an event of the file system that was lost. */
const POLL_MS = 100;
/** The script gives up when nobody serves it any more, so that an orphaned sandbox ends by itself. */
const SCRIPT_WAIT_SECONDS = 90;

/** What recovery will ask for. What is not in the archive may be among it: that answer lies ready too. */
export interface FeederPlan {
  /** In this order; without one of these there is no restore. */
  readonly needed: readonly string[];
  /** Looked up behind them. That one of these cannot be had counts only once it is asked for. */
  readonly besides: readonly string[];
  /** Of all these, what is asked for more than once: a copy stays for that. */
  readonly again: ReadonlySet<string>;
}

export interface FeederOptions {
  /** Directory of its own, e.g. `<sandbox>/wal`; created. On the file system of the data directory, so that a segment is renamed and not copied. */
  readonly dir: string;
  readonly owner: SandboxPlace['owner'];
  readonly plan: FeederPlan;
  /** Writes the verified plain bytes to `path`; returns their number, or null if the store has no such file. Gives up when the signal fires. */
  readonly fetch: (name: string, path: string, signal: AbortSignal) => Promise<number | null>;
  readonly onDelivered: (name: string, bytes: number) => void;
}

/**
 * What restore_command falls back to when a file is not ready: exit 0 with the file in place, 1 if the archive has none (PostgreSQL then tries another
 * timeline or ends), 200 if it cannot be had though it should: above 125 PostgreSQL aborts recovery (postmaster's docs, restore_command). Exported for its test.
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
  sleep 0.01
done
`;
}

/** A file that is ready costs PostgreSQL one shell and one rename; anything else is the script's. */
export function restoreCommand(dir: string): string {
  return `mv '${dir}/ready/%f' "%p" 2>/dev/null || exec /bin/sh '${dir}/fetch.sh' "%f" "%p"`;
}

/** Directories below the feeder's: what was asked for, what lies ready, copies of what is asked for again, answers, and what is not whole yet. */
const PLACES = ['want', 'ready', 'again', 'absent', 'failed', 'tmp'] as const;
type Place = (typeof PLACES)[number];

export class WalFeeder {
  /** First file that should have come and did not; the reason a recovery was aborted. */
  failure: GamedayError | null = null;
  private readonly planned: readonly string[];
  private readonly fetching = new Set<string>();
  private readonly asked = new Set<string>();
  private readonly flying = new Set<Promise<void>>();
  private readonly gone = new AbortController();
  private readonly watchers: FSWatcher[] = [];
  private next = 0;
  private wake: () => void = () => undefined;
  private loop: Promise<void> = Promise.resolve();

  constructor(private readonly options: FeederOptions) {
    this.planned = [...options.plan.needed, ...options.plan.besides];
  }

  /** Writes the script and begins to fill the window; returns the value for restore_command. What an earlier feeder left in the directory is fetched anew. */
  async start(): Promise<string> {
    const { dir, owner } = this.options;
    if (/['\n%\\]/.test(dir))
      throw new GamedayError('setting_invalid', `the sandbox's path ${dir} has a character that restore_command cannot carry`);
    await rm(dir, { recursive: true, force: true });
    for (const name of ['', ...PLACES]) {
      await mkdir(join(dir, name), { recursive: true, mode: 0o700 });
      if (owner !== null) await chown(join(dir, name), owner.uid, owner.gid);
    }
    const script = join(dir, 'fetch.sh');
    await writeFile(script, fetchScript(dir), { mode: 0o700 });
    if (owner !== null) await chown(script, owner.uid, owner.gid);
    for (const name of ['want', 'ready']) {
      const watcher = watch(join(dir, name), () => this.wake());
      watcher.on('error', () => undefined);
      this.watchers.push(watcher);
    }
    this.loop = this.run().catch((error: unknown) => this.fail('the prefetcher', error));
    return restoreCommand(dir);
  }

  async stop(): Promise<void> {
    this.gone.abort(new GamedayError('halted', 'nobody waits for WAL any more'));
    for (const watcher of this.watchers.splice(0)) watcher.close();
    this.wake();
    await this.loop;
    await Promise.allSettled(this.flying);
  }

  private get stopped(): boolean {
    return this.gone.signal.aborted;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      // Made before looking: what happens meanwhile wakes it.
      const event = this.nextEvent();
      for (const name of await readdir(join(this.options.dir, 'want'))) {
        await rm(this.at('want', name), { force: true });
        if (walFileKind(name) === null || existsSync(this.at('ready', name))) continue;
        this.asked.add(name);
        if (!this.fetching.has(name) && !(await this.copy(this.at('again', name), 'ready', name))) this.launch(name);
      }
      this.fillWindow();
      await event;
    }
  }

  private nextEvent(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.stopped) this.wake();
    });
  }

  private fillWindow(): void {
    // In one go with `fetching`: a file that arrives meanwhile counts twice rather than not at all.
    const ready = readdirSync(join(this.options.dir, 'ready')).length;
    while (this.next < this.planned.length && this.fetching.size < PARALLEL && ready + this.fetching.size < WINDOW) {
      const name = this.planned[this.next];
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
        this.wake();
      });
    this.flying.add(work);
  }

  private async deliver(name: string): Promise<void> {
    const temporary = this.at('tmp', name);
    const bytes = await this.options.fetch(name, temporary, this.gone.signal);
    if (this.stopped) return;
    if (bytes === null) return this.say('absent', name, '');
    if (this.options.plan.again.has(name)) await this.copy(temporary, 'again', name);
    await this.place(temporary, 'ready', name);
    this.options.onDelivered(name, bytes);
  }

  /** False where it could not be made: then the file is fetched once more, and nothing fails for it. */
  private async copy(from: string, where: 'again' | 'ready', name: string): Promise<boolean> {
    const temporary = `${this.at('tmp', name)}.${where}`;
    try {
      await copyFile(from, temporary);
      await this.place(temporary, where, name);
      return true;
    } catch {
      await rm(temporary, { force: true });
      return false;
    }
  }

  private async say(where: 'absent' | 'failed', name: string, text: string): Promise<void> {
    const temporary = `${this.at('tmp', name)}.${where}`;
    await writeFile(temporary, text, { mode: 0o600 });
    await this.place(temporary, where, name);
  }

  /** It appears whole or not at all. */
  private async place(temporary: string, where: Place, name: string): Promise<void> {
    const { owner } = this.options;
    if (owner !== null) await chown(temporary, owner.uid, owner.gid);
    await rename(temporary, this.at(where, name));
  }

  private at(where: Place, name: string): string {
    return join(this.options.dir, where, name);
  }

  private async fail(name: string, error: unknown): Promise<void> {
    if (this.stopped || (this.options.plan.besides.includes(name) && !this.asked.has(name))) return;
    this.failure ??=
      error instanceof GamedayError ? error : new GamedayError('restore_failed', `${name}: ${messageOf(error)}`, null, { cause: error });
    if (walFileKind(name) !== null) await this.say('failed', name, `gameday: ${messageOf(error)}\n`).catch(() => undefined);
  }
}
