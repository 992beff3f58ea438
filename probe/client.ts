/** Calls to a prober over its unix socket. Holds no connection between calls, so a restarted caller attaches by the socket's path alone. */
import { callRpc } from '../core/rpc';
import type { ProberCalls } from './contract';

/** Every call throws `prober_unreachable` when nobody answers in time (5 s; `stop` 20 s, because operations in flight are awaited). */
export function openProber(socket: string): ProberCalls {
  const call = <T>(name: string, params: unknown, timeoutMs = 5_000): Promise<T> =>
    callRpc<T>(socket, name, params, { timeoutMs, unreachable: 'prober_unreachable' });
  return {
    status: () => call('status', null),
    renew: async () => {
      await call<null>('renew', null);
    },
    receipt: (receipt) => call('receipt', receipt),
    window: (request) => call('window', request),
    stop: () => call('stop', null, 20_000),
  };
}
