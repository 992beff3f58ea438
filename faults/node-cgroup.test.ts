/** Where the group of a node stands, v1 and v2, and what is refused. What the kernel makes of it is tried in test/live/faults-resources.test.ts. */
import { findHierarchy, groupDirectory, originOf, resolveCgroup } from './node-cgroup';
import { groupContext } from './node-cgroup.test-data';

test('v1: the hierarchy of the controller wins over the unified one, and ours stands below the origin', async () => {
  const group = await resolveCgroup('memory', 'n1', groupContext('starve', 1));
  expect(group).toMatchObject({
    version: 1,
    mount: '/cg/memory',
    origin: '/cg/memory/pg',
    dir: '/cg/memory/pg/gd-drill-000042-starve.77.n1',
  });
  expect(originOf(group.dir)).toBe(group.origin);
});

test('v2: ours stands beside the origin, and its name leads back there', async () => {
  const group = await resolveCgroup('blkio', 'n1', groupContext('slow', 2));
  expect(group).toMatchObject({
    version: 2,
    origin: '/cg/system.slice/postgresql.service',
    dir: '/cg/system.slice/gd-drill-000042-slow.77.n1@postgresql.service',
  });
  expect(originOf(group.dir)).toBe(group.origin);
});

test('v2: a process of the root has its group below the root, and leads back there', () => {
  expect(originOf('/cg/gd-drill-000042-slow.77.n1@')).toBe('/cg');
});

test('a controller that is not enabled is refused with the command that enables it', async () => {
  const context = groupContext('slow', 2, { '/cg/system.slice/cgroup.subtree_control': 'cpu memory\n' });
  await expect(resolveCgroup('blkio', 'n1', context)).rejects.toMatchObject({
    code: 'fault_refused',
    hint: 'enable it on that host: echo +io >/cg/system.slice/cgroup.subtree_control',
  });
});

test('a node that lives in a group of ours already is refused', async () => {
  const context = groupContext('twice', 1, { '/proc/4242/cgroup': '4:cpu:/pg/gd-drill-000042-once.77.n1\n' });
  await expect(resolveCgroup('cpu', 'n1', context)).rejects.toMatchObject({ code: 'fault_refused' });
});

test('a host without control groups is refused', async () => {
  const context = groupContext('starve', 1, { '/proc/self/mountinfo': '30 20 0:25 / / rw - ext4 /dev/vda rw' });
  await expect(resolveCgroup('cpu', 'n1', context)).rejects.toMatchObject({ code: 'fault_refused' });
});

test('a container that sees its own part of the hierarchy finds its groups below it, and no others', () => {
  const hierarchy = findHierarchy('31 30 0:26 /docker/abc /cg/cpu rw - cgroup cgroup rw,cpu', 'cpu')!;
  expect(groupDirectory('4:cpu:/docker/abc/pg', hierarchy, 'cpu')).toBe('/cg/cpu/pg');
  expect(groupDirectory('4:cpu:/docker/abcd', hierarchy, 'cpu')).toBeNull();
});
