import type { TargetPolicy } from '../model/target';
import { sampleTarget } from '../test/sample-plan';
import { atLine, findForbidden, type Hurt } from './blast-radius';

const target = (policy: Partial<TargetPolicy>, more: { readonly nodes?: number; readonly syncStandbys?: number } = {}) => {
  const sample = sampleTarget();
  const [node] = sample.nodes;
  const nodes = Array.from({ length: more.nodes ?? 3 }, (_, at) => ({ ...node!, name: `n${at + 1}` }));
  return {
    ...sample,
    nodes,
    controller: { ...sample.controller, syncStandbys: more.syncStandbys ?? 0 },
    policy: { ...sample.policy, allowFaults: ['kill', 'cut'], maxNodesAtOnce: 9, allowQuorumLoss: false, ...policy },
  };
};
const hurt = (fault: string, ...nodes: string[]): Hurt => ({ fault, nodes });
const pathOf = (...args: Parameters<typeof findForbidden>) => findForbidden(...args)?.path.join('.') ?? null;

test('what the policy does not list is forbidden, whatever it hurts', () => {
  expect(findForbidden(target({}), [], hurt('drop'))).toMatchObject({
    path: ['policy', 'allowFaults'],
    why: 'policy.allowFaults does not list drop',
  });
  expect(pathOf(target({ allowFaults: [] }), [], hurt('kill', 'n1'))).toBe('policy.allowFaults');
});

test('by default one node at a time: the same one again is allowed, another is not, a clients’ link always', () => {
  const { maxNodesAtOnce: _none, ...old } = target({}).policy;
  const policy = { ...target({ allowQuorumLoss: true }), policy: { ...old, allowQuorumLoss: true } };
  expect(pathOf(policy, [], hurt('kill', 'n1'))).toBeNull();
  expect(pathOf(policy, [hurt('kill', 'n1')], hurt('cut', 'n1'))).toBeNull();
  expect(pathOf(policy, [hurt('kill', 'n1')], hurt('cut'))).toBeNull();
  expect(findForbidden(policy, [hurt('kill', 'n1')], hurt('cut', 'n2'))).toMatchObject({
    path: ['policy', 'maxNodesAtOnce'],
    why: 'policy.maxNodesAtOnce is 1; with cut the faults that stand would hurt 2 nodes (n1, n2)',
  });
});

test('a standby behind a standby confirms nothing, and is not counted among those that do', () => {
  const four = target({}, { nodes: 4, syncStandbys: 2 });
  expect(findForbidden(four, [], hurt('kill', 'n2'))).toBeNull();
  const cascade = { ...four, nodes: four.nodes.map((node) => (node.name === 'n4' ? { ...node, upstream: 'n3' } : node)) };
  expect(findForbidden(cascade, [], hurt('kill', 'n2'))?.why).toMatch(/and leave 1 standby whole where commits wait for 2$/);
  expect(findForbidden(cascade, [], hurt('kill', 'n4'))).toBeNull();
});

test('where all stream from the one that is hurt, none is left to confirm: refused where commits wait, and not where they do not', () => {
  const star = (syncStandbys: number) => {
    const three = target({}, { syncStandbys });
    return { ...three, nodes: three.nodes.map((node) => (node.name === 'n1' ? node : { ...node, upstream: 'n1' })) };
  };
  expect(findForbidden(star(0), [], hurt('kill', 'n1'))).toBeNull();
  expect(findForbidden(star(1), [], hurt('kill', 'n1'))?.why).toMatch(/and leave 0 standbys whole where commits wait for 1$/);
});

test('a permit may have a limit of its own over all faults of its kind', () => {
  const policy = target({ allowFaults: ['kill', { fault: 'cut', maxMs: null, maxNodes: 1 }], allowQuorumLoss: true });
  expect(pathOf(policy, [hurt('kill', 'n1')], hurt('cut', 'n2'))).toBeNull();
  expect(pathOf(policy, [hurt('cut', 'n1')], hurt('cut', 'n2'))).toBe('policy.allowFaults.1.maxNodes');
  expect(pathOf(policy, [], hurt('cut', 'n2', 'n3'))).toBe('policy.allowFaults.1.maxNodes');
});

test.each([
  [1, [], ['n1'], false],
  [2, [], ['n1'], false],
  [3, [], ['n1'], true],
  [3, ['n1'], ['n2'], false],
  [4, ['n1'], ['n2'], false],
  [5, ['n1'], ['n2'], true],
  [5, ['n1', 'n2'], ['n3'], false],
])('of %i nodes, with %j hurt, hurting %j leaves a majority: %s', (nodes, before, coming, allowed) => {
  const standing = [hurt('kill', ...before)];
  expect(pathOf(target({}, { nodes }), standing, hurt('cut', ...coming))).toBe(allowed ? null : 'policy.allowQuorumLoss');
  expect(pathOf(target({ allowQuorumLoss: true }, { nodes }), standing, hurt('cut', ...coming))).toBeNull();
});

test('as many standbys stay whole as commits wait for, whichever node is the primary by then', () => {
  expect(pathOf(target({}, { syncStandbys: 1 }), [], hurt('kill', 'n1'))).toBeNull();
  expect(findForbidden(target({}, { syncStandbys: 2 }), [], hurt('kill', 'n3'))).toMatchObject({
    path: ['policy', 'allowQuorumLoss'],
    why: 'policy.allowQuorumLoss is false; with kill the faults that stand would hurt 1 node (n3), and leave 1 standby whole where commits wait for 2',
  });
});

test('a refusal names file and line of the key, of its parent where the default forbids, and never fails on what is no YAML', () => {
  const source = '# shop\nname: shop\npolicy:\n  allowFaults:\n    - noop\n    - fault: cut\n      maxNodes: 1\n  maxDrillMs: 1h\n';
  const at = (path: (string | number)[], text = source) => atLine({ source: text, sha256: '', file: 'shop.yaml' }, { path, why: 'no' });
  expect(at(['policy', 'allowFaults'])).toBe('shop.yaml:4: no');
  expect(at(['policy', 'allowFaults', 1, 'maxNodes'])).toBe('shop.yaml:7: no');
  expect(at(['policy', 'maxNodesAtOnce'])).toBe('shop.yaml:3: no');
  expect(at(['kind'])).toBe('shop.yaml:2: no');
  expect(at(['policy'], '{ "policy": { "a": ')).toBe('shop.yaml:1: no');
  expect(atLine({ source: '', sha256: '' }, { path: ['policy'], why: 'no' })).toBe('target file:1: no');
});
