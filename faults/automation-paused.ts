/**
 * The controller's automation is switched off, as before maintenance, and forgotten: from now on nobody is promoted and nothing is restarted by itself.
 * Clients notice nothing until something else breaks. Undo switches it on again, and never a pause that was somebody else's.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { GamedayError } from '../core/errors';
import type { FaultProof } from '../model/fault';
import type { Target, TargetController } from '../model/target';
import { commandLine, quoteWord } from '../targets/hosts/shell-words';
import type { Automation, LiveTarget } from '../targets/ports';
import { onHost, secretWord } from './by-hand';
import type { Fault } from './contract';

const schema = z.strictObject({});
type Settings = z.infer<typeof schema>;
type Resolved = { readonly controller: string };

/** Asked of one member after the other until one takes it. */
function resumePatroni({ api, auth }: Extract<TargetController, { kind: 'patroni' }>): string {
  const urls = Object.values(api).map((url) => quoteWord(`${url.replace(/\/+$/, '')}/config`));
  const curl = `curl -fsS -m 5 ${auth === null ? '' : '-K - '}-X PATCH -H 'Content-Type: application/json' -d '{"pause":null}' "$url"`;
  const login = auth === null ? '' : `printf 'user = "%s:%s"\\n' ${quoteWord(auth.user)} ${secretWord(auth.password ?? 'env:NONE')} | `;
  return `for url in ${urls.join(' ')}; do ${login}${curl} && break; done`;
}

function resumeRepmgr({ nodes }: Target, { config, program }: Extract<TargetController, { kind: 'repmgr' }>): string {
  return nodes
    .map((node) =>
      onHost(node, commandLine([program ?? join(node.binDir, 'repmgr'), '-f', config[node.name] ?? '', 'service', 'unpause']), 'node'),
    )
    .join(' || ');
}

function resumeByHand(target: Target): readonly string[] {
  const { controller } = target;
  if (controller.kind === 'patroni') return [resumePatroni(controller)];
  if (controller.kind === 'repmgr') return [resumeRepmgr(target, controller)];
  return [`# nothing that ${controller.kind} does by itself can be paused`];
}

function automationOf({ target, controller }: LiveTarget): Automation {
  if (controller.automation === undefined)
    throw new GamedayError(
      'fault_refused',
      `the controller of ${target.name} (${controller.kind}) has no automation that gameday could pause`,
      'this fault needs a controller with a maintenance mode, such as Patroni’s, or repmgrd.',
    );
  return controller.automation;
}

/** By the agents' own word: the controller's book says what they should do, not what they do. */
async function askAgents(live: LiveTarget, paused: boolean): Promise<FaultProof> {
  const agents = Object.entries(await automationOf(live).pausedAgents());
  const answering = agents.filter(([, said]) => said !== null);
  const said = agents.map(([node, word]) => `${node} is ${word === null ? 'silent' : word ? 'paused' : 'at work'}`);
  return {
    holds: answering.length > 0 && answering.every(([, word]) => word === paused),
    by: `the agents, asked one by one: ${said.join(', ')}`,
    facts: { controller: live.controller.kind },
  };
}

export const automationPaused: Fault<Settings, Resolved> = {
  name: 'automation-paused',
  summary: 'switches the controller’s automation off, as maintenance that somebody forgot to end',
  schema,
  mayLoseWrites: () => false,
  async resolve(_settings, { live }) {
    automationOf(live);
    return { controller: live.controller.kind };
  },
  preview: ({ controller }) => `pause ${controller}: nobody is promoted or restarted by itself`,
  reach: () => ({ nodes: [] }),
  manualUndo: (_resolved, target) => resumeByHand(target),
  async ready(_settings, { live }) {
    const paused = await automationOf(live).isPaused();
    return [
      {
        name: `${live.controller.kind} is at work`,
        ok: !paused,
        found: paused ? 'paused by somebody' : 'not paused',
        expected: 'not paused',
        hint: paused ? 'a pause that somebody else made is theirs to end: `patronictl resume`, `repmgr service unpause`.' : null,
      },
    ];
  },
  async inject(_resolved, { live, memory }) {
    const automation = automationOf(live);
    if (memory.read()?.['ours'] !== true) {
      if (await automation.isPaused())
        throw new GamedayError('fault_refused', `${live.controller.kind} of ${live.target.name} is paused already, by somebody else`);
      memory.write({ ours: true });
    }
    await automation.setPaused(true);
    return {};
  },
  confirm: (_resolved, { live }) => askAgents(live, true),
  async undo(_resolved, { live, memory }) {
    if (memory.read()?.['ours'] === true) await automationOf(live).setPaused(false);
  },
  confirmGone: (_resolved, { live }) => askAgents(live, false),
};
