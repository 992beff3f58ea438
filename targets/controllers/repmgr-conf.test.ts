import { isAutomatic, parseRepmgrConf, parseServiceStatus, repmgrBand } from './repmgr-conf';

const FILE = `# repmgr.conf
node_id=2
node_name='n2'
conninfo='host=10.0.0.12 user=repmgr dbname=repmgr connect_timeout=2'	# how others reach it
data_directory = '/var/lib/postgresql/15/main'
#failover=manual
failover=automatic
promote_command='repmgr standby promote -f /etc/repmgr.conf --log-to-file'
service_start_command='sudo systemctl start ''postgresql@15-main'''
reconnect_attempts=3
reconnect_interval=4   # seconds
`;

test('its file is read with quotes or without, and comments are not', () => {
  expect(parseRepmgrConf(FILE)).toMatchObject({
    node_id: '2',
    node_name: 'n2',
    conninfo: 'host=10.0.0.12 user=repmgr dbname=repmgr connect_timeout=2',
    data_directory: '/var/lib/postgresql/15/main',
    failover: 'automatic',
    service_start_command: "sudo systemctl start 'postgresql@15-main'",
    reconnect_interval: '4',
  });
  expect(isAutomatic(parseRepmgrConf('#failover=automatic\n'))).toBe(false);
});

// As repmgr 5.3.3 printed it.
const BEFORE = '1,n1,primary,1,0,-1,0,100,-1,default\n2,n2,standby,1,0,-1,0,100,-1,default\n';
const LOST = '1,n1,primary,0,-1,-1,-1,100,-1,default\n2,n2,primary,1,1,20488,0,100,-1,default\n3,n3,standby,1,1,20501,1,100,0,default\n';

test('which daemons run, and which of them are paused', () => {
  expect(parseServiceStatus(BEFORE).map(({ node, running }) => [node, running])).toEqual([
    ['n1', false],
    ['n2', false],
  ]);
  expect(parseServiceStatus(LOST)).toEqual([
    { node: 'n1', running: false, paused: null },
    { node: 'n2', running: true, paused: false },
    { node: 'n3', running: true, paused: true },
  ]);
  expect(parseServiceStatus('ERROR: connection to database failed\n')).toEqual([]);
});

test('the predicted time is made of monitor interval and attempts; repmgr’s defaults where the file is silent', () => {
  const band = repmgrBand(parseRepmgrConf(FILE), true);
  expect(band?.segments[0]).toMatchObject({ name: 'detection', lowMs: 8_000, highMs: 2 * 2_000 + 3 * 4_000 + 4 * 2_000 });
  expect(band?.segments.map(({ name }) => name)).toEqual(['detection', 'decision', 'promotion', 'routing', 'client recovery']);
  expect(repmgrBand({ failover: 'automatic' }, false)?.segments[0]).toMatchObject({ lowMs: 50_000, highMs: 64_000 });
});

test('where standbys must agree that the primary is gone, a second election is counted', () => {
  const decision = (conf: object): unknown => repmgrBand({ failover: 'automatic', ...conf }, false)?.segments[1];
  expect(decision({})).toMatchObject({ lowMs: 0, highMs: 5_000 });
  expect(decision({ primary_visibility_consensus: 'true' })).toMatchObject({ highMs: 20_000 });
  expect(decision({ primary_visibility_consensus: 'true', election_rerun_interval: '3' })).toMatchObject({ highMs: 8_000 });
});

test('nothing is predicted where nobody promotes by itself, which is repmgr’s default', () => {
  expect(repmgrBand({}, true)).toBeNull();
  expect(repmgrBand({ failover: 'manual' }, true)).toBeNull();
});
