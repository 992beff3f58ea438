// A TCP relay in a process of its own whose way through can be cut, frozen and restored at instants it stamps itself. Plain JavaScript, so that a test
// and a benchmark can fork it alike. Three ways to be down: `cut` resets every connection and refuses new ones; `freeze` forwards nothing, yet keeps
// and accepts connections; `restore` ends either. Every answer carries the machine's monotonic clock just before and just after.
'use strict';
const { connect, createServer } = require('node:net');
const { spawnSync } = require('node:child_process');

const [host, port, upstreamHost, upstreamPort] = process.argv.slice(2);
const pairs = new Set();
let server = null;
let frozen = false;

const stamp = () => String(process.hrtime.bigint());

/** One direction. Frozen: what was read stays in the kernel, because nothing is read. */
function carry(from, to) {
  from.on('data', (chunk) => {
    if (!to.write(chunk)) {
      from.pause();
      to.once('drain', () => frozen || from.resume());
    }
  });
}

function accept(inside) {
  const outside = connect({ host: upstreamHost, port: Number(upstreamPort), noDelay: true });
  const pair = { inside, outside };
  pairs.add(pair);
  inside.setNoDelay(true);
  for (const [a, b] of [
    [inside, outside],
    [outside, inside],
  ]) {
    carry(a, b);
    a.on('error', () => b.destroy());
    a.on('close', () => {
      b.destroy();
      pairs.delete(pair);
    });
  }
  if (frozen) for (const socket of [inside, outside]) socket.pause();
}

function listen() {
  return new Promise((resolve, reject) => {
    server = createServer({ pauseOnConnect: false }, accept);
    server.once('error', reject);
    server.listen({ host, port: Number(port), backlog: 511 }, resolve);
  });
}

const verbs = {
  open: () => listen(),
  cut: () => {
    server.close();
    server = null;
    for (const { inside, outside } of pairs) {
      inside.resetAndDestroy();
      outside.resetAndDestroy();
    }
    pairs.clear();
  },
  freeze: () => {
    frozen = true;
    for (const { inside, outside } of pairs) for (const socket of [inside, outside]) socket.pause();
  },
  restore: async () => {
    if (server === null) return listen();
    frozen = false;
    for (const { inside, outside } of pairs) for (const socket of [inside, outside]) socket.resume();
  },
};

process.on('message', async ({ id, verb }) => {
  const beforeNs = stamp();
  await verbs[verb]();
  process.send({ id, beforeNs, afterNs: stamp() });
});
process.on('disconnect', () => process.exit(0));
// The instants must be true to a fraction of a millisecond, whatever else the machine does; where this is not allowed they are only wider.
spawnSync('chrt', ['-f', '-p', '2', String(process.pid)], { stdio: 'ignore' });
