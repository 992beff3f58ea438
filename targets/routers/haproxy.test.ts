import { parseServersState } from './haproxy';

// As HAProxy 2.6 printed it, with n1 admitted, n2 put into maintenance at run time and n3 never taken out of `disabled`.
const STATE = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change
2 primary 1 n1 127.0.63.11 2 4 1 1 10
2 primary 2 n2 127.0.63.12 0 1 1 1 10
2 primary 3 n3 127.0.63.13 0 5 1 1 10
3 other 1 n1 127.0.63.11 2 0 1 1 10
`;

test('a server is admitted when nothing keeps it away, whatever the configuration file said at start', () => {
  expect(parseServersState(STATE, 'primary')).toEqual([
    { name: 'n1', admitted: true },
    { name: 'n2', admitted: false },
    { name: 'n3', admitted: false },
  ]);
});

test('a format that is not known is an error, never "nobody is routed"', () => {
  expect(() => parseServersState('Unknown command', 'primary')).toThrow(/unknown format/);
});
