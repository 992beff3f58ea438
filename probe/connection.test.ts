/**
 * What a connection makes of a server that dies, talks out of turn or speaks something else: of servers that misbehave at the very byte, which no real one
 * can be asked to do. How it gets along with real ones, with and without TLS, the live tests show.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { DoorConnection, type Reply, type Row } from './connection';
import { queryMessage } from './wire-reader';

const message = (type: string, ...parts: readonly (string | Buffer)[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  const header = Buffer.from(`${type}\0\0\0\0`, 'latin1');
  header.writeUInt32BE(4 + body.length, 1);
  return Buffer.concat([header, body]);
};
const READY = message('Z', 'I');
const GREETING = [message('R', '\0\0\0\0'), message('S', 'server_version\x0015.1\0'), message('K', '\0\0\0\x07\0\0\0\x09')];
const said = (type: 'E' | 'N', severity: string, sqlstate: string, text: string, routine = 'somewhere'): Buffer =>
  message(type, `S${severity}\0V${severity}\0C${sqlstate}\0M${text}\0R${routine}\0\0`);
const ROW = message('D', '\0\x02', '\0\0\0\x02', '12', Buffer.from('ffffffff', 'hex'));
const ANSWER = [message('C', 'SET\0'), message('T', '\0\0'), ROW, message('C', 'INSERT 0 1\0'), READY];

/** A server that greets like PostgreSQL; what it says then, each test decides. */
class Script {
  readonly sockets: Socket[] = [];
  private constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async start(greeting: readonly Buffer[]): Promise<Script> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const script = new Script(server, (server.address() as AddressInfo).port);
    server.on('connection', (socket) => {
      script.sockets.push(socket);
      socket.setNoDelay(true).on('error', () => undefined);
      socket.once('data', () => socket.write(Buffer.concat(greeting)));
    });
    return script;
  }

  get socket(): Socket {
    return this.sockets.at(-1)!;
  }

  stop(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

const scripts: Script[] = [];
afterEach(() => {
  for (const script of scripts.splice(0)) script.stop();
});

interface Opened {
  readonly script: Script;
  readonly connection: DoorConnection;
  readonly lost: string[];
  readonly whenLost: Promise<void>;
}

async function open(greeting: readonly Buffer[] = [...GREETING, READY], cancels = false): Promise<Opened> {
  const script = await Script.start(greeting);
  scripts.push(script);
  const lost: string[] = [];
  let tell: () => void = () => undefined;
  const whenLost = new Promise<void>((resolve) => (tell = resolve));
  const hosts = [{ host: '127.0.0.1', port: script.port }];
  const connection = new DoorConnection({ hosts, database: 'd', user: 'u', password: null, connectTimeoutMs: 2_000, cancels }, (why) => {
    lost.push(why);
    tell();
  });
  await connection.open();
  return { script, connection, lost, whenLost };
}

/** Asks, and waits until the server has the question; the answers come in the list. */
async function ask(
  { script, connection }: Opened,
  deadlineNs = Infinity,
): Promise<{ answers: [Reply, Row | null][]; first: Promise<void> }> {
  const answers: [Reply, Row | null][] = [];
  const asked = once(script.socket, 'data');
  const first = new Promise<void>((resolve) =>
    connection.query(queryMessage('SELECT 1'), deadlineNs, (...answer) => {
      answers.push(answer);
      resolve();
    }),
  );
  expect(((await asked) as Buffer[])[0]?.toString()).toBe(queryMessage('SELECT 1').toString());
  return { answers, first };
}

const refusal = (sqlstate: string | null, text: string, severity: string | null = null): unknown => ({
  ok: false,
  word: expect.objectContaining({ sqlstate, severity }),
  message: text,
});

test('an answer is one, whole or byte by byte, and with news in between', async () => {
  const opened = await open();
  const whole = await ask(opened);
  opened.script.socket.write(Buffer.concat(ANSWER));
  await whole.first;
  const news = [message('A', '\0\0\0\x07channel\0payload\0'), message('S', 'TimeZone\0UTC\0')];
  const pieces = await ask(opened);
  for (const byte of Buffer.concat([...news, ...ANSWER.slice(0, 2), ...news, ...ANSWER.slice(2)]))
    opened.script.socket.write(Buffer.of(byte));
  await pieces.first;
  const expected = [[{ ok: true, syncWaitCancelled: false }, ['12', null]]];
  expect([whole.answers, pieces.answers, opened.lost, opened.connection.state]).toEqual([expected, expected, [], 'idle']);
});

test('a commit whose standby was not waited for is told by its notice, and the next one is itself again', async () => {
  const opened = await open();
  const alone = await ask(opened);
  opened.script.socket.write(Buffer.concat([said('N', 'WARNING', '01000', 'canceling wait', 'SyncRepWaitForLSN'), ...ANSWER]));
  await alone.first;
  const next = await ask(opened);
  opened.script.socket.write(Buffer.concat([said('N', 'WARNING', '01000', 'something else'), ...ANSWER]));
  await next.first;
  expect([alone.answers[0]?.[0], next.answers[0]?.[0]]).toEqual([
    { ok: true, syncWaitCancelled: true },
    { ok: true, syncWaitCancelled: false },
  ]);
});

test('an error is answered once, when the server is ready again, by the first one said', async () => {
  const opened = await open();
  const asked = await ask(opened);
  const errors = [said('E', 'ERROR', '57014', 'canceled'), said('E', 'ERROR', '25P02', 'aborted')];
  opened.script.socket.write(Buffer.concat([ROW, ...errors, READY]));
  await asked.first;
  expect([asked.answers[0]?.[0], opened.connection.state]).toEqual([refusal('57014', 'canceled', 'ERROR'), 'idle']);
  const next = await ask(opened);
  opened.script.socket.write(Buffer.concat(ANSWER));
  await next.first;
  expect([asked.answers.length, next.answers[0]?.[0]]).toEqual([1, { ok: true, syncWaitCancelled: false }]);
});

test.each([
  ['an error and then nothing', [said('E', 'ERROR', '40001', 'no')], refusal('40001', 'no', 'ERROR')],
  ['that the session ends', [said('E', 'FATAL', '57P01', 'going down')], refusal('57P01', 'going down', 'FATAL')],
  [
    'the end of the session after an error',
    [said('E', 'ERROR', '58000', 'a'), said('E', 'FATAL', '57P01', 'b')],
    refusal('58000', 'a', 'ERROR'),
  ],
  ['half an answer', ANSWER.slice(0, 4), refusal(null, 'Connection terminated unexpectedly')],
  ['nothing at all', [], refusal(null, 'Connection terminated unexpectedly')],
])('a server that says %s and goes, is answered for once and by its own words', async (_what, says, expected) => {
  const opened = await open();
  const asked = await ask(opened);
  opened.script.socket.end(Buffer.concat(says));
  await asked.first;
  await once(opened.script.socket, 'close');
  expect([asked.answers.map(([reply]) => reply), opened.lost, opened.connection.state]).toEqual([[expected], [], 'closed']);
});

test('a connection that is reset under a statement is answered for once', async () => {
  const opened = await open();
  const asked = await ask(opened);
  opened.script.socket.resetAndDestroy();
  await asked.first;
  expect([asked.answers.map(([reply]) => reply), opened.lost]).toEqual([[refusal(null, 'read ECONNRESET')], []]);
});

test.each([
  ['that it shuts down', said('E', 'FATAL', '57P01', 'terminating connection'), 'terminating connection'],
  ['a row', ROW, 'a row came that nobody asked for'],
  ['that a statement ended', message('C', 'SET\0'), 'a statement ended that nobody sent'],
  ['that it is ready', READY, 'a query was answered that nobody sent'],
  ['what is no message', Buffer.from('HTTP/1.1 400\r\n'), "the server does not speak PostgreSQL's protocol"],
  ['what answers no simple query', message('G', '\0\0\0'), "the server does not speak PostgreSQL's protocol"],
])('a server that says %s while nobody asks, is lost once', async (_what, says, why) => {
  const opened = await open();
  opened.script.socket.write(says);
  await opened.whenLost;
  await once(opened.script.socket, 'close');
  expect([opened.lost, opened.connection.state]).toEqual([[expect.stringContaining(why)], 'closed']);
});

test('what is no answer ends the statement, and nothing that follows is believed', async () => {
  const opened = await open();
  const asked = await ask(opened);
  opened.script.socket.write(Buffer.concat([message('W', '\0\0\0'), ...ANSWER]));
  await asked.first;
  await once(opened.script.socket, 'close');
  const expected = refusal(null, expect.stringContaining('of type 0x57'));
  expect([asked.answers.map(([reply]) => reply), opened.lost]).toEqual([[expected], []]);
});

test('a deadline ends the statement and the connection, and a late answer is not told', async () => {
  const opened = await open();
  const asked = await ask(opened, 1_000);
  opened.connection.expire(999);
  expect(asked.answers).toEqual([]);
  opened.connection.expire(1_000);
  opened.script.socket.write(Buffer.concat(ANSWER));
  await once(opened.script.socket, 'close');
  expect([asked.answers.map(([reply]) => reply), opened.lost, opened.connection.state]).toEqual([
    [refusal(null, 'client deadline')],
    [],
    'closed',
  ]);
});

test('where the door says so the server is asked to end what its deadline ended, on a connection of its own', async () => {
  const opened = await open([...GREETING, READY], true);
  await ask(opened, 1_000);
  const [session] = opened.script.sockets;
  opened.connection.expire(1_000);
  while (opened.script.socket === session) await once(opened.script.server, 'connection');
  const [request] = (await once(opened.script.socket, 'data')) as [Buffer];
  // Length, CancelRequest's code, and the process and key that the server had greeted with.
  expect(request.toString('hex')).toBe('0000001004d2162e0000000700000009');
});

test('a server that ends the session as soon as it has greeted is not connected to', async () => {
  const going = said('E', 'FATAL', '57P01', 'terminating connection');
  await expect(open([...GREETING, READY, going])).rejects.toThrow('terminating connection');
});

test.each([
  ['refuses', [said('E', 'FATAL', '53300', 'too many connections')], 'too many connections'],
  ['speaks something else', [Buffer.from('220 mail.example ESMTP\r\n')], "the server does not speak PostgreSQL's protocol"],
])('a server that %s is not connected to', async (_what, greeting, why) => {
  await expect(open(greeting)).rejects.toThrow(why);
});
