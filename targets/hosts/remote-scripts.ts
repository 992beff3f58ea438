/**
 * What is asked and done at the far end of a connection, as POSIX scripts for `sh`. Arguments are handed over apart from the text, never woven into it. They
 * look at /proc with the shell's builtins alone: a fork for each process would take seconds on a busy machine, and they need nothing but a small userland.
 */

/**
 * `look PID`: sets state, parent, session and start of the process; fails when there is none. A process may have a line break in its name.
 * `alive PID START BOOT`: exactly this process, and no zombie.
 */
const LOOK = `
look() {
  text= part=
  { while IFS= read -r part || [ -n "$part" ]; do text=$text$part; part=; done <"/proc/$1/stat"; } 2>/dev/null
  case $text in *') '*) ;; *) return 1 ;; esac
  set -- \${text##*) }
  state=$1 parent=$2 session=$4 start=\${20}
}
read -r boot </proc/sys/kernel/random/boot_id
alive() { [ "$3" = "$boot" ] && look "$1" && [ "$start" = "$2" ] && case $state in Z | X) false ;; esac; }
`;

/**
 * Runs `$3…` for at most `$2` seconds, and says on stderr behind the token `$1` how it ended: nobody else knows that token, so that neither a broken
 * connection nor a refused sudo is taken for the command's own end. A stray PGHOST or PGDATA must not lead a server tool elsewhere.
 */
export const RUN = `
token=$1 limit=$2
shift 2
for name in $(env | sed -n 's/^\\(PG[A-Z0-9_]*\\)=.*/\\1/p'); do unset "$name"; done
who=$(id -un 2>/dev/null)
case $who in '' | *[!A-Za-z0-9._-]*) ;; *) eval "HOME=~$who"; export HOME ;; esac
LC_ALL=C.UTF-8 PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
cd /
if command -v "$1" >/dev/null 2>&1; then
  timeout -s KILL "$limit" "$@"
  code=$?
else code=missing; fi
printf '%s %s' "$token" "$code" >&2`;

/**
 * Ends what RUN started under the token that comes in by stdin: everything in its session. Servers that left it to be daemons live on. The command may
 * not have got so far yet, and gets half a second.
 */
export const END = `${LOOK}
read -r token
for try in 1 2 3 4 5; do
  sessions=' '
  for file in $(printf '%s\\n' "$token" | grep -lFf - /proc/[0-9]*/cmdline 2>/dev/null); do
    pid=\${file#/proc/}
    look "\${pid%/cmdline}" && sessions="$sessions$session "
  done
  for at in /proc/[0-9]*; do
    look "\${at#/proc/}" || continue
    case $sessions in *" $session "*) kill -s KILL "\${at#/proc/}" 2>/dev/null ;; esac
  done
  [ "$sessions" = ' ' ] || exit 0
  sleep 0.1 2>/dev/null || sleep 1
done`;

/** The postmaster that works in the data directory `$1`: `PID START BOOT`, or nothing. */
export const POSTMASTER = `${LOOK}
file=$1/postmaster.pid pid=
[ -s "$file" ] || exit 0
{ read -r pid rest <"$file"; } || [ -n "$pid" ] || [ ! -s "$file" ] || exit 1
case $pid in '' | *[!0-9]*) exit 0 ;; esac
[ "/proc/$pid/cwd" -ef "$1" ] && look "$pid" && alive "$pid" "$start" "$boot" && echo "$pid $start $boot"
exit 0`;

/** `PID START BOOT` of process `$1`, if it runs. */
export const IDENTIFY = `${LOOK}
look "$1" && alive "$1" "$start" "$boot" && echo "$1 $start $boot"
exit 0`;

/** `PID START BOOT STATE` of each PostgreSQL process that works in the data directory `$1`. A shell that somebody opened there is none of them. */
export const SERVERS = `${LOOK}
for at in /proc/[0-9]*; do
  [ "$at/cwd" -ef "$1" ] || continue
  exe=$(readlink "$at/exe" 2>/dev/null) || continue
  exe=\${exe% (deleted)}
  [ "\${exe##*/}" = postgres ] || continue
  pid=\${at#/proc/}
  look "$pid" && alive "$pid" "$start" "$boot" && echo "$pid $start $boot $state"
done
exit 0`;

/** The state of exactly the process `$1 $2 $3`, zombies too; nothing when it is gone. */
export const STATE = `${LOOK}
[ "$3" = "$boot" ] && look "$1" && [ "$start" = "$2" ] && echo "$state"
exit 0`;

/** Sends signal `$4` to exactly the process `$1 $2 $3`; exit 4 when it is gone. */
export const SIGNAL = `${LOOK}
alive "$1" "$2" "$3" || exit 4
kill -s "$4" "$1" && exit 0
alive "$1" "$2" "$3" || exit 4
exit 1`;

/**
 * Stops the process `$1 $2 $3`, then its descendants until nothing new appears, then kills all, the root last: `PID START BOOT` of each, once every one is gone.
 * With `$4` = list it only lists. Deaf to whoever hangs up, and silent till the deed is done: once the root is stopped nobody may be left stopped and alive.
 */
export const KILL_TREE = `${LOOK}
trap '' HUP PIPE INT TERM
stop() { [ "$mode" = list ] || kill -s STOP "$1"; }
root=$1 mode=$4
alive "$1" "$2" "$3" || exit 0
stop "$root" || { alive "$1" "$2" "$3" && exit 1; exit 0; }
known=" $root " all="$root $2 $boot
" back=$all
walks=0 fresh=yes
while [ -n "$fresh" ]; do
  [ "$walks" -lt 100 ] || break
  walks=$((walks + 1)) fresh=
  for at in /proc/[0-9]*; do
    pid=\${at#/proc/}
    case $known in *" $pid "*) continue ;; esac
    look "$pid" || continue
    case $known in *" $parent "*) ;; *) continue ;; esac
    case $state in Z | X) continue ;; esac
    stop "$pid" 2>/dev/null
    one="$pid $start $boot
"
    known="$known$pid " fresh=yes all=$all$one back=$one$back
  done
done
[ "$mode" = list ] || printf '%s' "$back" | while read -r pid began booted; do alive "$pid" "$began" "$booted" && kill -s KILL "$pid" 2>/dev/null; done
tries=0 left=
[ "$mode" = list ] || while :; do
  left=$(printf '%s' "$all" | while read -r pid began booted; do alive "$pid" "$began" "$booted" && printf '%s ' "$pid"; done)
  [ -n "$left" ] && [ "$tries" -lt 500 ] || break
  tries=$((tries + 1))
  sleep 0.01 2>/dev/null || sleep 1
done
[ -z "$left" ] || { echo "processes $left outlived SIGKILL" >&2; exit 1; }
[ "$walks" -lt 100 ] || { echo "process $root still had new children after 100 walks" >&2; exit 1; }
printf '%s' "$all"`;

/**
 * Writes stdin to `$1` so that it is there whole or not at all, for `$3` where we are root ('' for whoever we are). `$2`: bytes that must have arrived:
 * a connection that broke looks like the end of the text. Missing directories are made.
 */
export const WRITE = `set -e
give() { [ -z "$owner" ] || [ "$(id -u)" -ne 0 ] || chown "$owner:" "$1"; }
make() {
  [ ! -d "$1" ] || return 0
  make "$(dirname "$1")"
  mkdir "$1" || [ -d "$1" ]
  give "$1"
}
owner=$3
directory=$(dirname "$1")
umask 022
make "$directory"
umask 077
temporary=$1.$$.tmp
trap 'rm -f "$temporary"' EXIT
cat >"$temporary"
[ "$(wc -c <"$temporary")" -eq "$2" ] || { echo 'only a part of the text arrived' >&2; exit 1; }
give "$temporary"
sync "$temporary"
mv -fT "$temporary" "$1"
sync "$directory"`;

/** Within one file system alone: `mv` would copy between two. */
export const RENAME = `set -e
directory=$(dirname "$2")
[ "$(stat -c %d "$1")" = "$(stat -c %d "$directory")" ] || { echo "$1 and $directory are on two file systems" >&2; exit 1; }
mv -fT "$1" "$2"
sync "$directory"`;

/** Exit 4 where there is no such file. */
export const READ = `LC_ALL=C cat "$1" && exit
[ -e "$1" ] && exit 1
[ -x "$(dirname "$1")" ] || [ ! -e "$(dirname "$1")" ] || exit 1
exit 4`;
