#!/bin/sh
# Transaction mode, as most applications have it; its servers are reached through the router.
set -eu
umask 077
printf '"gameday_probe" "%s"\n' "$(tr -d '\n' < /run/secrets/gameday_probe)" > /tmp/users.txt
cat > /tmp/pgbouncer.ini <<EOF
[databases]
gameday = host=$NET.20 port=5432 dbname=gameday

[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /tmp/users.txt
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
server_login_retry = 1
server_connect_timeout = 2
server_check_delay = 5
server_lifetime = 300
server_idle_timeout = 60
tcp_keepidle = 2
tcp_keepintvl = 1
tcp_keepcnt = 3
log_connections = 0
log_disconnections = 0
log_stats = 0
EOF
chown postgres /tmp/users.txt /tmp/pgbouncer.ini
exec setpriv --reuid=postgres --regid=postgres --init-groups pgbouncer /tmp/pgbouncer.ini
