/**
 * One outage, three ways in: the library's scenario on the shared lab. Each way is measured by itself, every stream's writes are accounted for, and
 * the ledger says which server answered, also where a pooler stands between. Counted a second time here, past judge and join.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { resolveSecret } from '../../core/secrets';
import type { RtoMeasurement } from '../../model/measurement';
import type { DrillRecord } from '../../model/record';
import { DoorConnection } from '../../probe/connection';
import { queryMessage } from '../../probe/wire-reader';
import { ledgerIn } from '../../probe/ledger-reader';
import type { Entry, StreamInfo } from '../../probe/ledger-format';
import { withSql } from '../../targets/sql';
import { lab } from './lab';
import { runScenario } from './scenario-run';

let evidence = '';
let record: DrillRecord;
let entries: readonly Entry[];
let streams: readonly StreamInfo[];

beforeAll(async () => {
  ({ evidence, record } = await runScenario(lab().home, 'failover-three-ways'));
  expect({ state: record.state, why: record.failures }).toEqual({ state: 'completed', why: [] });
  const all: Entry[] = [];
  for await (const batch of ledgerIn(join(evidence, 'ledger')).batches()) all.push(...batch);
  entries = all;
  streams = all.find((entry) => entry.kind === 'segment')?.streams ?? [];
}, 500_000);

const outcomesOf = (wanted: (info: StreamInfo) => boolean): readonly Extract<Entry, { kind: 'outcome' }>[] => {
  const chosen = new Set(streams.flatMap((info, stream) => (wanted(info) ? [stream] : [])));
  return entries.flatMap((entry) => (entry.kind === 'outcome' && chosen.has(entry.stream) ? [entry] : []));
};

/** Of the drill's fault: the node that was the primary when it was killed. */
const killed = (): string => (record.faults[0]?.resolved as { readonly node?: string } | undefined)?.node ?? '';

test('every way in, kind and habit is measured by itself, saw the outage, and recovered', () => {
  const views = record.views.map(({ kind, path, client }) => `${kind} ${path} ${client}`).sort();
  const expected = ['entry', 'pooler', 'direct'].flatMap((path) =>
    ['write', 'read'].flatMap((kind) => ['tuned', 'naive'].map((client) => `${kind} ${path} ${client}`)),
  );
  expect([...views, 'write entry tuned'].sort()).toEqual(expected.sort());
  if ('notRecorded' in record.rto) throw new Error(record.rto.notRecorded);
  const all: readonly (readonly [string, RtoMeasurement])[] = [
    ['main', record.rto],
    ...record.views.map(({ kind, path, client, rto }) => [`${kind} ${path} ${client}`, rto] as const),
  ];
  for (const [name, { outages, rto, downMs, contradictions, counts }] of all) {
    expect([name, contradictions]).toEqual([name, []]);
    expect([name, outages.length]).not.toEqual([name, 0]);
    expect([name, rto]).toEqual([name, { lowMs: expect.any(Number), highMs: expect.any(Number) }]);
    expect([name, (downMs?.lowMs ?? 0) > 0]).toEqual([name, true]);
    expect([name, counts.acked > 100]).toEqual([name, true]);
  }
});

test('the writes of all streams were joined, not only those of the main way', async () => {
  if ('notRecorded' in record.rpo) throw new Error(record.rpo.notRecorded);
  const outcomes = outcomesOf(({ kind }) => kind === 'write');
  const acked = outcomes.filter(({ outcome }) => outcome === 'acked');
  const writers = streams.flatMap(({ kind }, stream) => (kind === 'write' ? [stream] : []));
  expect(writers).toHaveLength(6);
  expect(record.rpo.acked).toBe(acked.length);
  expect(record.rpo.lost).toBe(0);
  expect(record.rpo.kept).toBe(acked.length);
  const { target } = lab();
  const { user, password } = target.roles.probe;
  const rows = await withSql({ ...target.entry, user, password: password === null ? null : resolveSecret(password) }, (sql) =>
    sql.query(
      `SELECT stream, count(*)::text AS n FROM gameday.probe_${record.drill.replace('-', '_')} WHERE stream >= 0 GROUP BY 1 ORDER BY 1`,
    ),
  );
  expect(rows.map((row) => Number(row['stream']))).toEqual(writers);
  const stored = rows.reduce((sum, row) => sum + Number(row['n']), 0);
  expect(stored).toBe(record.rpo.kept + record.rpo.indeterminateCommitted);
}, 30_000);

test.each(['entry', 'pooler', 'direct'])(
  'by %s the ledger names the server of each acknowledgement: the old primary, then the new one',
  (path) => {
    const { target } = lab();
    const nodeOf = new Map(
      entries.flatMap((entry) => {
        const host = entry.kind === 'server' ? (entry.address ?? '').replace(/\/[0-9]+$/, '') : null;
        return entry.kind === 'server' ? [[entry.server, target.nodes.find((node) => node.host === host)?.name] as const] : [];
      }),
    );
    const answered = outcomesOf((info) => info.kind === 'write' && info.path === path).filter(({ outcome }) => outcome === 'acked');
    const nodes = answered.map(({ server }) => nodeOf.get(server ?? 0));
    const changes = nodes.filter((node, at) => node !== nodes[at - 1]);
    expect(changes).toEqual([killed(), expect.stringMatching(/^n[123]$/)]);
    expect(changes[1]).not.toBe(killed());
    // The timelines agree with the servers.
    const timelines = new Set(answered.map(({ timeline, server }) => `${nodeOf.get(server ?? 0) ?? '?'} ${timeline ?? '?'}`));
    expect(timelines.size).toBe(2);
  },
);

test('the report has a row for every way in', () => {
  const html = readFileSync(join(evidence, 'report.html'), 'utf8').split('id="ways-in"')[1]?.split('</section>')[0] ?? '';
  expect(html.match(/<th scope="row">/g)).toHaveLength(12);
  for (const path of ['entry', 'pooler', 'direct']) expect(html).toContain(`writes by ${path}, naive client`);
});

describe('a name as the way in', () => {
  const nodes = (): readonly string[] => lab().target.nodes.map(({ host }) => host);
  const open = async (addresses: () => Promise<readonly string[]>): Promise<string> => {
    const { user, password } = lab().target.roles.probe;
    const address = {
      hosts: [{ host: 'db.example', port: 5432 }],
      database: 'gameday',
      user,
      password: password === null ? null : resolveSecret(password),
      connectTimeoutMs: 1_000,
      cancels: true,
    };
    const connection = new DoorConnection(address, () => undefined, addresses);
    try {
      await connection.open();
      return await new Promise((resolve, reject) =>
        connection.query(queryMessage('SELECT inet_server_addr(), pg_is_in_recovery()::text'), Infinity, (reply, row) =>
          reply.ok ? resolve((row ?? []).join(' ')) : reject(new Error(reply.message)),
        ),
      );
    } finally {
      connection.destroy();
    }
  };

  test('that stands for all nodes leads to the one that takes writes, and for one node to that', async () => {
    const writable = await open(async () => nodes());
    expect(nodes().map((host) => `${host} false`)).toContain(writable);
    expect(await open(async () => [...nodes()].reverse())).toBe(writable);
    const standby = nodes().find((host) => `${host} false` !== writable) ?? '';
    expect(await open(async () => [standby])).toBe(`${standby} true`);
  });

  test('that nobody knows, or whose lookup hangs, is said by name and within the deadline', async () => {
    await expect(open(() => Promise.reject(new Error('getaddrinfo ENOTFOUND db.example')))).rejects.toThrow('ENOTFOUND db.example');
    await expect(open(() => new Promise(() => undefined))).rejects.toThrow('the name db.example was not looked up within 1000 ms');
  });
});
