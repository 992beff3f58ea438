/** Logs of agents as a drill reads them: a file from where it ended, a unit's journal since the drill began, and why there is nothing to read. */
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TargetAgent } from '../../model/target';
import { sampleTarget } from '../../test/sample-plan';
import { openLocalHost } from '../hosts/local';
import { openTarget } from '../open-target';
import type { LiveTarget } from '../ports';
import { collectExcerpts, markNodes } from './node-excerpts';

const dir = mkdtempSync(join(tmpdir(), 'gameday-excerpts-'));
const bin = join(dir, 'bin');
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const stamp = (): string => new Date().toISOString().replace('T', ' ').replace('.', ',').replace('Z', '');
const LOST = 'following a different leader because i am not the healthiest node';
const noticed = (node: string): string =>
  `${stamp()} WARNING: Request failed to ${node}: GET http://10.0.0.1:8008/patroni (secret)\n${stamp()} INFO: ${LOST}\n`;

/** Nodes on this machine, in UTC, with a journalctl of our own before the system's. */
function onPaper(agents: Readonly<Record<string, Partial<TargetAgent>>>): LiveTarget {
  const sample = sampleTarget();
  const nodes = sample.nodes.map((node) => {
    const agent = agents[node.name];
    return { ...node, agent: agent === undefined ? null : { find: ['true'], start: ['true'], ...agent } };
  });
  const target = { ...sample, nodes, controller: { kind: 'patroni' as const, scope: 's', syncStandbys: 0, api: {}, auth: null, dcs: [] } };
  return {
    ...openTarget(target),
    target,
    host: (name) => {
      const host = openLocalHost(nodes.find((node) => node.name === name) ?? nodes[0]!);
      const env = ['env', 'TZ=UTC', `PATH=${bin}:${process.env['PATH']}`];
      return { ...host, exec: (argv, options) => host.exec([...env, ...argv], options) };
    },
  };
}

function journalctl(script: string): void {
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, 'journalctl'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, 'journalctl'), 0o755);
}

test('a file is read from where it ended, a journal since then, and whoever has neither says so', async () => {
  const file = join(dir, 'patroni.log');
  writeFileSync(file, noticed('n3'));
  journalctl(`printf '%s' '${noticed('n1').trim()}'; echo; echo "$@" > ${dir}/asked`);
  const live = onPaper({ n1: { logFile: file }, n2: { journal: 'patroni@main' } });
  const marks = await markNodes(live);
  appendFileSync(file, noticed('n2'));
  const { agents, entries, files } = await collectExcerpts(live, marks);
  expect(agents?.map((log) => ('lines' in log ? log.lines.map(({ words }) => words) : log.notRecorded))).toEqual([
    ['Request failed to n2 (the rest is withheld)', LOST],
    ['Request failed to n1 (the rest is withheld)', LOST],
    'no controller’s agent runs beside this server',
  ]);
  const controller = entries.filter(({ what }) => what === 'controller log');
  expect(controller.map(({ node, notRecorded }) => [node, notRecorded ?? 'read'])).toEqual([
    ['n1', 'read'],
    ['n2', 'read'],
    ['n3', 'no controller’s agent runs beside this server'],
  ]);
  expect(files.find(({ name }) => name === 'n2/controller.log')?.text).toMatch(
    /WARNING: {2}Request failed to n1 \(the rest is withheld\)\n.* INFO: {2}following a different leader .*\n$/,
  );
  expect(files.map(({ text }) => text).join('')).not.toContain('secret');
  expect(readFileSync(join(dir, 'asked'), 'utf8')).toMatch(/ --unit patroni@main --since [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} UTC\n$/);
});

test('a journal that is empty or may not be read is not recorded, nor one whose host was set to another zone', async () => {
  journalctl('exit 1');
  const live = onPaper({ n1: { journal: 'patroni' }, n2: { find: ['true'] }, n3: { logFile: join(dir, 'patroni.log') } });
  const marks = (await markNodes(live)).map((mark) => ({ ...mark, utcOffset: '+0100' }));
  appendFileSync(join(dir, 'patroni.log'), noticed('n2'));
  const { agents } = await collectExcerpts(live, marks);
  expect(agents?.map((log) => ('lines' in log ? log.lines.length : log.notRecorded))).toEqual([
    'the journal holds nothing of patroni since the drill began, or may not be read',
    'the target names no log of the agent (agent.logFile or agent.journal)',
    'how far the host’s local time is from UTC could not be read, or it changed during the drill',
  ]);
});

test('a log that is not whole since the drill began bounds nothing, and says why; its excerpt stays', async () => {
  const [long, rotated, late] = ['long.log', 'rotated.log', 'late.log'].map((name) => join(dir, name)) as [string, string, string];
  writeFileSync(long, '');
  writeFileSync(rotated, noticed('n3'));
  const live = onPaper({ n1: { logFile: long }, n2: { logFile: rotated }, n3: { logFile: late } });
  const marks = await markNodes(live);
  appendFileSync(long, noticed('n2').repeat(1 + (6 * 1024 * 1024) / noticed('n2').length));
  renameSync(rotated, `${rotated}.1`);
  for (const file of [rotated, late]) writeFileSync(file, noticed('n1'));
  const { agents, entries } = await collectExcerpts(live, marks);
  expect(agents?.map((log) => ('lines' in log ? log.lines : log.notRecorded))).toEqual([
    expect.stringMatching(/^cut after 6291456 of [0-9]+ bytes$/),
    'the file is another one than when the drill began: read from its start',
    'nobody noted where it ended when the drill began: read from its start',
  ]);
  const controller = entries.filter(({ what }) => what === 'controller log');
  expect(controller.map(({ files, remark }) => [files.length, remark])).toEqual(
    (agents ?? []).map((log) => [1, 'notRecorded' in log ? log.notRecorded : '']),
  );
});
