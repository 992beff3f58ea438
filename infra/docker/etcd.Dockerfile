# A member of the store that holds the leader's key.
FROM debian:bookworm-slim
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends 'etcd-server=3.4.*' 'etcd-client=3.4.*' \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o etcd -g etcd -m 0700 /var/lib/etcd
USER etcd
ENTRYPOINT ["/usr/bin/etcd"]
