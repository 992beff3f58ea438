/** Who holds a port, from the kernel's tables and from a real listener. */
import { createServer } from 'node:net';
import { GamedayError } from '../../core/errors';
import { checkPorts, findTaken, parseHexAddress, parseListeners } from './ports';

test('addresses are read in the byte order in which the kernel writes them', () => {
  expect(parseHexAddress('0B01007F')).toBe('127.0.1.11');
  expect(parseHexAddress('00000000')).toBe('0.0.0.0');
  expect(parseHexAddress('00000000000000000000000000000000')).toBe('::');
  expect(parseHexAddress('0000000000000000FFFF00000100007F')).toBe('127.0.0.1');
});

test('only sockets that listen count', () => {
  const text = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0B01007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4711 1 0000000000000000 100 0 0 10 0',
    '   1: 0B01007F:1538 0100007F:D431 01 00000000:00000000 00:00000000 00000000   101        0 4712 1 0000000000000000 20 0 0 10 -1',
    '',
  ].join('\n');
  expect(parseListeners(text)).toEqual([{ host: '127.0.1.11', port: 5432, inode: '4711' }]);
});

test('a listener is found with its process, is ours or refused by name', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.62.99', resolve));
  try {
    const { port } = server.address() as { port: number };
    const wanted = [
      { host: '127.0.62.99', port, use: 'test' },
      { host: '127.0.62.98', port, use: 'free' },
    ];
    expect(findTaken(wanted)).toEqual([{ host: '127.0.62.99', port, use: 'test', pid: process.pid }]);
    await checkPorts(wanted, () => new Set([process.pid]));
    const refused = await checkPorts(wanted, () => new Set()).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(GamedayError);
    expect((refused as GamedayError).message).toContain(`127.0.62.99:${port} (test) is held by process ${process.pid}: `);
    // A server of ours that starts between the two looks counts as ours in the next.
    let looks = 0;
    await checkPorts(wanted, () => new Set((looks += 1) > 1 ? [process.pid] : []));
    expect(looks).toBe(2);
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});
