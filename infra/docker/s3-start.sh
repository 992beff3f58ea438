#!/bin/sh
# S3 over a directory, with versions. Keys come from the mounted secrets.
set -eu
secret() { tr -d '\n' < "/run/secrets/$1"; }
ROOT_ACCESS_KEY=$(secret s3-access-key)
ROOT_SECRET_KEY=$(secret s3-secret-key)
export ROOT_ACCESS_KEY ROOT_SECRET_KEY
become() { exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
install -d -o nobody -g nogroup -m 0700 /var/lib/s3/data /var/lib/s3/versions
become versitygw --port :7070 --quiet --keep-alive posix --versioning-dir /var/lib/s3/versions /var/lib/s3/data
