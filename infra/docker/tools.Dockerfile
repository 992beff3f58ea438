# Toxiproxy, the S3 server and Temporal, built from the modules that infra/tools pins: one target a service. Context: the repository's infra/ directory.
# Each stands right behind what it is built from: a builder without BuildKit builds everything above its target.
FROM golang:1.26.6-bookworm AS build
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOFLAGS="-mod=readonly -buildvcs=false"
WORKDIR /tools

FROM build AS build-toxiproxy
COPY tools/toxiproxy toxiproxy
RUN cd toxiproxy && go build -ldflags '-s -w -X github.com/Shopify/toxiproxy/v2.Version=2.5.0' -o /out/ github.com/Shopify/toxiproxy/v2/cmd/server

FROM debian:bookworm-slim AS toxiproxy
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends iproute2 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build-toxiproxy /out/server /usr/local/bin/toxiproxy-server
COPY docker/toxiproxy-start.sh /usr/local/bin/
CMD ["/usr/local/bin/toxiproxy-start.sh"]

FROM build AS build-s3
COPY tools/versitygw versitygw
RUN cd versitygw && go build -ldflags '-s -w -X main.Version=1.8.0' -o /out/ github.com/versity/versitygw/cmd/versitygw

FROM debian:bookworm-slim AS s3
COPY --from=build-s3 /out/versitygw /usr/local/bin/
COPY docker/s3-start.sh /usr/local/bin/
RUN install -d -o nobody -g nogroup -m 0700 /var/lib/s3
CMD ["/usr/local/bin/s3-start.sh"]

FROM build AS build-temporal
COPY tools/temporal temporal
RUN cd temporal && go build -ldflags '-s -w -X github.com/temporalio/cli/temporalcli.Version=1.5.1' -o /out/ github.com/temporalio/cli/cmd/temporal
COPY tools/temporal-server temporal-server
RUN cd temporal-server && go build -ldflags '-s -w' -o /out/ go.temporal.io/server/cmd/server go.temporal.io/server/cmd/tools/sql

FROM debian:bookworm-slim AS temporal
COPY --from=build-temporal /out/temporal /usr/local/bin/
COPY --from=build-temporal /out/server /usr/local/bin/temporal-server
COPY --from=build-temporal /out/sql /usr/local/bin/temporal-sql-tool
COPY docker/temporal-start.sh /usr/local/bin/
COPY docker/temporal.yaml /etc/temporal/config/docker.yaml
COPY docker/temporal-dynamic.yaml /etc/temporal/
CMD ["/usr/local/bin/temporal-start.sh"]
