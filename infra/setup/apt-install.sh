#!/bin/sh
# Installs Debian packages as root so that nothing of them starts: no service is started or enabled, no PostgreSQL cluster is created.
# What it puts into /etc and /usr/sbin for that is taken away again, whatever happens.
set -eu

policy=/usr/sbin/policy-rc.d
saved=$(mktemp -d)
clusters=/etc/postgresql-common/createcluster.d
setting=$clusters/gameday-set-up.conf
made_clusters=no
made_common=no

restore() {
    rm -f "$setting"
    [ "$made_clusters" = no ] || rmdir "$clusters" 2>/dev/null || true
    [ "$made_common" = no ] || rmdir /etc/postgresql-common 2>/dev/null || true
    if [ -e "$saved/policy-rc.d" ]; then cp -p "$saved/policy-rc.d" "$policy"; else rm -f "$policy"; fi
    rm -rf "$saved"
}
trap restore EXIT
trap 'exit 130' INT TERM HUP

[ ! -e "$policy" ] || cp -p "$policy" "$saved/policy-rc.d"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"
[ -d /etc/postgresql-common ] || { mkdir /etc/postgresql-common && made_common=yes; }
[ -d "$clusters" ] || { mkdir "$clusters" && made_clusters=yes; }
echo 'create_main_cluster = false' >"$setting"

before=$(dpkg-query -W -f '${Package} ' "$@" 2>/dev/null || true)
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"

# A service that is enabled would start at the next boot; what was installed before is none of our business.
if command -v systemctl >/dev/null 2>&1; then
    for package in "$@"; do
        case " $before" in *" $package "*) continue ;; esac
        case $package in
            postgresql-*) systemctl disable --quiet postgresql.service 2>/dev/null || true ;;
            *) systemctl disable --quiet "$package.service" 2>/dev/null || true ;;
        esac
    done
fi
