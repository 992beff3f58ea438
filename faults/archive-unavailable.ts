/**
 * Takes the archive away from nodes while PostgreSQL goes on: WAL piles up, and what is lost now could not be restored.
 *
 *     down         node ──✂── gate ── S3     silence on the node's link
 *     slow         node ──⏳── gate ── S3     every answer comes `latency` later
 *     error-503    node ───── gate 503       "SlowDown", by the proxy in front of the store, to every node
 *     denied-403   node ───── gate 403       "AccessDenied", likewise
 *
 * It never touches the store itself nor anything in it; gameday's own way to the store stays open.
 */
import { z } from 'zod';
import { bootTimeMs } from '../core/clock';
import { GamedayError } from '../core/errors';
import { formatMs, parseDurationMs } from '../core/units';
import type { JsonObject } from '../model/json';
import type { FaultProof } from '../model/fault';
import type { CheckResult } from '../model/record';
import { nativeArchiveOf, type Target, type TargetLink } from '../model/target';
import { GATE_KEY } from '../targets/archives/haproxy-gate';
import { quoteWord } from '../targets/hosts/shell-words';
import type { ArchiveDoor, ArchiveGate, GateStatus, LiveTarget, StoreAnswer } from '../targets/ports';
import { requireDoor } from './archive-objects';
import { OUR_LABEL, type Fault, type FaultContext, type Stray } from './contract';
import { durationMs, durationSchema } from './link-settings';
import { manualToxicRemoval, proveLinksClear, removeToxics, unblockLinks, type PlacedToxic } from './link-undo';
import { requireLinks } from './resolve-links';
import { resolveNodes } from './resolve-node';

/** Silence this long, while the store answers past the link, is no slowness. */
const SILENCE_MS = 1_500;
const ANSWER_WITHIN_MS = 5_000;
const TRIES = 4;
const SLOW_TRIES = 3;
/** After that only the store itself is asked again: a proof has 30 s. */
const SLOW_AGAIN_MS = 5_000;
/** With a little more, and what the store itself takes, it must come within the time that a proof has. */
const MOST_LATENCY_MS = 12_000;
const LEAST_LATENCY_MS = 500;

const HOW = ['down', 'slow', 'error-503', 'denied-403'] as const;
type How = (typeof HOW)[number];
const STATUS: { readonly [how in How]: GateStatus | null } = { down: null, slow: null, 'error-503': 503, 'denied-403': 403 };

/** What is no duration at all is told by its own schema. */
const inRange = (text: string): boolean => {
  const ms = parseDurationMs(text) ?? LEAST_LATENCY_MS;
  return ms >= LEAST_LATENCY_MS && ms <= MOST_LATENCY_MS;
};

const schema = z
  .strictObject({
    how: z.enum(HOW).default('down'),
    nodes: z.string().min(1).max(63).default('all').describe('all, primary, any-standby, standbys or a node’s name'),
    latency: durationSchema
      .refine(inRange, 'latency lies between 500ms and 12s')
      .default('3s')
      .describe('slow: what every answer takes longer'),
  })
  .refine((s) => STATUS[s.how] === null || s.nodes === 'all', { message: 'a gate answers all nodes alike', path: ['nodes'] });
type Settings = z.infer<typeof schema>;
type TargetLinkJson = { [K in keyof TargetLink]: TargetLink[K] };
type Resolved = {
  readonly how: How;
  /** Whose way to the store it is. */
  readonly nodes: readonly string[];
  /** Empty where the gate does it. */
  readonly links: readonly TargetLinkJson[];
  readonly label: string;
  readonly latencyMs: number;
};

function place({ how, links, label, latencyMs }: Resolved): PlacedToxic[] {
  return links.flatMap((link): PlacedToxic[] =>
    how === 'slow'
      ? [
          {
            link,
            toxic: { name: label, type: 'latency', stream: 'downstream', toxicity: 1, attributes: { latency: latencyMs, jitter: 0 } },
          },
        ]
      : (['upstream', 'downstream'] as const).map((stream) => ({
          link,
          toxic: { name: `${label}-${stream}`, type: 'timeout', stream, toxicity: 1, attributes: { timeout: 0 } },
        })),
  );
}

function requireGate(live: LiveTarget): ArchiveGate {
  const { gate } = requireDoor(live);
  if (gate === null)
    throw new GamedayError(
      'fault_refused',
      `target ${live.target.name} has no gate in front of its archive's store`,
      'a store that answers 503 or 403 is rehearsed by a proxy in front of it: name it under archive.gate. how: down needs none.',
    );
  return gate;
}

async function linksOf(live: LiveTarget, nodes: readonly string[]): Promise<readonly TargetLink[]> {
  const links = requireLinks(live);
  return nodes.map((node) => {
    const link = links.find(node, 's3');
    if (link === null)
      throw new GamedayError(
        'fault_refused',
        `target ${live.target.name} has no link from ${node} to s3`,
        'links are declared in the target under `links.list`.',
      );
    return link;
  });
}

async function resolve(settings: Settings, context: FaultContext): Promise<Resolved> {
  const { live, label } = context;
  const { how } = settings;
  requireDoor(live);
  const all = live.target.nodes.map((node) => node.name);
  const nodes = settings.nodes === 'all' ? all : await resolveNodes(live, settings.nodes);
  if (STATUS[how] !== null) requireGate(live);
  const links = STATUS[how] === null ? (await linksOf(live, nodes)).map((link) => ({ ...link })) : [];
  return { how, nodes, links, label, latencyMs: how === 'slow' ? durationMs(settings.latency) : 0 };
}

const words = (answer: StoreAnswer): string =>
  answer.answered ? `${answer.status} after ${formatMs(answer.ms)}` : `${answer.reason} after ${formatMs(answer.ms)}`;

const works = (answer: StoreAnswer): boolean => answer.answered && (answer.status < 300 || answer.status === 404);

/** Is this answer what the fault promises, where the store itself answers `past`? */
function bites({ how, latencyMs }: Resolved, through: StoreAnswer, past: StoreAnswer): boolean {
  if (!works(past)) return false;
  switch (how) {
    case 'down':
      return !through.answered && through.silent;
    case 'slow':
      return works(through) && through.ms - past.ms >= 0.8 * latencyMs;
    case 'error-503':
    case 'denied-403':
      return through.answered && through.status === STATUS[how];
  }
}

/** The quicker of two that work; one that works, when the other does not. */
function better(one: StoreAnswer, other: StoreAnswer): StoreAnswer {
  if (!works(one)) return other;
  return works(other) && other.ms < one.ms ? other : one;
}

interface Asked {
  readonly past: StoreAnswer;
  readonly answers: readonly { readonly node: string; readonly answer: StoreAnswer }[];
}

async function askAll({ how, nodes, latencyMs }: Resolved, door: ArchiveDoor): Promise<Asked> {
  const past = await door.ask(null, ANSWER_WITHIN_MS);
  const timeoutMs = how === 'down' ? SILENCE_MS : latencyMs + ANSWER_WITHIN_MS;
  return { past, answers: await Promise.all(nodes.map(async (node) => ({ node, answer: await door.ask(node, timeoutMs) }))) };
}

/** Silence twice: one that lasts as long as a store's own pause is over by then. */
async function askSilenced(resolved: Resolved, door: ArchiveDoor): Promise<Asked> {
  const first = await askAll(resolved, door);
  return first.answers.every(({ answer }) => bites(resolved, answer, first.past)) ? askAll(resolved, door) : first;
}

/**
 * The quickest of a few on both ways, in turn: what else a machine does only ever lengthens, and the first request of all takes longest. A long latency needs
 * no second look, only a quick answer of the store itself.
 */
async function askSlowed(resolved: Resolved, door: ArchiveDoor): Promise<Asked> {
  const untilMs = bootTimeMs() + SLOW_AGAIN_MS;
  let { past, answers } = await askAll(resolved, door);
  const seen = (): boolean => answers.every(({ answer }) => bites(resolved, answer, past));
  for (let n = 1; n < SLOW_TRIES; n += 1) {
    const again = bootTimeMs() < untilMs;
    if (seen() && (n > 1 || !again)) break;
    const next = again ? await askAll(resolved, door) : { past: await door.ask(null, ANSWER_WITHIN_MS), answers };
    past = better(past, next.past);
    answers = answers.map(({ node, answer }, at) => ({ node, answer: better(answer, next.answers[at]?.answer ?? answer) }));
  }
  return { past, answers };
}

async function confirm(resolved: Resolved, { live }: FaultContext): Promise<FaultProof> {
  const door = requireDoor(live);
  const ask = { slow: askSlowed, down: askSilenced, 'error-503': askAll, 'denied-403': askAll }[resolved.how];
  const { past, answers } = await ask(resolved, door);
  return {
    holds: answers.every(({ answer }) => bites(resolved, answer, past)),
    by: `S3 requests as ${answers.map(({ node, answer }) => `${node}: ${words(answer)}`).join('; ')}; straight to the store: ${words(past)}`,
    facts: { how: resolved.how, nodes: resolved.nodes },
  };
}

async function inject(resolved: Resolved, { live }: FaultContext): Promise<JsonObject> {
  const status = STATUS[resolved.how];
  if (status !== null) await requireGate(live).close(status, resolved.label);
  const links = resolved.links.length === 0 ? null : requireLinks(live);
  for (const { link, toxic } of place(resolved)) await links?.addToxic(link, toxic);
  return { how: resolved.how, nodes: resolved.nodes };
}

async function undo(resolved: Resolved, context: FaultContext): Promise<void> {
  if (STATUS[resolved.how] !== null) return requireGate(context.live).open(resolved.label);
  await removeToxics(place(resolved), context);
  await unblockLinks(place(resolved), context);
}

/** The first answer within the limit, else the last of a few: a busy machine makes one of them slow, a toxic all. */
async function askUntilQuick(ask: () => Promise<StoreAnswer>, limitMs: number): Promise<StoreAnswer> {
  let answer = await ask();
  for (let n = 1; n < TRIES && works(answer) && answer.ms > limitMs; n += 1) answer = await ask();
  return answer;
}

async function confirmGone(resolved: Resolved, context: FaultContext): Promise<FaultProof> {
  const { live, label } = context;
  const door = requireDoor(live);
  if (resolved.links.length > 0) {
    const clear = await proveLinksClear(place(resolved), context, async () => null);
    if (!clear.holds) return clear;
  }
  const past = await door.ask(null, ANSWER_WITHIN_MS);
  if (!works(past))
    return { holds: true, by: `nothing of ours is in the way; the store itself: ${words(past)}`, facts: { nodes: resolved.nodes } };
  const limit = resolved.how === 'slow' ? resolved.latencyMs / 2 : ANSWER_WITHIN_MS;
  for (const node of resolved.nodes) {
    const answer = await askUntilQuick(() => door.ask(node, ANSWER_WITHIN_MS), limit);
    if (!works(answer) || answer.ms > limit) return { holds: false, by: `an S3 request as ${node}: ${words(answer)}`, facts: { node } };
    await door.exchange(node, label, ANSWER_WITHIN_MS);
  }
  return { holds: true, by: `as ${resolved.nodes.join(', ')} an object was put, read back and removed`, facts: { nodes: resolved.nodes } };
}

async function ready(settings: Settings, context: FaultContext): Promise<readonly CheckResult[]> {
  const { live } = context;
  const checks: CheckResult[] = [];
  if (STATUS[settings.how] !== null) {
    const gate = live.archive?.door?.gate ?? null;
    const state = gate === null ? null : await gate.state();
    const found = gate === null ? 'none' : state === null ? 'passes on' : `answers ${state.status} for ${state.label}`;
    checks.push({
      name: 'the gate in front of the archive’s store passes on',
      ok: found === 'passes on',
      found,
      expected: 'passes on',
      hint: found === 'passes on' ? null : gate === null ? 'name a proxy under archive.gate of the target file.' : 'heal that fault first.',
    });
    if (gate === null) return checks;
  }
  const door = requireDoor(live);
  for (const node of (await resolve(settings, context)).nodes) {
    const answer = await door.ask(node, ANSWER_WITHIN_MS);
    checks.push({
      name: `${node} reaches the archive’s store`,
      ok: works(answer),
      found: words(answer),
      expected: 'an answer',
      hint: works(answer) ? null : 'bring the store and the link up first.',
    });
  }
  return checks;
}

function manualUndo(resolved: Resolved, target: Target): readonly string[] {
  const gate = nativeArchiveOf(target)?.gate;
  if (STATUS[resolved.how] === null || gate === undefined) return manualToxicRemoval(place(resolved), target);
  // HAProxy's runtime API reads lines from its socket, which curl's telnet sends as they are.
  const say = (text: string): string =>
    `printf '%s\\n' ${quoteWord(text)} | curl -sS -m 5 --unix-socket ${quoteWord(gate.socket)} telnet://gate`;
  return [
    say(`del map ${gate.map} ${GATE_KEY}`),
    `said=$(${say(`show map ${gate.map}`)}) && case $said in *' ${GATE_KEY} '*) echo 'still closed'; false;; esac`,
  ];
}

export const archiveUnavailable: Fault<Settings, Resolved> = {
  name: 'archive-unavailable',
  summary: 'takes the archive’s store away from nodes: silent, slow, 503 or 403',
  schema,
  // Nothing acknowledged is lost by it; with the primary gone besides, only its standbys have what was not archived.
  mayLoseWrites: () => false,
  resolve,
  preview: ({ how, nodes, latencyMs }) => {
    const who = nodes.join(', ');
    switch (how) {
      case 'down':
        return `cut ${who} off from the archive’s store`;
      case 'slow':
        return `slow the archive’s store by ${formatMs(latencyMs)} an answer for ${who}`;
      case 'error-503':
      case 'denied-403':
        return `answer every request of ${who} to the archive’s store with ${STATUS[how]}`;
    }
  },
  reach: () => ({ nodes: [] }),
  // Only two of its ways: where the gate does it, a restart of Toxiproxy takes nothing off, and ending the lease then errs on the safe side.
  insideToxiproxy: true,
  manualUndo,
  ready,
  inject,
  confirm,
  undo,
  confirmGone,
};

/** A gate that a dead guardian left closed. Reads only. */
export async function findClosedGate(live: LiveTarget): Promise<readonly Stray[]> {
  const gate = live.archive?.door?.gate ?? null;
  const state = gate === null ? null : await gate.state();
  if (gate === null || state === null || !OUR_LABEL.test(state.label)) return [];
  const { status, label } = state;
  return [{ what: `gate of the archive closed by ${label} (${status})`, labels: [label], remove: () => gate.open(label) }];
}
