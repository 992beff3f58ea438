import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { findProgram, patroniLine } from './target-controllers';

test('a runbook’s program is found by its path, or as a bare name on PATH', () => {
  expect(findProgram('/bin/sh')).toBe('/bin/sh');
  expect(findProgram('sh', '/nowhere:/bin')).toBe('/bin/sh');
  expect(findProgram('sh', '/nowhere')).toBeNull();
  expect(findProgram('/etc/passwd')).toBeNull();
});

describe('a member of Patroni', () => {
  let server: Server;
  let answer: object = {};
  const api = (): { readonly n4: string } => ({ n4: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const look = (node: { readonly upstream?: string }): ReturnType<typeof patroniLine> =>
    patroniLine({ name: 'n4', ...node }, { scope: 'shop', api: api() });
  const said = (tags: object): object => ({ role: 'replica', state: 'running', patroni: { version: '3.0.2', scope: 'shop' }, ...tags });
  beforeAll((done) => {
    server = createServer((_request, response) => response.end(JSON.stringify(answer))).listen(0, '127.0.0.1', done);
  });
  afterAll((done) => void server.close(done));

  test('streams from where the target file says, by its tag, or is noted', async () => {
    answer = said({ tags: { nofailover: true, nosync: true, replicatefrom: 'n3' } });
    expect(await look({ upstream: 'n3' })).toMatchObject({
      state: 'has',
      found: '3.0.2, replica, running, replicatefrom n3, never promoted',
    });
    expect(await look({})).toMatchObject({
      state: 'note',
      found: expect.stringContaining('names no upstream'),
      remedy: expect.stringContaining('`upstream: n3`'),
    });
    answer = said({});
    expect(await look({})).toMatchObject({ state: 'has', found: '3.0.2, replica, running' });
    expect(await look({ upstream: 'n3' })).toMatchObject({ state: 'note', remedy: expect.stringContaining('replicatefrom') });
  });

  test('of another cluster, or silent, is lacking', async () => {
    answer = { patroni: { scope: 'other' } };
    expect(await look({})).toMatchObject({ state: 'lacks', found: expect.stringContaining('scope other') });
    expect(await patroniLine({ name: 'n4' }, { scope: 'shop', api: { n4: 'http://127.0.0.1:9' } })).toMatchObject({ state: 'lacks' });
  });
});
