/** Recorded logs of Patroni 3.0.2 and 4.1.5, whose primary n1 was killed: what the table makes of them. */
import { readAgentLog } from './agent-instants';

const NAMES = ['n1', 'n2', 'n3'];
const OF_3_0 = `2026-11-29 14:20:43,895 INFO: no action. I am (n2), a secondary, and following a leader (n1)
2026-11-29 14:20:48,785 INFO: no action. I am (n2), a secondary, and following a leader (n1)
2026-11-29 14:20:48.942 UTC [10515] FATAL:  could not connect to the primary server: connection to server at "n1" (127.0.173.121), port 5432 failed
2026-11-29 14:20:48,960 WARNING: Request failed to n1: GET http://127.0.173.11:8008/patroni (HTTPConnectionPool(host='127.0.173.11', port=8008): Max retries exceeded)
2026-11-29 14:20:49,090 WARNING: Could not activate Linux watchdog device: "Can't open watchdog device: [Errno 2] No such file or directory: '/dev/watchdog'"
2026-11-29 14:20:49,187 INFO: promoted self to leader by acquiring session lock
server promoting
2026-11-29 14:20:49,192 INFO: cleared rewind state after becoming the leader
2026-11-29 14:20:49,188 INFO: Lock owner: n2; I am n2
`;
const OF_4_1 = `2026-11-29 14:23:24,262 INFO: no action. I am (n3), a secondary, and following a leader (n1)
2026-11-29 14:23:28,874 INFO: following a different leader because i am not the healthiest node
2026-11-29 14:23:28,875 INFO: Lock owner: n2; I am n3
2026-11-29 14:23:28,885 INFO: Local timeline=1 lsn=0/804A608
2026-11-29 14:23:28,942 INFO: no action. I am (n3), a secondary, and following a leader (n2)
`;

const told = (text: string, utcOffset = '+0000'): readonly string[] => {
  const log = readAgentLog('n2', text, utcOffset, NAMES);
  if ('notRecorded' in log) return [log.notRecorded];
  return log.lines.map(({ at, means, leader, words }) => `${at} ${means}${leader === null ? '' : ` ${leader}`}: ${words}`);
};

test('whoever takes the key: whom it followed, that it asked for positions, that it promoted; no address, no word of a server', () => {
  expect(told(OF_3_0)).toEqual([
    '2026-11-29T14:20:43.895Z names n1: no action. I am (n2), a secondary, and following a leader (n1)',
    '2026-11-29T14:20:48.960Z noticed: Request failed to n1 (the rest is withheld)',
    '2026-11-29T14:20:49.187Z decided: promoted self to leader by acquiring session lock',
    '2026-11-29T14:20:49.188Z names n2: Lock owner: n2; I am n2',
  ]);
});

test('whoever does not: that it noticed, and whom it found with the key', () => {
  expect(told(OF_4_1)).toEqual([
    '2026-11-29T14:23:24.262Z names n1: no action. I am (n3), a secondary, and following a leader (n1)',
    '2026-11-29T14:23:28.874Z noticed: following a different leader because i am not the healthiest node',
    '2026-11-29T14:23:28.875Z names n2: Lock owner: n2; I am n3',
  ]);
});

test.each([
  ['INFO: Lock owner: None; I am n2', 'noticed: Lock owner: None; I am n2'],
  ['ERROR: failed to update leader lock', 'noticed: failed to update leader lock'],
  ['INFO: Demoting self (immediate-nolock)', 'stepped down: Demoting self (immediate-nolock)'],
  [
    'INFO: demoted self because DCS is not accessible and I was a leader',
    'stepped down: demoted self because DCS is not accessible and I was a leader',
  ],
  ['INFO: Cleaning up failover key after acquiring leader lock...', 'decided: Cleaning up failover key after acquiring leader lock...'],
  [
    'INFO: promoted self to a standby leader by acquiring session lock',
    'decided: promoted self to a standby leader by acquiring session lock',
  ],
])('%s', (line, expected) => {
  expect(told(`2026-11-29 14:20:49,187 ${line}`)).toEqual([`2026-11-29T14:20:49.187Z ${expected}`]);
});

const GOT = 'INFO: Got response from n3 http://10.0.0.3:8008/patroni: {"state": "running"}';
const FAILED = 'WARNING: Request failed to n1: GET http://10.0.0.1:8008/patroni (timed out)';
const FOLLOWS = 'INFO: no action. I am (n2), a secondary, and following a leader (n1)';
const NOTICED = ['noticed: Got response from n3 (the rest is withheld)', 'noticed: Request failed to n1 (the rest is withheld)'];

test.each([
  ['a race that is lost', [GOT, FAILED, 'INFO: following a different leader because i am not the healthiest node'], NOTICED],
  ['a race that is won', [GOT, FAILED, 'INFO: promoted self to leader by acquiring session lock'], NOTICED],
  [
    'a race behind an order that came to nothing',
    [
      'INFO: received failover request with leader=None candidate=n2 scheduled_at=None',
      GOT,
      'INFO: Lock owner: n1; I am n2',
      FOLLOWS,
      GOT,
      FAILED,
      'INFO: promoted self to leader by acquiring session lock',
    ],
    NOTICED,
  ],
  // Recorded courses of an ordered change, as patroni/api.py and patroni/ha.py write them: the key is held when others are asked.
  [
    'a standby that is told to fail over',
    [
      'INFO: received failover request with leader=None candidate=n2 scheduled_at=None',
      GOT,
      FAILED,
      'INFO: Cleaning up failover key after acquiring leader lock...',
      'INFO: promoted self to leader by acquiring session lock',
    ],
    [],
  ],
  [
    'the leader that hands over',
    [
      'INFO: received switchover request with leader=n2 candidate=n3 scheduled_at=None',
      GOT,
      'INFO: Lock owner: n2; I am n2',
      GOT,
      'INFO: switchover: demoting myself',
    ],
    [],
  ],
  ['the leader that hands over, in 3.0', ['INFO: Lock owner: n2; I am n2', GOT, 'INFO: manual failover: demoting myself'], []],
  [
    'a standby that leaves the key to the one named',
    [GOT, 'INFO: switchover: to n3, i am n2', 'INFO: following a different leader because i am not the healthiest node'],
    [],
  ],
  [
    'the leader in failsafe mode',
    [
      'INFO: Got response from n3 http://10.0.0.3:8008/failsafe: Accepted',
      'INFO: continue to run as a leader because failsafe mode is enabled and all members are accessible',
      'INFO: Lock owner: n2; I am n2',
    ],
    [],
  ],
  ['nobody knows what came of it', [GOT, FAILED], []],
])('who is asked for a position tells that nobody leads only in a race: %s', (_name, rows, noticed) => {
  const log = told(rows.map((row, at) => `2026-11-29 14:20:49,10${at} ${row}`).join('\n'));
  expect(log.map((row) => row.slice('2026-11-29T14:20:49.100Z '.length)).filter((row) => /response|Request/.test(row))).toEqual(noticed);
});

test('stamps are the host’s local time, unless they name a zone themselves; what they leave out is their resolution', () => {
  const line = (stamp: string): string => `${stamp} INFO: Lock owner: None; I am n2`;
  expect(told(line('2026-11-29 14:20:49,187'), '+0130')[0]).toMatch(/^2026-11-29T12:50:49\.187Z/);
  expect(told(line('2026-11-29 14:20:49 -0500'), '+0130')[0]).toMatch(/^2026-11-29T19:20:49\.000Z/);
  const resolutions = ['2026-11-29 14:20:49', '2026-11-29 14:20:49,1', '2026-11-29 14:20:49,187', '2026-11-29 14:20:49.187654'].map(
    (stamp) => {
      const log = readAgentLog('n2', line(stamp), '+0000', NAMES);
      return 'lines' in log ? log.lines[0]?.resolutionMs : null;
    },
  );
  expect(resolutions).toEqual([1_000, 100, 1, 1]);
});

test('a log of JSON objects is read as one of lines is', () => {
  const json = (asctime: string, message: string): string => JSON.stringify({ asctime, levelname: 'INFO', message, process: 7 });
  const lines = [
    '{"asctime": "2026-11-29 14:20:49,186", "levelname": "INFO", "mess',
    json('2026-11-29 14:20:49,187', 'Lock owner: None; I am n2'),
    json('2026-11-29 14:20:49,188', 'Got response from n3 http://10.0.0.3:8008/patroni: {"state": "running"}'),
    json('2026-11-29 14:20:49 -0500', 'promoted self to leader by acquiring session lock'),
  ];
  expect(told(lines.join('\n'))).toEqual([
    '2026-11-29T14:20:49.187Z noticed: Lock owner: None; I am n2',
    '2026-11-29T14:20:49.188Z noticed: Got response from n3 (the rest is withheld)',
    '2026-11-29T19:20:49.000Z decided: promoted self to leader by acquiring session lock',
  ]);
});

test('a log that nobody can read says so; an empty one tells nothing', () => {
  const unread = 'no line of the log bears a time and a severity as Patroni writes them';
  expect(told('{"time": "2026-11-29 14:20:49,187", "level": "INFO", "message": "Lock owner: None; I am n2"}')).toEqual([unread]);
  expect(told('{"asctime": 1, "levelname": "INFO", "message": "Lock owner: None; I am n2"}\nnull\n7')).toEqual([unread]);
  expect(told('')).toEqual([]);
});
