#!/bin/sh
# Makes what docker-compose.yml mounts as secrets, for whoever starts it without gameday. Secrets that are there stay.
set -eu
umask 077
mkdir -p "$1"
for name in postgres gameday_rewind gameday_replicate gameday_probe patroni-api s3-access-key s3-secret-key temporal-db; do
  [ -s "$1/$name" ] || openssl rand -hex 24 > "$1/$name"
done
