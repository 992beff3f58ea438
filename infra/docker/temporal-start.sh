#!/bin/sh
# Brings the schema of Temporal's two databases up to date, starts the server, and makes the namespace that gameday uses. Every step may be repeated.
set -eu
SQL_PASSWORD=$(tr -d '\n' < /run/secrets/temporal-db)
export SQL_PASSWORD
tool() {
  database=$1
  shift
  temporal-sql-tool --plugin postgres12_pgx --endpoint "$SQL_HOST" --port 5432 --user temporal --database "$database" "$@"
}
schema() {
  tool "$1" create-database > /dev/null 2>&1 || true
  tool "$1" setup-schema --version 0.0 > /dev/null 2>&1 || true
  tool "$1" update-schema --schema-name "postgresql/v12/$2"
}
schema temporal temporal
schema temporal_visibility visibility
namespace() {
  until temporal operator namespace describe --namespace default --address "$ADDRESS:7233" --command-timeout 5s > /dev/null 2>&1; do
    temporal operator namespace create --namespace default --retention 72h --address "$ADDRESS:7233" --command-timeout 5s > /dev/null 2>&1 || sleep 1
  done
}
namespace &
exec setpriv --reuid=nobody --regid=nogroup --clear-groups temporal-server --root /etc/temporal --config config --env docker --allow-no-auth start
