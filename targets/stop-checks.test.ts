/** Stop conditions against real HTTP answers: what holds, what does not, and that whatever cannot be evaluated does not hold. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { StopCheck } from '../model/plan';
import type { LiveTarget, NodeStatus } from './ports';
import { evaluateStop } from './stop-checks';

let server: Server;
let base: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://local');
    if (url.pathname === '/hang') return;
    if (url.pathname !== '/api/v1/query') return void response.writeHead(url.pathname === '/down' ? 503 : 200).end('body');
    if (url.searchParams.get('query') === 'secret' && request.headers.authorization !== 'Bearer s3cr3t')
      return void response.writeHead(401).end();
    const results: Record<string, unknown> = {
      two: { resultType: 'vector', result: [{ value: [1, '0.5'] }, { value: [1, '2'] }] },
      none: { resultType: 'vector', result: [] },
      one: { resultType: 'scalar', result: [1, '7'] },
      secret: { resultType: 'scalar', result: [1, '1'] },
    };
    response.end(JSON.stringify({ status: 'success', data: results[url.searchParams.get('query') ?? ''] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.66.96', resolve));
  base = `http://127.0.66.96:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const node = (name: string, inRecovery: boolean, up = true): NodeStatus => ({
  node: name,
  up,
  inRecovery,
  timeline: 1,
  lsn: '0/1',
  streamingFrom: null,
  systemIdentifier: '1',
  error: null,
});
const targetOf = (nodes: readonly NodeStatus[]): LiveTarget => ({ controller: { status: async () => nodes } }) as unknown as LiveTarget;
const ask = (check: StopCheck, nodes: readonly NodeStatus[] = []) => evaluateStop(targetOf(nodes), check, 400);
const query = (text: string, bounds: { min?: number; max?: number }, token: string | null = null): StopCheck => ({
  kind: 'prometheus',
  url: `${base}/`,
  query: text,
  min: bounds.min ?? null,
  max: bounds.max ?? null,
  token,
});

test('HTTP: the status counts, and silence does not hold', async () => {
  expect(await ask({ kind: 'http', url: `${base}/health`, status: 200 })).toEqual({ holds: true, found: 'status 200' });
  expect(await ask({ kind: 'http', url: `${base}/down`, status: 200 })).toEqual({ holds: false, found: 'status 503' });
  expect((await ask({ kind: 'http', url: `${base}/hang`, status: 200 })).holds).toBe(false);
  expect((await ask({ kind: 'http', url: 'http://127.0.66.96:1/', status: 200 })).holds).toBe(false);
});

test('Prometheus: every value lies within the bounds, and there is one', async () => {
  expect(await ask(query('two', { max: 2 }))).toEqual({ holds: true, found: '0.5, 2' });
  expect((await ask(query('two', { max: 1 }))).holds).toBe(false);
  expect(await ask(query('none', { min: 0 }))).toEqual({ holds: false, found: 'the query has no result' });
  expect((await ask(query('one', { min: 7, max: 7 }))).holds).toBe(true);
});

test('Prometheus: the token goes by its name and never into what was found', async () => {
  expect(await ask(query('secret', { min: 1 }))).toEqual({ holds: false, found: 'Prometheus answered 401' });
  process.env['GAMEDAY_TEST_TOKEN'] = 's3cr3t';
  expect(await ask(query('secret', { min: 1 }, 'env:GAMEDAY_TEST_TOKEN'))).toEqual({ holds: true, found: '1' });
});

test('nodes: two that are writable, or too few that are up', async () => {
  const twoWriters = [node('n1', false), node('n2', false), node('n3', true)];
  expect(await ask({ kind: 'nodes', maxWritable: 1, minUp: null }, twoWriters)).toEqual({
    holds: false,
    found: '3 nodes up; writable: n1, n2',
  });
  expect((await ask({ kind: 'nodes', maxWritable: null, minUp: 2 }, [node('n1', false), node('n2', true, false)])).holds).toBe(false);
  expect((await ask({ kind: 'nodes', maxWritable: 1, minUp: 2 }, [node('n1', false), node('n2', true)])).holds).toBe(true);
});
