/** Whoever halts is a witness of its own: what it writes, and that no store, no seal and no other user's home is disturbed by it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monotonicNs } from '../core/clock';
import { sha256Hex } from '../core/files';
import { planFor } from '../test/fixtures/sealed-drill';
import { encodePlan } from './bundle';
import { registerIn } from './drill-evidence';
import { encodeEventLines, mergeEvents, readAllEvents, readEvents } from './events';
import { HaltWitness, type HaltOrder } from './halt-events';
import { openEvidence } from './store';

let home: string;
let drill: string;
let bundle: string;
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'gameday-halt-'));
  const plan = planFor({});
  const registered = await registerIn(openEvidence(home, 'lab'), {
    plan,
    planSha256: sha256Hex(encodePlan(plan)),
    owner: { workflowId: 'drill/7', runId: 'mine' },
    startedBy: 'mira',
    at: '2026-11-23T03:12:00.000Z',
  });
  drill = registered.drill;
  bundle = `${plan.target.name}/${drill}`;
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const order = (changes: Partial<HaltOrder> = {}): HaltOrder => ({
  by: 'ann',
  reason: 'real incident',
  what: 'everything',
  at: '2026-11-23T03:13:00.000Z',
  ...changes,
});
const local = () => openEvidence(home, 'lab').local;
const chain = () => readEvents(local(), bundle, 'halt');

test('who halted, when, why and what came back stand in a chain of their own', async () => {
  const witness = new HaltWitness(home, order());
  witness.asked('mine');
  witness.answered('mine', 'nothing of it stands', { taken: true, healed: ['kill'], notHealed: [] });
  expect(await witness.settled()).toEqual([]);
  const [asked, answered, more] = await chain();
  expect(asked).toMatchObject({
    drill,
    writer: 'halt',
    step: 'halt',
    kind: 'asked',
    attempt: 1,
    at: '2026-11-23T03:13:00.000Z',
    actor: 'ann',
    text: 'ann halts everything: real incident',
    facts: { what: 'everything', reason: 'real incident' },
  });
  expect(answered).toMatchObject({ kind: 'answered', attempt: 1, actor: 'ann', facts: { healed: ['kill'] } });
  expect(more).toBeUndefined();
});

test('two who halt at once have an event each, and one halt has one however often it is told', async () => {
  const [ann, bob] = [new HaltWitness(home, order()), new HaltWitness(home, order({ by: 'bob', what: 'this drill' }))];
  for (const witness of [ann, bob, ann]) witness.asked('mine');
  ann.answered('mine', 'healed', {});
  bob.answered('mine', 'healed', {});
  expect([...(await ann.settled()), ...(await bob.settled())]).toEqual([]);
  const told = (await chain()).map(({ actor, kind, attempt }) => `${actor} ${kind} ${attempt}`);
  expect(told.filter((line) => line.includes('asked')).map((line) => line.split(' ')[2])).toEqual(['1', '2']);
  for (const who of ['ann', 'bob']) {
    const own = told.filter((line) => line.startsWith(who));
    expect(new Set(own.map((line) => line.split(' ')[2])).size).toBe(1);
    expect(own).toHaveLength(2);
  }
});

test('a drill that is sealed is left alone, and whoever halts is told; so is one that this home does not know', async () => {
  await local().create(`${bundle}/seal.dsse.json`, Buffer.from('{}'));
  const witness = new HaltWitness(home, order());
  witness.answered('mine', 'healed', {});
  witness.asked('another');
  expect(await witness.settled()).toEqual([
    expect.stringMatching(new RegExp(`"asked" is not in the evidence of ${drill}: it was sealed before`)),
    expect.stringMatching(/evidence of run another: .* holds no registration of it/),
  ]);
  expect(await chain()).toEqual([]);
  expect(await witness.settled()).toEqual([]);
});

test.each([
  ['with it', true],
  ['without it', false],
])('a seal made at the same moment, %s, is looked into', async (_name, isIn) => {
  const witness = new HaltWitness(home, order());
  witness.asked('mine');
  expect(await witness.settled()).toEqual([]);
  const lines = isIn ? encodeEventLines(mergeEvents(await readAllEvents(local(), bundle))) : '';
  await local().create(`${bundle}/events.jsonl`, Buffer.from(lines));
  await local().create(`${bundle}/seal.dsse.json`, Buffer.from('{}'));
  expect(await witness.settled()).toEqual(isIn ? [] : [expect.stringContaining('"asked" is not in the evidence')]);
});

test('where the directory belongs to another user nothing is put there: the workers could not read it, and would not seal', async () => {
  const uid = jest.spyOn(process, 'getuid').mockReturnValue(4_000_000);
  try {
    const witness = new HaltWitness(home, order());
    witness.asked('mine');
    expect(await witness.settled()).toEqual([expect.stringContaining('belongs to uid')]);
  } finally {
    uid.mockRestore();
  }
  expect(await chain()).toEqual([]);
});

describe('with a store that takes every connection and never answers', () => {
  const sockets: Socket[] = [];
  let server: Server;
  beforeAll(async () => {
    server = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
  });

  test('a halt waits no longer than its deadline, and says that it is not in the evidence', async () => {
    const { port } = server.address() as { readonly port: number };
    writeFileSync(join(home, 'secret'), 'x', { mode: 0o600 });
    writeFileSync(
      join(home, 'evidence.yaml'),
      `store: { kind: s3, endpoint: "http://127.0.0.1:${port}", region: lab, bucket: evidence, accessKey: "file:${home}/secret", secretKey: "file:${home}/secret", timeoutMs: 5000 }\n`,
    );
    const witness = new HaltWitness(home, order(), 300);
    const began = monotonicNs();
    witness.answered('mine', 'healed', {});
    expect(await witness.settled()).toEqual([expect.stringContaining('not written within 300 ms')]);
    expect(Number(monotonicNs() - began) / 1e6).toBeLessThan(4_000);
    expect(sockets.length).toBeGreaterThan(0);
    // What comes of it later is told as well, and nothing is thrown.
    expect((await new HaltWitness(home, order()).settled()).length).toBe(0);
  }, 30_000);
});
