#!/bin/sh
# Patroni's health checks steer this router: who answers 200 to /primary holds the key. Sessions to whoever does not are closed.
set -eu
cat > /tmp/haproxy.cfg <<EOF
global
    maxconn 1000
    nbthread 1
    stats socket /run/gameday/router.sock mode 600 level admin
    stats timeout 10s

defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout client-fin 5s
    timeout server-fin 5s
    option clitcpka
    option srvtcpka
    option tcp-smart-accept
    retries 0

frontend clients
    bind :5432
    default_backend postgres

backend postgres
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 1s fastinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
    server n1 $NET.11:5432 check port 8008
    server n2 $NET.12:5432 check port 8008
    server n3 $NET.13:5432 check port 8008
EOF
exec haproxy -db -f /tmp/haproxy.cfg
