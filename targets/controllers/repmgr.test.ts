import { mkdtempSync, rmSync } from 'node:fs';
import type { LiveTarget } from '../ports';
import { paperCluster, type PaperNode } from './paper-cluster.test-data';
import { openRepmgrController } from './repmgr';
import type { RepmgrBook, RepmgrController } from './repmgr-book';

const CONTROLLER: RepmgrController = {
  kind: 'repmgr',
  syncStandbys: 0,
  config: { n1: '/etc/n1.conf', n2: '/etc/n2.conf', n3: '/etc/n3.conf' },
  program: null,
  metadata: { database: 'repmgr', user: 'repmgr', password: null },
};
const never = new AbortController().signal;
let dir: string;
beforeEach(() => (dir = mkdtempSync('/tmp/gd-repmgr-')));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Hosts on paper: every repmgr is noted as `node: words`; `onWords` may change the cluster, and says how it ended. The book names who writes, else n1. */
function open(nodes: Record<string, PaperNode>, conf: string, status: string, onWords: (node: string, words: string) => number = () => 0) {
  const ran: string[] = [];
  const stamps: string[] = [];
  const logs: Record<string, string> = {};
  const paper = paperCluster(CONTROLLER, dir, () => nodes);
  const live: LiveTarget = {
    ...paper,
    host: (name) => ({
      ...paper.host(name),
      readFile: async () => `${conf}log_file='/var/log/repmgr/${name}.log'\n`,
      postmaster: async () => (nodes[name]?.up === false ? null : { pid: 1, startTicks: '1', bootId: 'b' }),
      exec: async (argv) => {
        if (argv[0] === 'tail') return { code: 0, stdout: logs[name] ?? '', stderr: '' };
        const words = argv.slice(3).join(' ');
        if (words === 'service status --csv') return { code: 0, stdout: status, stderr: '' };
        ran.push(`${name}: ${argv[2] ?? ''} ${words}`);
        const code = onWords(name, words);
        return { code, stdout: '', stderr: code === 0 ? '' : 'ERROR: unable to run service command' };
      },
    }),
  };
  const book: RepmgrBook = {
    async members() {
      const primary = Object.entries(nodes).find(([, { up, inRecovery }]) => up !== false && !inRecovery)?.[0] ?? 'n1';
      return Object.keys(nodes).map((node) => ({
        node,
        role: node === primary ? 'primary' : 'standby',
        active: true,
        priority: 100,
        location: 'default',
      }));
    },
    checkpoint: async () => undefined,
  };
  const controller = openRepmgrController(live, CONTROLLER, book);
  const on = async (name: string, phase: string): Promise<void> => void stamps.push(`${name} ${phase}`);
  const failover = (candidate: string | null = null, timeoutMs = 3_000, since: string | null = null) =>
    controller.failover({ token: 't', candidate, since, timeoutMs, signal: never, on });
  return { controller, failover, ran, stamps, logs };
}

const LOST = (): Record<string, PaperNode> => ({
  n1: { up: false, inRecovery: false },
  n2: { inRecovery: true, lsn: '0/3000100' },
  n3: { inRecovery: true, lsn: '0/3000200' },
});
const DAEMONS = '1,n1,primary,0,-1,-1,-1,100,-1,default\n2,n2,standby,1,1,20488,0,100,0,default\n3,n3,standby,1,1,20501,0,100,0,default\n';
const promote = (nodes: Record<string, PaperNode>, node: string): void => {
  nodes[node] = { inRecovery: false, timeline: 2 };
};

test('a lost primary and no repmgrd: the most advanced standby is promoted by repmgr, and the other led over, once', async () => {
  const nodes = LOST();
  const { failover, ran } = open(nodes, 'failover=manual\n', '', (node, words) => {
    if (words === 'standby promote') promote(nodes, node);
    return 0;
  });
  expect(await failover()).toMatchObject({ from: 'n1', to: 'n3', timeline: 2 });
  expect(ran).toEqual(['n3: /etc/n3.conf standby promote', 'n2: /etc/n2.conf standby follow']);
  expect(await failover()).toMatchObject({ from: 'n1', to: 'n3' });
  expect(ran.filter((each) => each.includes('promote'))).toHaveLength(1);
});

test('where repmgrd acts by itself nobody is ordered to promote, and its log says when it noticed and chose', async () => {
  const nodes = LOST();
  const { failover, ran, stamps, logs } = open(nodes, 'failover=automatic\n', DAEMONS);
  const line = (second: number): string =>
    `[2026-11-24 03:56:0${second}] [WARNING] unable to reconnect to node "n1" (ID: 1) after 3 attempts\n` +
    `[2026-11-24 03:56:0${second}] [NOTICE] this node is the winner, will now promote itself and inform other nodes\n`;
  // Of a failover before this one.
  logs['n2'] = line(1);
  setTimeout(() => (logs['n2'] += line(7)), 300);
  setTimeout(() => promote(nodes, 'n2'), 900);
  expect(await failover()).toMatchObject({ from: 'n1', to: 'n2' });
  expect(ran).toEqual([]);
  const told = stamps.filter((each) => /^(detect|decide|promote) done$/.test(each));
  expect(told).toEqual(['detect done', 'decide done', 'promote done']);
  // A look before it that had not seen it: without one the instant could lie anywhere.
  expect(stamps.indexOf('detect done')).toBeGreaterThan(2);
});

test('repmgrd was quicker than the step: its promotion is taken, and nobody hands over once more', async () => {
  const nodes = LOST();
  promote(nodes, 'n2');
  const { failover, ran, stamps } = open(nodes, 'failover=automatic\n', DAEMONS);
  expect(await failover(null, 3_000, 'n1')).toMatchObject({ from: 'n1', to: 'n2', timeline: 2 });
  expect(ran).toEqual([]);
  expect(stamps.filter((each) => each.startsWith('promote'))).toEqual(['promote done']);
});

test('a paused repmgrd acts for nobody', async () => {
  const nodes = LOST();
  const { failover, ran } = open(nodes, 'failover=automatic\n', DAEMONS.replaceAll(/,0,100/g, ',1,100'), (node) => {
    promote(nodes, node);
    return 0;
  });
  expect(await failover('n2')).toMatchObject({ to: 'n2' });
  expect(ran[0]).toBe('n2: /etc/n2.conf standby promote');
});

test('a primary that cannot be stopped goes on as primary, and what repmgr said is told', async () => {
  const nodes = { ...LOST(), n1: { inRecovery: false } };
  const { failover, ran } = open(nodes, 'failover=automatic\n', '', (_node, words) => (words.startsWith('node service') ? 12 : 0));
  await expect(failover('n2')).rejects.toMatchObject({
    code: 'failover_failed',
    message: expect.stringMatching(/node service --action=stop --checkpoint` on n1 ended with 12: ERROR: unable to run service command/),
  });
  expect(ran).toEqual(['n1: /etc/n1.conf node service --action=stop --checkpoint']);
});

test('a pause is ordered of one node and believed when all that answer go by it; nobody is paused where nobody runs', async () => {
  const { controller, ran } = open(LOST(), '', DAEMONS);
  expect(await controller.automation?.isPaused()).toBe(false);
  expect(await controller.automation?.pausedAgents()).toEqual({ n1: null, n2: false, n3: false });
  await controller.automation?.setPaused(false);
  expect(ran).toEqual([]);
  // repmgr ends with an error while a node is down, and has told the others.
  const paused = open(LOST(), '', DAEMONS.replaceAll(/,0,100/g, ',1,100'), () => 26);
  await paused.controller.automation?.setPaused(true);
  expect(await paused.controller.automation?.isPaused()).toBe(true);
  await expect(open(LOST(), '', '').controller.automation?.setPaused(true)).rejects.toMatchObject({ code: 'step_failed' });
});

test('nobody may write where two do, and a candidate must answer', async () => {
  const { controller } = open({ ...LOST(), n1: { inRecovery: false }, n3: { inRecovery: false } }, '', '');
  expect(await Promise.all(['n1', 'n3'].map((node) => controller.mayWrite(node)))).toEqual([false, false]);
  await expect(open(LOST(), '', '').failover('n1')).rejects.toMatchObject({ code: 'no_candidate' });
  await expect(open(LOST(), '', '').controller.startNode('n2', { TZ: 'UTC' })).rejects.toMatchObject({ code: 'fault_refused' });
});
