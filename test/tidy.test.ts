/**
 * What the sources promise about themselves: every fault has its undo, test and line of documentation, every error code its hint and its use,
 * no file is dead or nameless, nothing names a registry or somebody's machine. Reads the tree only; says which file is at fault.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { ERRORS } from '../core/errors';
import { packageRoot } from '../core/files';
import { FAULTS } from '../faults/registry';

const root = packageRoot();
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Files of the checkout that git knows or would add. */
const tree = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(root, path)));
const code = tree.filter((path) => /\.(tsx?|mjs|js)$/.test(path));
const isTest = (path: string): boolean => path.startsWith('test/') || /\.test(-data)?\.tsx?$/.test(path);
const product = code.filter((path) => !isTest(path));

/** Files that are started, by a person, by the supervisor or by Temporal's bundler, and so imported by nobody. */
const ENTRY_POINTS = [
  /^test\/(replay-runner|record-history)\.js$/,
  /^test\/bench\/[a-z-]+\.mjs$/,
  /^test\/mutation\/(main\.mjs|check\.ts)$/,
  /^test\/run\.mjs$/,
  /^test\/(bench\/(measure|halt|failover|evidence|restore|audit)|crash\/(main|fuzz-main)|disasters\/main|restores\/main)\.ts$/,
  /^test\/calibration\/door\.js$/,
  /^infra\/bin\/.*$/,
  /^(cli|worker)\/main\.ts$/,
  /^workflows\/index\.ts$/,
  /^probe\/prober\.ts$/,
  /^faults\/guardian\/guardian\.ts$/,
  /^targets\/archives\/(native-archiver|unpack-thread)\.ts$/,
  /^infra\/supervisor\/(supervisor|restart-child)\.ts$/,
  /^[^/]*\.config\.m?js$/,
  /\.test\.tsx?$/,
  /^test\/live\/global-(setup|teardown)\.ts$/,
];

const IMPORT = /(?:from|import|require)\s*\(?\s*'(\.[^']*)'/g;

/** Paths, without extension, that a file imports from the tree. */
function importsOf(path: string): string[] {
  return [...read(path).matchAll(IMPORT)].map((match) => normalize(join(dirname(path), match[1] ?? '')).replace(/\.[cm]?[jt]sx?$/, ''));
}

describe('faults', () => {
  test.each(FAULTS.map((fault) => [fault.name, fault] as const))('%s can be undone and shown to be gone', (_name, fault) => {
    expect(typeof fault.undo).toBe('function');
    expect(typeof fault.confirmGone).toBe('function');
    expect(typeof fault.manualUndo).toBe('function');
    expect(fault.summary).toMatch(/\S/);
  });

  test('each stands in a file of its own, and a test of its own names it', () => {
    const tests = code.filter((path) => path.endsWith('.test.ts') && path !== 'test/tidy.test.ts');
    const isTested = (name: string): boolean =>
      tests.some((path) => basename(path) === `${name}.test.ts` || importsOf(path).includes(`faults/${name}`));
    expect(FAULTS.map((fault) => fault.name).filter((name) => !tree.includes(`faults/${name}.ts`) || !isTested(name))).toEqual([]);
  });

  test('every one has its line in docs/WRITING-A-FAULT.md', () => {
    const guide = tree.includes('docs/WRITING-A-FAULT.md') ? read('docs/WRITING-A-FAULT.md') : '';
    expect(FAULTS.map((fault) => fault.name).filter((name) => !guide.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('errors', () => {
  const elsewhere = product
    .filter((path) => path.endsWith('.ts') && path !== 'core/errors.ts')
    .map(read)
    .join('\n');

  test.each(Object.entries(ERRORS))('%s says what to do', (_code, kind) => {
    expect(kind.hint).toMatch(/\S\.$/);
  });

  test('each is thrown or handled somewhere', () => {
    expect(Object.keys(ERRORS).filter((name) => !elsewhere.includes(`'${name}'`))).toEqual([]);
  });
});

describe('files', () => {
  test('none is dead: each is imported by another or is an entry point', () => {
    const imported = new Set(code.flatMap((path) => importsOf(path)));
    const bare = (path: string): string => path.replace(/\.[cm]?[jt]sx?$/, '');
    expect(code.filter((path) => !imported.has(bare(path)) && !ENTRY_POINTS.some((entry) => entry.test(path)))).toEqual([]);
  });

  test('each opens with a comment that says what it is', () => {
    const withoutHashbang = (path: string): string => read(path).replace(/^#!.*\n/, '');
    expect(product.filter((path) => !/^\s*(\/\*\*|\/\/)/.test(withoutHashbang(path)))).toEqual([]);
  });

  test('each is named after the thing it holds, in kebab-case', () => {
    const names = code.map((path) => [path, basename(path)] as const);
    expect(names.filter(([, name]) => !/^[a-z0-9.-]+$/.test(name)).map(([path]) => path)).toEqual([]);
    expect(names.filter(([, name]) => /^(utils?|helpers?|common|misc)\./.test(name)).map(([path]) => path)).toEqual([]);
  });

  test('each product file exports by name only', () => {
    expect(product.filter((path) => path.endsWith('.ts') && /^export (default\b|\*)/m.test(read(path)))).toEqual([]);
  });

  test('none puts work off', () => {
    const marks = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`);
    expect(code.filter((path) => marks.test(read(path)))).toEqual([]);
  });

  test('none names a package registry or a path of the machine it was written on', () => {
    const hosts = [
      'npmjs' + '.org',
      'pypi' + '.org',
      'pythonhosted' + '.org',
      'proxy.go' + 'lang.org',
      'sum.go' + 'lang.org',
      'deb.deb' + 'ian.org',
      'crates' + '.io',
      'maven' + '.org',
    ];
    const machine = ['/wo' + 'rk/', '/tmp/to' + 'ols'];
    const text = tree.filter((path) => !/\.(png|jpg|gif|ico|gz|zst|bin)$/.test(path));
    const found = text.flatMap((path) =>
      [...hosts, ...machine].filter((word) => read(path).includes(word)).map((word) => `${path}: ${word}`),
    );
    expect(found).toEqual([]);
  });

  test('set-up itself needs no package', () => {
    const foreign = /^import .* from '(?!node:|\.)/m;
    expect(code.filter((path) => /^infra\/(setup|bin)\//.test(path) && foreign.test(read(path)))).toEqual([]);
  });
});

describe('the house rules that lint enforces', () => {
  const ask = (imports: readonly object[]): (string | null)[] => {
    const rule = JSON.stringify(join(root, 'infra', 'lint', 'house.mjs'));
    const program = `import { whyForbidden } from ${rule}; console.log(JSON.stringify(${JSON.stringify(imports)}.map(whyForbidden)));`;
    return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })) as (string | null)[];
  };
  const room = (from: string, to: string, typeOnly = false): object => ({ from, to, source: '../x', typeOnly });
  const foreign = (from: string, source: string): object => ({ from, to: null, source, typeOnly: false });

  test('what the design draws is allowed', () => {
    const allowed = [
      room('workflows/drill', 'activities/contract', true),
      room('workflows/drill', 'core/units'),
      room('activities/x', 'faults/registry'),
      room('evidence/x', 'probe/judge'),
      room('report/html', 'model/record', true),
      foreign('objects/s3-store', '@aws-sdk/client-s3'),
      foreign('workflows/drill', '@temporalio/workflow'),
    ];
    expect(ask(allowed)).toEqual(allowed.map(() => null));
  });

  test('what it does not draw is refused, with the reason', () => {
    const refused = [
      room('workflows/drill', 'activities/contract'),
      room('workflows/drill', 'core/clock'),
      room('model/plan', 'core/units'),
      room('report/html', 'evidence/layout'),
      room('faults/noop', 'probe/judge'),
      room('worker/main', 'targets/sql'),
      room('probe/prober', 'targets/ports'),
      room('attic/x', 'probe/judge'),
      foreign('workflows/drill', 'node:fs'),
      foreign('workflows/drill', 'zod'),
      foreign('model/plan', 'zod'),
      foreign('faults/noop', 'pg'),
      foreign('cli/main', '@aws-sdk/client-s3/dist'),
    ];
    expect(ask(refused).filter((why) => why === null)).toEqual([]);
  });
});

test('no two files of live tests share a network: what one left behind would be a stranger on the port of the next', () => {
  const users = new Map<string, Set<string>>();
  for (const path of tree.filter((each) => /^test\/live\/.*\.test\.ts$/.test(each)))
    for (const [net] of read(path).matchAll(/\b127\.0\.(?!0\.)\d{1,3}\b/g)) users.set(net, (users.get(net) ?? new Set()).add(path));
  expect([...users].filter(([, paths]) => paths.size > 1).map(([net, paths]) => `${net}: ${[...paths].join(', ')}`)).toEqual([]);
  expect(users.size).toBeGreaterThan(10);
});
