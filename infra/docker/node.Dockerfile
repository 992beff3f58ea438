# A member of the cluster: Patroni, which starts PostgreSQL. Without Patroni it is the database behind Temporal.
FROM debian:bookworm-slim
# The package makes a cluster of its own; here Patroni makes it.
RUN mkdir -p /etc/postgresql-common \
 && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      'postgresql-15=15.*' 'patroni=3.0.2-*' python3-etcd procps tini iptables \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/node
COPY node-start.sh database-start.sh /usr/local/bin/
# tini collects what PostgreSQL leaves behind; Patroni's death is the container's.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["/usr/local/bin/node-start.sh"]
