/** Settings and limits of disk-slow and what its proof goes by; the slowing itself is tried in test/live/faults-resources.test.ts. */
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

/** The paper host with the node in the group, whose dd takes these times by its own account, in turn; remembers what dd was told. */
function copyContext(times: { readonly inside: readonly string[]; readonly outside: readonly string[] }): {
  readonly context: FaultContext;
  readonly told: string[];
} {
  const context = diskContext(0x801);
  const left = { inside: [...times.inside], outside: [...times.outside] };
  const told: string[] = [];
  const host: Host = {
    ...context.live.host('n2'),
    remove: async () => undefined,
    exec: async ([, , script = '', , ...args]) => {
      const at = args[0] === '' ? 'outside' : 'inside';
      const copies = script.includes('dd "$@"');
      if (copies) told.push(args.slice(3).join(' '));
      const stdout = script.includes('/cgroup 2>')
        ? '4242 8:blkio:/pg/gd-drill-000042-slow.77.n2\n'
        : copies
          ? `65536 bytes (66 kB, 64 KiB) copied, ${left[at].shift()} s, 9.9 kB/s\n`
          : script.startsWith('find')
            ? '/data/n2/base/1/1259\n'
            : `2049 ${args[0]}\n`;
      return { code: 0, stdout, stderr: '' };
    },
  };
  return { context: { ...context, live: { ...context.live, host: () => host } }, told };
}

const prove = async (settings: object, times: { readonly inside: readonly string[]; readonly outside: readonly string[] }) => {
  const { context, told } = copyContext(times);
  const resolved = await diskSlow.resolve(diskSlow.schema.parse({ node: 'n2', ...settings }), context);
  const proof = await diskSlow.confirm(resolved, context);
  return { holds: proof.holds, facts: proof.facts, told };
};

test.each([
  ['a limit that is obeyed', ['1.1', '1.2'], ['0.003', '0.004'], true],
  ['one that is obeyed beside a stall of the disk', ['1.1', '1.2'], ['0.9', '0.8', '0.02', '0.03'], true],
  ['one that is not obeyed, beside a stall', ['0.9', '0.2'], ['0.2', '0.2'], false],
  ['one that is not obeyed, beside a stall that lasts', ['0.9', '0.9'], ['0.9', '0.9', '0.9'], false],
  ['one that is not obeyed, beside a stall that begins behind the first copies', ['0.9', '0.9'], ['0.2', '0.9', '0.9', '0.9'], false],
  ['a disk that is as slow without it', ['1.1', '1.2'], ['0.9', '0.8', '0.9'], false],
  ['one that does nothing at all', ['0.003'], ['5.1e-05'], false],
])('%s: only what the limit adds counts', async (_what, inside, outside, holds) => {
  expect(await prove({ iops: 20 }, { inside, outside })).toMatchObject({ holds });
});

test.each([
  [{ iops: 2 }, 'bs=8192 count=2'],
  [{ writeBps: '8kB' }, 'bs=4096 count=2'],
  [{ writeBps: '16MB' }, 'bs=2097152 count=8'],
  [{ writeBps: '16MB', iops: 20 }, 'bs=8192 count=20'],
  [{ writeBps: '64kB', iops: 500 }, 'bs=8192 count=8'],
])('%j is proven by %s', async (settings, words) => {
  const { told } = await prove(settings, { inside: ['9', '9'], outside: ['0', '0'] });
  expect(told.map((each) => each.replace(' oflag=dsync', ''))).toEqual([words, words, words, words]);
});

test('a disk that does not obey is refused before the drill, and one that does is not, however slow it is by itself', async () => {
  const settings = diskSlow.schema.parse({ node: 'n2', iops: 20 });
  const obeys = async (inside: string, outside: readonly string[]) =>
    (await diskSlow.ready(settings, copyContext({ inside: [inside, inside], outside }).context)).at(-1);
  expect(await obeys('0.7', ['0.001'])).toMatchObject({ ok: false, hint: expect.stringContaining('does not throttle') });
  expect(await obeys('2.6', ['1.9', '0.3', '0.4'])).toMatchObject({ ok: true, found: '5 reads took 2.60 s, 400 ms without a limit' });
});
