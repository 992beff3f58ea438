import { parseServersState } from './haproxy';

// As HAProxy 2.6.12 printed it, every server `disabled` in its file: n1 had been admitted and was put back, n2 is admitted, n3 never was.
const STATE = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
2 primary 1 n1 127.0.63.11 0 5 1 1 0 1 0 0 8 0 0 0 - 5432 - 0 0 - - 0
2 primary 2 n2 127.0.63.12 2 4 1 1 0 1 0 0 8 0 0 0 - 5432 - 0 0 - - 0
2 primary 3 n3 127.0.63.13 0 5 1 1 0 1 0 0 8 0 0 0 - 5432 - 0 0 - - 0

`;

test('a server is admitted when nothing keeps it away, whatever the configuration file said at start', () => {
  expect(parseServersState(STATE, 'primary')).toEqual([
    { name: 'n1', admitted: false, up: false },
    { name: 'n2', admitted: true, up: true },
    { name: 'n3', admitted: false, up: false },
  ]);
});

test('a format that is not known is an error, never "nobody is routed"', () => {
  expect(() => parseServersState('Unknown command', 'primary')).toThrow(/unknown format/);
});

test('servers of other backends are left out', () => {
  expect(parseServersState(STATE, 'other')).toEqual([]);
});
