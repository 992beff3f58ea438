# HAProxy, which leads clients to whoever holds Patroni's key, and PgBouncer before it: two services of one image.
FROM debian:bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends 'haproxy=2.6.*' 'pgbouncer=1.18.*' \
 && rm -rf /var/lib/apt/lists/*
COPY haproxy-start.sh pgbouncer-start.sh /usr/local/bin/
CMD ["/usr/local/bin/haproxy-start.sh"]
