#!/bin/sh
# Every path between two parties is one proxy. What answers at a name of its own (the way in; each ordered pair of nodes) has an address of its own
# here, which is what NET_ADMIN is for; infra/lab/docker-topology.ts says the same to gameday.
set -eu
nic=$(ip -o -4 route show "$NET.0/24" | sed -n 's/.* dev \([^ ]*\).*/\1/p;q')
first=
link() {
  [ -z "$first" ] || printf ',\n'
  first=no
  printf '{"name":"%s","listen":"%s","upstream":"%s","enabled":true}' "$1" "$2" "$3"
}
address() { ip address replace "$1/24" dev "$nic"; }
links() {
  printf '[\n'
  link client-router "$NET.10:5432" "$NET.20:5432"
  for from in 1 2 3; do
    for to in 1 2 3; do
      [ "$from" = "$to" ] || link "n$from-n$to" "$NET.1$from$to:5432" "$NET.1$to:5432"
      link "n$from-e$to" "$NET.30:12$from$to" "$NET.6$to:2379"
    done
  done
  printf '\n]\n'
}
address "$NET.10"
for pair in 12 13 21 23 31 32; do address "$NET.1$pair"; done
links > /tmp/links.json
exec setpriv --reuid=nobody --regid=nogroup --clear-groups toxiproxy-server -host 0.0.0.0 -port 8474 -config /tmp/links.json
