/** What disk-full refuses to fill; the filling itself is tried in test/live/faults-resources.test.ts. */
import type { Host } from '../targets/ports';
import type { FaultContext } from './contract';
import { diskFull } from './disk-full';
import { paperContext } from './paper-target.test-data';

/** Each path's device number; what is not named here does not exist. `blocks` of 4 kB make up n2's file system. */
function diskContext(devices: Readonly<Record<string, number>>, blocks = 100_000): FaultContext {
  const context = paperContext('fill');
  const host = {
    ...context.live.host('n2'),
    exec: async (argv: readonly string[]) => ({
      code: 0,
      stdout: argv[2]!.startsWith('stat -f')
        ? `4096 ${blocks}\n`
        : argv
            .slice(4)
            .map((path) => (devices[path] === undefined ? '' : `${devices[path]} ${path}\n`))
            .join(''),
      stderr: '',
    }),
    freeBytes: async () => 50 * 1024 ** 2,
  } as unknown as Host;
  const nodes = context.live.target.nodes.map((node) => ({ ...node, dataDir: `/data/${node.name}` }));
  const target = { ...context.live.target, nodes, runDir: '/home/.gameday/run', archive: null, sandbox: null };
  return { ...context, live: { ...context.live, target, host: () => host } };
}
const settings = diskFull.schema.parse({ node: 'any-standby' });

test('unknown places and sizes are refused', () => {
  for (const each of [{ leave: '257MB' }, { leave: 'some' }, { where: 'log' }, { size: '1GB' }])
    expect(diskFull.schema.safeParse({ node: 'n2', ...each }).success).toBe(false);
});

test('a file system of the node alone is filled, by one file that backups leave out', async () => {
  const resolved = await diskFull.resolve(settings, diskContext({ '/': 1, '/data/n2': 7, '/data/n1': 1 }));
  expect(resolved).toEqual({ node: 'n2', dir: '/data/n2', file: '/data/n2/pgsql_tmp.gd-drill-000042-fill', leaveBytes: 0 });
  expect(diskFull.preview(resolved)).toBe('fill the file system of /data/n2 on n2');
  expect(diskFull.manualUndo(resolved, paperContext('fill').live.target)[0]).toContain('rm -f /data/n2/pgsql_tmp.gd-drill-000042-fill ');
  const wal = await diskFull.resolve({ ...settings, where: 'wal', leave: '1MB' }, diskContext({ '/': 1, '/data/n2/pg_wal': 7 }));
  expect(diskFull.preview(wal)).toBe('fill the file system of /data/n2/pg_wal on n2, but for 1.0 MB');
});

test.each([
  ['the machine’s own disk', { '/': 7, '/data/n2': 7 }, 100_000, 'it holds / too'],
  ['another node’s', { '/': 1, '/data/n2': 7, '/data/n3': 7 }, 100_000, 'it holds /data/n3 too'],
  ['gameday’s home', { '/': 1, '/data/n2': 7, '/home/.gameday': 7 }, 100_000, 'it holds /home/.gameday too'],
  ['the controller’s', { '/': 1, '/data/n2': 7, '/state': 7 }, 100_000, 'it holds /state too'],
  ['one above 4 GB', { '/': 1, '/data/n2': 7 }, 1_048_577, 'more than 4.0 GB'],
  ['one that is not there', { '/': 1 }, 100_000, 'is not there'],
])('%s is refused, by ready and by resolve', async (_what, devices, blocks, reason) => {
  const context = diskContext(devices, blocks);
  await expect(diskFull.resolve(settings, context)).rejects.toMatchObject({
    code: 'fault_refused',
    message: expect.stringContaining(reason),
  });
  expect(await diskFull.ready(settings, context)).toMatchObject([{ ok: false, found: expect.stringContaining(reason) }]);
});

test('only a standby’s disk can be filled without losing writes', () => {
  expect(diskFull.mayLoseWrites(settings)).toBe(false);
  expect(diskFull.mayLoseWrites({ ...settings, node: 'primary' })).toBe(true);
});
