/**
 * HAProxy as the router, steered over its runtime socket. What was asked is read back before it counts, and then written to the server-state file,
 * so that a restarted HAProxy leads where the old one led. Never edits HAProxy's configuration.
 */
import { connect } from 'node:net';
import { until } from '../../core/clock';
import { GamedayError, messageOf } from '../../core/errors';
import { writeFileDurably } from '../../core/files';
import type { TargetRouter } from '../../model/target';
import type { Router } from '../ports';

const COMMAND_TIMEOUT_MS = 2_000;
const READ_BACK_TIMEOUT_MS = 2_000;
const ANSWER_LIMIT = 1024 * 1024;
/** `srv_admin_state` bits that keep sessions away: FMAINT 1, IMAINT 2, FDRAIN 8, IDRAIN 16, RMAINT 32, HMAINT 64. CMAINT (4) only remembers the configuration file. HAProxy: include/haproxy/server-t.h */
const KEPT_AWAY = 0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x40;

/** `srv_op_state` of a server that its health checks call up. HAProxy: include/haproxy/server-t.h, SRV_ST_RUNNING */
const RUNNING = 2;

interface ServerState {
  readonly name: string;
  readonly admitted: boolean;
  /** By its health checks; a server without checks always is. */
  readonly up: boolean;
}

/** Admission of each server of `backend` in the output of `show servers state`; throws `router_unreachable` if the format is not the one known. */
export function parseServersState(text: string, backend: string): readonly ServerState[] {
  const header = text.split('\n').find((line) => line.startsWith('# '));
  const columns = header?.slice(2).trim().split(' ') ?? [];
  const [be, server, admin, op] = ['be_name', 'srv_name', 'srv_admin_state', 'srv_op_state'].map((column) => columns.indexOf(column));
  if (be === undefined || server === undefined || admin === undefined || op === undefined || Math.min(be, server, admin, op) < 0) {
    throw new GamedayError(
      'router_unreachable',
      `HAProxy's \`show servers state\` has an unknown format: ${text.slice(0, 120)}`,
      'gameday knows version 1 of that format.',
    );
  }
  return text
    .split('\n')
    .filter((line) => /^[0-9]+ /.test(line))
    .map((line) => line.split(' '))
    .filter((fields) => fields[be] === backend)
    .map((fields) => ({
      name: fields[server] ?? '',
      admitted: (Number(fields[admin]) & KEPT_AWAY) === 0,
      up: Number(fields[op]) === RUNNING,
    }));
}

/** One command on HAProxy's runtime socket, one connection; HAProxy closes it after its answer. Throws `router_unreachable`. */
export function askHaproxy(socketPath: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const socket = connect(socketPath);
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new GamedayError('router_unreachable', `${socketPath}: ${command}: ${messageOf(error)}`, null, { cause: error }));
    };
    const timer = setTimeout(() => fail(new Error(`no answer within ${COMMAND_TIMEOUT_MS} ms`)), COMMAND_TIMEOUT_MS);
    socket.once('error', fail);
    socket.once('connect', () => socket.write(`${command}\n`));
    socket.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > ANSWER_LIMIT) fail(new Error(`answer beyond ${ANSWER_LIMIT} bytes`));
      else chunks.push(chunk);
    });
    socket.once('end', () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
  });
}

/** The router over one HAProxy backend whose servers carry the nodes' names. `checked`: its own health checks decide who is led to, nobody steers it. */
export function openHaproxyRouter(router: TargetRouter, checked = false): Router {
  const { backend, socket } = router;
  const states = async (): Promise<readonly ServerState[]> =>
    parseServersState(await askHaproxy(socket, `show servers state ${backend}`), backend);

  async function command(text: string): Promise<void> {
    const answer = (await askHaproxy(socket, text)).trim();
    if (answer !== '')
      throw new GamedayError(
        'router_unreachable',
        `HAProxy refused "${text}": ${answer.slice(0, 200)}`,
        'the backend’s servers must carry the nodes’ names.',
      );
  }

  return {
    kind: 'haproxy',
    async steer(nodes) {
      const servers = await states();
      const unknown = nodes.filter((node) => !servers.some((server) => server.name === node));
      if (unknown.length > 0)
        throw new GamedayError(
          'router_unreachable',
          `HAProxy's backend ${backend} has no server ${unknown.join(', ')}`,
          'the backend’s servers must carry the nodes’ names.',
        );
      // Shut the old way before the new one opens: at no moment do two nodes receive clients.
      for (const server of servers.filter((each) => !nodes.includes(each.name))) {
        await command(`set server ${backend}/${server.name} state maint`);
        await command(`shutdown sessions server ${backend}/${server.name}`);
      }
      for (const node of nodes) await command(`set server ${backend}/${node} state ready`);
      const wanted = [...nodes].sort().join(' ');
      await until(
        async () =>
          (await states())
            .filter((server) => server.admitted)
            .map((server) => server.name)
            .sort()
            .join(' ') === wanted
            ? true
            : null,
        {
          timeoutMs: READ_BACK_TIMEOUT_MS,
          everyMs: 10,
          onTimeout: (last) =>
            new GamedayError(
              'router_unreachable',
              `HAProxy does not lead to ${wanted === '' ? 'nobody' : wanted} ${READ_BACK_TIMEOUT_MS} ms after it was told to: ${last === null ? 'read-back disagrees' : messageOf(last)}`,
            ),
        },
      );
      writeFileDurably(router.stateFile, await askHaproxy(socket, 'show servers state'), 0o644);
    },
    async routed() {
      return (await states()).filter((server) => server.admitted && (!checked || server.up)).map((server) => server.name);
    },
  };
}

/** For targets whose clients come in without a router that gameday could steer. */
export function openNoRouter(): Router {
  return { kind: 'none', steer: async () => undefined, routed: async () => [] };
}
