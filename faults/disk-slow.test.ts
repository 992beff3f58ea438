/** Settings and limits of disk-slow; the slowing itself is tried in test/live/faults-resources.test.ts. */
import { diskSlow } from './disk-slow';
import { groupContext } from './node-cgroup.test-data';
import type { FaultContext } from './contract';
import type { Host } from '../targets/ports';

/** The paper host, whose data directory lies on the partition 8:1 of the disk 8:0; `device` as stat says it. */
function diskContext(device: number | null): FaultContext {
  const context = groupContext('slow', 1, { '/sys/dev/block/8:1/../dev': '8:0\n' });
  const host: Host = {
    ...context.live.host('n2'),
    exists: async (path) => path.endsWith('cgroup.procs') || path.startsWith('/sys/dev/block/8:1'),
    exec: async (argv) => ({ code: 0, stdout: device === null ? '' : `${device} ${argv.at(-1)}\n`, stderr: '' }),
  };
  const nodes = context.live.target.nodes.map((node) => ({ ...node, dataDir: `/data/${node.name}` }));
  return { ...context, live: { ...context.live, target: { ...context.live.target, nodes }, host: () => host } };
}

test('without a limit, with one that could not be proven, or with an unknown key the settings are refused', () => {
  const refused = [{}, { iops: 1 }, { iops: 501 }, { writeBps: '4kB' }, { writeBps: '17MB' }, { writeBps: 'slow' }, { iops: 20, reads: 1 }];
  for (const each of refused) expect(diskSlow.schema.safeParse({ node: 'n2', ...each }).success).toBe(false);
});

test('limits stand on the whole disk, not on the partition that holds the data directory', async () => {
  const settings = diskSlow.schema.parse({ node: 'any-standby', writeBps: '256kB', iops: 20 });
  const resolved = await diskSlow.resolve(settings, diskContext(0x801));
  expect(resolved).toMatchObject({ disk: '8:0', writeBps: 262_144, iops: 20, file: '/data/n2/pgsql_tmp.gd-drill-000042-slow' });
  expect(diskSlow.preview(resolved)).toBe('slow what n2 writes to disk 8:0 to 256.0 kB/s and 20 writes/s');
  expect(diskSlow.manualUndo(resolved, diskContext(0x801).live.target).at(-1)).toBe('rm -f /data/n2/pgsql_tmp.gd-drill-000042-slow');
});

test('a file system without a block device is refused, in ready too', async () => {
  const settings = diskSlow.schema.parse({ node: 'n2', iops: 20 });
  for (const device of [0x2d, null]) {
    await expect(diskSlow.resolve(settings, diskContext(device))).rejects.toMatchObject({ code: 'fault_refused' });
    expect(await diskSlow.ready(settings, diskContext(device))).toMatchObject([{ ok: false }]);
  }
});
