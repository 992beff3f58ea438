#!/bin/sh
# Writes the member's configuration from its environment and the mounted secrets, then becomes Patroni as postgres.
set -eu
secret() { tr -d '\n' < "/run/secrets/$1"; }
home=/var/lib/postgresql/node
log=$home/log
config=/etc/patroni.yml
install -d -o postgres -g postgres -m 0700 "$home"
install -d -o postgres -g postgres -m 0755 "$home/data.run"
install -o postgres -g postgres -m 0600 /dev/null "$config"
install -d -o postgres -g postgres -m 0700 "$log"
cat > "$config" <<EOF
scope: $PATRONI_CLUSTER
namespace: /gameday/
name: $NODE
# A file that drills can read, 15 MB at most with what it was before; what is written to it is the container's log as well, see below.
log: { level: INFO, format: '%(asctime)s %(levelname)s: %(message)s', dir: $log, file_size: 5000000, file_num: 2 }
restapi:
  listen: 0.0.0.0:8008
  connect_address: $ADDRESS:8008
  authentication: { username: gameday, password: '$(secret patroni-api)' }
# use_proxies: Patroni would ask etcd for its members and talk to them past the links.
etcd3: { hosts: '$ETCD', use_proxies: true }
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 5
    retry_timeout: 5
    maximum_lag_on_failover: 67108864
    synchronous_mode: $SYNCHRONOUS
    synchronous_node_count: $SYNC_NODES
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters:
        { max_connections: 100, wal_level: replica, max_wal_senders: 10, max_replication_slots: 10, hot_standby: 'on', wal_log_hints: 'on' }
  initdb: [{ encoding: UTF8 }, { locale: C.UTF-8 }, data-checksums, { auth-local: peer }, { auth-host: scram-sha-256 }]
postgresql:
  listen: 0.0.0.0:5432
  # Who looks this name up finds a link: the others have it in their hosts file.
  connect_address: $NODE:5432
  data_dir: $home/data
  bin_dir: /usr/lib/postgresql/15/bin
  pgpass: $home/data.pgpass
  basebackup: [{ checkpoint: fast }]
  authentication:
    superuser: { username: postgres, password: '$(secret postgres)' }
    replication: { username: gameday_replicate, password: '$(secret gameday_replicate)' }
    rewind: { username: gameday_rewind, password: '$(secret gameday_rewind)' }
  parameters:
    unix_socket_directories: $home/data.run
    shared_buffers: 64MB
    wal_keep_size: 512MB
    wal_retrieve_retry_interval: 500ms
    wal_receiver_timeout: 5s
    wal_receiver_status_interval: 1s
    wal_sender_timeout: 5s
    password_encryption: scram-sha-256
    archive_mode: 'off'
    log_timezone: UTC
    timezone: UTC
    lc_messages: C
  pg_hba:
    - local all postgres peer
    - host all all samehost scram-sha-256
    - host all all samenet scram-sha-256
    - host replication postgres,gameday_replicate samehost scram-sha-256
    - host replication postgres,gameday_replicate samenet scram-sha-256
EOF
export HOME="$home" LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1
# For `docker logs`, from where the last life of this container ended.
as_postgres='setpriv --reuid=postgres --regid=postgres --init-groups'
$as_postgres touch "$log/patroni.log"
$as_postgres tail --lines 0 --follow=name --retry "$log/patroni.log" 2>/dev/null &
exec $as_postgres /usr/bin/python3 /usr/bin/patroni "$config"
