/** What only a store that misbehaves shows: on a server of HTTP that is overloaded for good. What stores do otherwise is seen in test/live/objects.test.ts. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openS3Store } from './s3-store';

test('whoever was patient for work that has ended waits no longer', async () => {
  let asked = 0;
  const ended = new AbortController();
  const server = createServer((_request, response) => {
    asked += 1;
    response.writeHead(503).end();
    ended.abort(new Error('halted'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.env['GAMEDAY_TEST_KEY'] = 'key';
  const settings = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    bucket: 'drills',
    accessKey: 'env:GAMEDAY_TEST_KEY',
    secretKey: 'env:GAMEDAY_TEST_KEY',
    timeoutMs: 5_000,
    retry: { attempts: 11, firstDelayMs: 60_000, random: () => 0 },
  };
  const store = openS3Store(settings, ended.signal);
  try {
    await expect(store.get('base/one')).rejects.toThrow('halted');
    expect(asked).toBe(1);
    await expect(store.list('wal/')[Symbol.asyncIterator]().next()).rejects.toThrow('halted');
    await expect(store.read('base/one', { start: 0, end: 1 }, new AbortController().signal)).rejects.toThrow('halted');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
