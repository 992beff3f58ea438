/**
 * The half of the native archive that PostgreSQL runs: a POSIX shell script that hands one WAL file to the resident archiver and waits.
 * It exits 0 only after the archiver said that the object is durable in the store; anything else makes PostgreSQL keep the file and retry.
 */
import { chmodSync, chownSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { writeFileDurably } from '../../core/files';
import { lookUpUser } from '../../core/process';
import { nativeArchiveOf, type Target, type TargetNode } from '../../model/target';

/** A request `<file>.<pid of the script>` goes tmp → ready; its answer appears in done or failed under the same name. */
export const SPOOL_DIRECTORIES = ['tmp', 'ready', 'done', 'failed'] as const;

/** Longer than the archiver tries one file (ARCHIVE_HOLD_MS), so that its reason arrives; PostgreSQL tries again after a failure. */
const SCRIPT_WAIT_SECONDS = 30;

export function spoolOf(target: Target, node: string): string {
  const archive = nativeArchiveOf(target);
  if (archive === null) throw new GamedayError('setting_invalid', `target ${target.name} has no archive`);
  return join(archive.spoolDir, node);
}

/** Value of `archive_command` on this node: `/bin/sh '<spool>/push.sh' "%p" "%f"`. */
export function archiveCommand(target: Target, node: string): string {
  const script = join(spoolOf(target, node), 'push.sh');
  if (/['\n%]/.test(script))
    throw new GamedayError('setting_invalid', `archive.spoolDir: a quote, a line break or % is not possible in ${script}`);
  return `/bin/sh '${script}' "%p" "%f"`;
}

/** Creates the node's spool, owned by the node's user, and writes the script into it. Idempotent; called by the archiver at its start and before a node's first. */
export function prepareSpool(target: Target, node: TargetNode): string {
  const spool = spoolOf(target, node.name);
  const owner = node.osUser === null || process.getuid?.() !== 0 ? null : lookUpUser(node.osUser);
  const own = (path: string): void => {
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
  };
  mkdirSync(spool, { recursive: true, mode: 0o755 });
  for (const name of SPOOL_DIRECTORIES) {
    const path = join(spool, name);
    if (!existsSync(path)) mkdirSync(path, { mode: 0o700 });
    own(path);
  }
  const script = join(spool, 'push.sh');
  writeFileDurably(script, pushScript(spool));
  chmodSync(script, 0o755);
  return spool;
}

/** Text of the script. A hard link costs nothing; a copy is the fallback across file systems. Exported for its test. */
export function pushScript(spool: string): string {
  return `#!/bin/sh
# Written by gameday's archiver; called by PostgreSQL as: push.sh %p %f
set -u
spool='${spool}'
file=$1
name=$2
request="$name.$$"
say() { echo "gameday archive: $name: $1" >&2; }
clean() { rm -f "$spool/ready/$request" "$spool/tmp/$request" "$spool/done/$request" "$spool/failed/$request"; }
trap 'clean; exit 1' HUP INT TERM
alive() { [ -r "$spool/archiver.pid" ] && read -r pid < "$spool/archiver.pid" && [ -d "/proc/$pid" ]; }

if ! alive; then say 'the archiver is not running'; exit 1; fi
clean
if ! ln "$file" "$spool/tmp/$request" 2>/dev/null && ! cp "$file" "$spool/tmp/$request"; then clean; say 'cannot be put into the spool'; exit 1; fi
mv "$spool/tmp/$request" "$spool/ready/$request" || { clean; exit 1; }
end=$(( $(date +%s) + ${SCRIPT_WAIT_SECONDS} ))
while :; do
  if [ -e "$spool/done/$request" ]; then clean; exit 0; fi
  if [ -e "$spool/failed/$request" ]; then
    reason=$(cat "$spool/failed/$request")
    clean; say "$reason"; exit 1
  fi
  if [ "$(date +%s)" -ge "$end" ]; then clean; say 'no answer from the archiver within ${SCRIPT_WAIT_SECONDS} s'; exit 1; fi
  if ! alive; then clean; say 'the archiver went away'; exit 1; fi
  sleep 0.05
done
`;
}
