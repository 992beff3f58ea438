/**
 * A bad network and an overloaded store in front of a good one, by TCP: connections that are answered with 503, that break after some bytes, or that carry
 * nothing until they are let go. It counts what was asked for. Chance comes from a printed seed.
 */
import { connect, createServer, type Socket } from 'node:net';

export interface Weather {
  /** Share of connections that get 503 as their only answer. */
  readonly overloaded: number;
  /** Share of the others that are reset after 1 byte to `resetWithinBytes` from the store. */
  readonly reset: number;
  readonly resetWithinBytes: number;
}

export const CALM: Weather = { overloaded: 0, reset: 0, resetWithinBytes: 1 };

export interface StormProxy {
  readonly port: number;
  weather: Weather;
  /** Called with each requested path; may hold it back. */
  onGet: (path: string) => Promise<void> | void;
  /** Paths asked for by GET so far. */
  readonly gets: string[];
  readonly broken: { overloaded: number; reset: number };
  close(): Promise<void>;
}

/** Mulberry32: small, seeded, good enough to draw a network's moods. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export async function startStormProxy(options: {
  readonly host: string;
  readonly upstream: URL;
  readonly seed: number;
}): Promise<StormProxy> {
  const random = seeded(options.seed);
  const sockets = new Set<Socket>();
  const proxy: Omit<StormProxy, 'port'> = {
    weather: CALM,
    onGet: () => undefined,
    gets: [],
    broken: { overloaded: 0, reset: 0 },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
  const server = createServer((client) => {
    sockets.add(client);
    client.on('close', () => sockets.delete(client)).on('error', () => undefined);
    if (random() < proxy.weather.overloaded) {
      proxy.broken.overloaded += 1;
      client.once('data', () => client.end('HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
      return;
    }
    let left = random() < proxy.weather.reset ? 1 + Math.floor(random() * proxy.weather.resetWithinBytes) : Infinity;
    const store = connect(Number(options.upstream.port), options.upstream.hostname);
    sockets.add(store);
    const end = (): void => {
      client.destroy();
      store.destroy();
      sockets.delete(store);
    };
    store.on('error', end).on('close', end);
    client.on('close', end);
    client.on('data', (data) => {
      const path = /^GET (\S+)/.exec(data.toString('latin1'))?.[1];
      if (path !== undefined) proxy.gets.push(path);
      void Promise.resolve(path === undefined ? undefined : proxy.onGet(path)).then(() => store.write(data));
    });
    store.on('data', (data) => {
      const sent = data.subarray(0, left);
      left -= sent.length;
      client.write(sent);
      if (left > 0) return;
      proxy.broken.reset += 1;
      client.resetAndDestroy();
      end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, options.host, resolve));
  const address = server.address();
  return Object.assign(proxy, { port: typeof address === 'object' && address !== null ? address.port : 0 });
}
