#!/bin/sh
# The database behind Temporal: made at the first start, then PostgreSQL in the foreground. Nothing of the cluster under test.
set -eu
data=/var/lib/postgresql/node/data
run() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
if [ ! -s "$data/PG_VERSION" ]; then
  install -o postgres -g postgres -m 0600 /run/secrets/temporal-db /tmp/password
  rm -rf "$data" "$data.new"
  run /usr/lib/postgresql/15/bin/initdb -D "$data.new" --username=temporal --pwfile=/tmp/password --auth-local=scram-sha-256 --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --data-checksums --no-instructions
  echo 'host all temporal samenet scram-sha-256' >> "$data.new/pg_hba.conf"
  rm /tmp/password
  mv "$data.new" "$data"
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups /usr/lib/postgresql/15/bin/postgres -D "$data" \
  -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=64MB
