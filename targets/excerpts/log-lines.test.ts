import { openAgentMessages } from './agent-messages';
import { readKernelLog } from './kernel-log';
import { readAgentLine, readServerLine, redactLog, withoutServerWords } from './log-lines';
import { openServerMessages } from './server-messages';

const say = openServerMessages(['n1', 'n2']);
const server = (text: string) => redactLog(text, readServerLine, say);
const at = '2026-11-28 20:01:32.123 UTC';

test('what recovery, replication and shutdown say is kept, with time and process and nothing else of the prefix', () => {
  const said = [
    'database system is ready to accept connections',
    'starting PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit',
    'redo starts at 0/4000028',
    'redo done at 0/5003A28 system usage: CPU: user: 0.01 s, system: 0.00 s, elapsed: 1.20 s',
    'invalid record length at 0/5003A60: wanted 24, got 0',
    'received promote request',
    'selected new timeline ID: 2',
    'started streaming WAL from primary at 0/5000000 on timeline 2',
    'standby "n2" is now a synchronous standby with priority 1',
    'server process (PID 4711) was terminated by signal 9: Killed',
    'checkpoint complete: wrote 44 buffers (0.3%); 0 WAL file(s) added, 0 removed, 1 recycled; write=0.011 s, sync=0.002 s, total=0.020 s; sync files=12, longest=0.001 s, average=0.001 s; distance=16384 kB, estimate=16384 kB',
    'could not extend file "base/16384/16391": No space left on device',
    'the database system is in recovery mode',
  ];
  const { lines, withheld, dropped } = server(said.map((text) => `${at} [4711] mira@people from 10.1.2.3 LOG:  ${text}\n`).join(''));
  expect(lines).toEqual(said.map((text) => `${at} [4711] LOG:  ${text}`));
  expect([withheld, dropped]).toEqual([0, 0]);
});

test.each([
  'ERROR:  duplicate key value violates unique constraint "people_pkey"',
  'ERROR:  invalid input syntax for type integer: "Ada Lovelace"',
  'LOG:  redo starts at Ada Lovelace',
  'WARNING:  selected new timeline ID: 2 for Ada Lovelace',
  'LOG:  standby "Ada Lovelace" is now a synchronous standby with priority 1',
  "LOG:  duration: 12.1 ms  statement: select * from people where name = 'Ada Lovelace'",
  'LOG:  connection authorized: user=ada database=people application_name=Ada Lovelace',
  'FATAL:  password authentication failed for user "ada.lovelace"',
  'NOTICE:  Ada Lovelace LOG:  redo starts at Ada Lovelace',
])('%s is withheld: its time and severity stay', (text) => {
  const { lines, withheld } = server(`${at} [7] ${text}`);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^2026-11-28 20:01:32\.123 UTC \[7\] [A-Z]+:  \(withheld\)$/);
  expect(withheld).toBe(1);
});

test('details, statements, continuations and lines that nobody can read are dropped and counted', () => {
  const { lines, dropped } = server(
    `${at} [7] LOG:  redo starts at 0/1\n${at} [7] DETAIL:  Key (name)=(Ada) exists.\n\tADA LOG:  redo starts at 0/2\n${at} [7] STATEMENT:  select 'Ada'\nAda\n`,
  );
  expect(lines).toEqual([`${at} [7] LOG:  redo starts at 0/1`]);
  expect(dropped).toBe(4);
});

test('what repeats without a break stands once, with how often', () => {
  expect(server(`${at} [1] ERROR:  x\n${at} [2] ERROR:  y\n${at} [3] ERROR:  z\n${at} [4] LOG:  shutting down\n`).lines).toEqual([
    `${at} [1] ERROR:  (withheld)`,
    '… the same 2 times more',
    `${at} [4] LOG:  shutting down`,
  ]);
});

test('a message whose end may say too much is cut there', () => {
  expect(server(`${at} [1] LOG:  parameter "primary_conninfo" changed to "user=ada password=x"`).lines[0]).toMatch(
    /parameter "primary_conninfo" changed \(the rest is withheld\)$/,
  );
});

test('agents: leadership and roles by the target’s own names; whatever else is withheld', () => {
  const text = [
    '2026-11-28 20:01:32,123 INFO: no action. I am (n1), the leader with the lock',
    '2026-11-28 20:01:33,123 INFO: Lock owner: None; I am n2',
    '2026-11-28 20:01:34,123 ERROR: connection to server failed: postgresql://ada:secret@db',
    '20:01:35 4711 INFO  FSM transition from "primary" to "draining": A failover occurred',
    '[2026-11-28 20:01:36] [WARNING] unable to connect to upstream node "n1" (ID: 1)',
    'Traceback (most recent call last):',
  ].join('\n');
  const { lines, withheld, dropped } = redactLog(text, readAgentLine, openAgentMessages(['n1', 'n2']));
  expect(lines.join('\n')).not.toMatch(/ada|secret/);
  expect(lines).toHaveLength(5);
  expect(lines[3]).toBe('20:01:35 [4711] INFO:  FSM transition from "primary" to "draining": A failover occurred');
  expect([withheld, dropped]).toEqual([1, 1]);
});

test('a host’s kernel log: what kills a database, from when the drill began, and nothing else', () => {
  const text = [
    '2026-11-28T20:00:00,000001+00:00 Out of memory: Killed process 1 (postgres) total-vm:1kB',
    '2026-11-28T22:01:32,123456+02:00 Out of memory: Killed process 2 (postgres) total-vm:1kB, anon-rss:2kB',
    '2026-11-28T20:01:33,123456+00:00 Out of memory: Killed process 3 (ada-backup)',
    '2026-11-28T20:01:34,123456+00:00 EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ada',
  ].join('\n');
  const { lines, dropped } = readKernelLog(text, '2026-11-28T20:01:00Z');
  expect(lines).toEqual([
    '2026-11-28T22:01:32 Out of memory: Killed process 2 (postgres)',
    '2026-11-28T20:01:34 EXT4-fs error (device sda1): ext4_find_entry',
  ]);
  expect(dropped).toBe(1);
});

test('what a program repeats of a server is left out, the rest stays', () => {
  const text =
    "failover script 1.2\npsql:run.sql:3: ERROR:  the customer Ada is not known\nDETAIL:  Ada\nLINE 1: select 'Ada'\n               ^\npsql: FATAL:  the database system is starting up";
  expect(withoutServerWords(text, say)).toBe(
    'failover script 1.2\npsql:run.sql:3: ERROR:  (withheld)\npsql: FATAL:  the database system is starting up',
  );
});
