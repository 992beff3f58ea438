/** Settings and handle of credentials-rotated; the refused login is tried in test/live/faults-data.test.ts. */
import { createServer, type AddressInfo } from 'node:net';
import type { FaultContext } from './contract';
import { credentialsRotated } from './credentials-rotated';
import { paperContext } from './paper-target.test-data';

const resolve = (settings: object, context: FaultContext = paperContext('rotate')) =>
  credentialsRotated.resolve(credentialsRotated.schema.parse(settings), context);

test('without settings replication loses its password, which hurts every standby', async () => {
  const resolved = await resolve({});
  expect(resolved).toEqual({ role: 'replicate', user: 'gameday_replicate', label: 'gd-drill-000042-rotate', standbys: ['n2', 'n3'] });
  expect(credentialsRotated.reach(resolved)).toEqual({ nodes: ['n2', 'n3'] });
});

test('undo by hand reads the secret where it is and never holds it', async () => {
  const context = paperContext('rotate');
  process.env['REPLICATE'] = 'hush';
  const commands = credentialsRotated.manualUndo(await resolve({}, context), context.live.target).join('\n');
  expect(commands).toContain('\\set password `printf %s "${REPLICATE:?}"`');
  expect(commands).toContain(`ALTER ROLE "gameday_replicate" PASSWORD :`);
  expect(commands).not.toContain('hush');
});

test('a role that logs in without a password is refused', async () => {
  await expect(resolve({ role: 'probe' })).rejects.toMatchObject({
    code: 'fault_refused',
    message: expect.stringContaining('has no password'),
  });
  expect(await credentialsRotated.ready({ role: 'probe' }, paperContext('rotate'))).toMatchObject([{ ok: false }]);
});

test.each([{ role: 'operate' }, { role: 'observe' }, { password: 'x' }])('%j is refused', (settings) => {
  expect(credentialsRotated.schema.safeParse(settings).success).toBe(false);
});

const REFUSAL = Buffer.from('SFATAL\0C28P01\0Mpassword authentication failed\0\0');

/** The proof against a server that ends the first `unheard` logins without a word and refuses the others; `senders`: what the primary counts. */
async function proveAgainst(
  unheard: number,
  senders: () => Promise<readonly object[]>,
): Promise<{ readonly holds: boolean; readonly by: string }> {
  process.env['REPLICATE'] = 'hush';
  let logins = 0;
  const server = createServer((socket) => {
    logins += 1;
    socket.on('error', () => undefined);
    if (logins <= unheard) return void socket.destroy();
    const head = Buffer.from('E\0\0\0\0');
    head.writeInt32BE(4 + REFUSAL.length, 1);
    socket.once('data', () => socket.end(Buffer.concat([head, REFUSAL])));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const context = paperContext('rotate');
  const { port } = server.address() as AddressInfo;
  const nodes = context.live.target.nodes.map((each) => ({ ...each, host: '127.0.0.1', port }));
  const sql = (_node: string, _purpose: string, work: (sql: object) => unknown): unknown => work({ query: senders });
  const live = { ...context.live, target: { ...context.live.target, nodes }, sql } as unknown as FaultContext['live'];
  try {
    return await credentialsRotated.confirm(await resolve({}), { ...context, live });
  } finally {
    await new Promise((closed) => server.close(closed));
  }
}

test('a login that nobody answered is tried again, and only a refusal proves', async () => {
  expect(await proveAgainst(2, async () => [])).toMatchObject({ holds: true });
  expect(await proveAgainst(5, async () => [])).toMatchObject({ holds: false });
});

test('WAL senders that could not be counted are not taken for none', async () => {
  const clock = jest.spyOn(process.hrtime, 'bigint');
  const unknown = async (): Promise<never> => {
    clock.mockReturnValue(1n << 62n);
    throw new Error('timeout expired');
  };
  try {
    expect(await proveAgainst(0, unknown)).toMatchObject({ holds: false, by: expect.stringContaining('; uncounted WAL senders go on') });
  } finally {
    clock.mockRestore();
  }
});
