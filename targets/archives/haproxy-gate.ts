/**
 * HAProxy in front of the store: nodes reach S3 through it, and it can be told to answer by itself, as a store that is overloaded or turns everybody away.
 *
 *     node ──▶ link ──▶ gate ──▶ store          map empty: passes on
 *                        └─ 503, 403            map `all 503:<label>`: answers; the store sees nothing
 *
 * The map lives in HAProxy's memory: a restart opens the gate. It never edits HAProxy's configuration.
 */
import { GamedayError } from '../../core/errors';
import type { TargetArchiveGate } from '../../model/target';
import type { ArchiveGate, GateStatus } from '../ports';
import { askHaproxy } from '../routers/haproxy';

export const GATE_KEY = 'all';
/** As S3 spells them (API reference, "Error responses"), so that clients behave as they would. */
const ANSWERS: { readonly [status in GateStatus]: string } = {
  503: '<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>',
  403: '<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>',
};

/** Lines of HAProxy's configuration that make the gate: listens on `bind`, leads to `server`. The map's file must exist, empty. */
export function gateConfig(gate: { readonly bind: string; readonly server: string; readonly map: string }): string {
  const answers = Object.entries(ANSWERS).map(
    ([status, body]) =>
      `    http-request return status ${status} content-type application/xml string '${body}' if { str(${GATE_KEY}),map(${gate.map},open) -m beg ${status}: }`,
  );
  return [
    'frontend s3-gate',
    '    mode http',
    `    bind ${gate.bind}`,
    ...answers,
    '    default_backend s3-store',
    '',
    'backend s3-store',
    '    mode http',
    `    server s3 ${gate.server}`,
    '',
  ].join('\n');
}

export function openHaproxyGate({ socket, map }: TargetArchiveGate): ArchiveGate {
  const command = async (text: string): Promise<void> => {
    const answer = (await askHaproxy(socket, text)).trim();
    if (answer !== '')
      throw new GamedayError('store_unreachable', `HAProxy refused "${text}": ${answer.slice(0, 200)}`, 'archive.gate must name its map.');
  };
  const state: ArchiveGate['state'] = async () => {
    const text = await askHaproxy(socket, `show map ${map}`);
    const value = new RegExp(`^0x[0-9a-f]+ ${GATE_KEY} (.*)$`, 'm').exec(text)?.[1];
    if (value === undefined && text.trim() !== '')
      throw new GamedayError('store_unreachable', `HAProxy's map ${map}: ${text.trim().slice(0, 200)}`, 'archive.gate must name its map.');
    if (value === undefined) return null;
    const [status, ...label] = value.split(':');
    return { status: Number(status), label: label.join(':') };
  };
  return {
    state,
    async close(status, label) {
      const now = await state();
      if (now !== null && (now.label !== label || now.status !== status))
        throw new GamedayError('fault_refused', `the gate answers ${now.status} already, for ${now.label}`, 'heal that first.');
      if (now === null) await command(`add map ${map} ${GATE_KEY} ${status}:${label}`);
    },
    async open(label) {
      if ((await state())?.label === label) await command(`del map ${map} ${GATE_KEY}`);
    },
  };
}
