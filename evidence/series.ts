/**
 * The series of one target: every number from the first to the highest in use, its registration and its seal, read in order and in bounded memory. It finds
 * what running until green leaves behind: gaps, drills that were never sealed, chains that do not meet, other systems, other keys, softened objectives.
 */
import { GamedayError, messageOf } from '../core/errors';
import { sha256Hex } from '../core/files';
import { drillName } from '../core/ids';
import type { Objective } from '../model/plan';
import type { ObjectStore } from '../objects/store';
import { PUBLIC_KEY_FILE, REGISTRATION_FILE, SEAL_FILE } from './layout';
import { bundlePrefix, decodeRegistration, newestSequence, objectiveChanges, type Registration } from './register';
import { REGISTRATION_PAYLOAD_TYPE, SEAL_PAYLOAD_TYPE, decodeEnvelope, fingerprintOf, verifyEnvelope } from './signing';
import { parseStatement, type Statement } from './statement';

/** Read ahead: at most that many drills are in memory. */
const AHEAD = 16;
const MAX_LISTED = 1_000;
/** Scenarios whose last objectives are remembered. */
const MAX_SCENARIOS = 10_000;

export type SeriesProblem =
  'gap' | 'unsealed' | 'unreadable' | 'signature' | 'broken chain' | 'changed system' | 'other key' | 'unknown signer' | 'mixed up';
export type SeriesNote = 'changed plan' | 'amended objectives' | 'running or lost' | 'new key';

export interface SeriesEntry<K> {
  readonly drill: string;
  readonly kind: K;
  readonly detail: string;
}

export interface SeriesReport {
  readonly ok: boolean;
  readonly target: string;
  readonly registered: number;
  readonly sealed: number;
  readonly first: string | null;
  readonly last: string | null;
  /** Sealed drills by state. */
  readonly states: { readonly [state: string]: number };
  /** In the order in which they first signed. */
  readonly keys: readonly { readonly fingerprint: string; readonly from: string; readonly trusted: boolean }[];
  /** At most 1000 of each; the counts are complete. */
  readonly problems: readonly SeriesEntry<SeriesProblem>[];
  readonly notes: readonly SeriesEntry<SeriesNote>[];
  readonly problemCount: number;
  readonly noteCount: number;
}

/** Fingerprints of keys obtained out of band. Without any the series cannot be whole: its signer is not known. Throws `store_unreachable`, `drill_unknown`. */
export async function verifySeries(
  store: ObjectStore,
  target: string,
  options: { readonly trusted: readonly string[] },
): Promise<SeriesReport> {
  const newest = await newestSequence(store, target);
  if (newest === 0)
    throw new GamedayError(
      'drill_unknown',
      `${store.description} holds no drill of ${target}`,
      'name a target, or the directory that holds its drills.',
    );
  const walk = new SeriesWalk(target, newest, options.trusted);
  const ahead: Promise<Pair>[] = [];
  for (let sequence = 1; sequence <= newest; sequence += 1) {
    for (let next = sequence + ahead.length; next <= newest && ahead.length < AHEAD; next += 1) ahead.push(readPair(store, target, next));
    const pair = await (ahead.shift() as Promise<Pair>);
    await walk.visit(sequence, pair, () => store.get(`${bundlePrefix(target, drillName(sequence))}/${PUBLIC_KEY_FILE}`));
  }
  return walk.report();
}

interface Pair {
  readonly registration: Uint8Array | null;
  readonly seal: Uint8Array | null;
}

function readPair(store: ObjectStore, target: string, sequence: number): Promise<Pair> {
  const prefix = bundlePrefix(target, drillName(sequence));
  const pair = Promise.all([store.get(`${prefix}/${REGISTRATION_FILE}`), store.get(`${prefix}/${SEAL_FILE}`)]);
  const read = pair.then(([registration, seal]) => ({ registration, seal }));
  // Awaited in its turn; until then a failure is not unhandled.
  read.catch(() => undefined);
  return read;
}

class SeriesWalk {
  private readonly problems: SeriesEntry<SeriesProblem>[] = [];
  private readonly notes: SeriesEntry<SeriesNote>[] = [];
  private problemCount = 0;
  private noteCount = 0;
  private registered = 0;
  private sealed = 0;
  private first: string | null = null;
  private last: string | null = null;
  private readonly states = new Map<string, number>();
  /** Public keys by fingerprint: few. */
  private readonly keys = new Map<string, { readonly pem: string; readonly from: string }>();
  private newestKey: string | null = null;
  private previous: { readonly sha256: string; readonly drill: string } | null = null;
  private system: string | null = null;
  private readonly scenarios = new Map<
    string,
    { readonly drill: string; readonly planSha256: string; readonly objectives: readonly Objective[] }
  >();

  constructor(
    private readonly target: string,
    private readonly newest: number,
    private readonly trusted: readonly string[],
  ) {}

  async visit(sequence: number, { registration: data, seal }: Pair, readKey: () => Promise<Uint8Array | null>): Promise<void> {
    const drill = drillName(sequence);
    if (data === null)
      return this.problem(drill, 'gap', seal === null ? 'no registration: it was deleted' : 'sealed, and its registration was deleted');
    this.registered += 1;
    this.first ??= drill;
    this.last = drill;
    let registration: Registration;
    try {
      registration = decodeRegistration(data, REGISTRATION_FILE);
    } catch (error) {
      this.previous = null;
      return this.problem(drill, 'unreadable', messageOf(error));
    }
    await this.checkSigner(drill, data, seal, readKey);
    this.checkChain(drill, sequence, registration, sha256Hex(data));
    this.compareWithBefore(drill, registration);
    this.checkSeal(drill, sequence, registration, sha256Hex(data), seal);
  }

  report(): SeriesReport {
    if (this.trusted.length === 0)
      this.problem(this.last ?? this.target, 'unknown signer', 'integrity only: no key was given; name the signer’s public key with --key');
    return {
      ok: this.problemCount === 0,
      target: this.target,
      registered: this.registered,
      sealed: this.sealed,
      first: this.first,
      last: this.last,
      states: Object.fromEntries(this.states),
      keys: [...this.keys].map(([fingerprint, { from }]) => ({ fingerprint, from, trusted: this.trusted.includes(fingerprint) })),
      problems: this.problems,
      notes: this.notes,
      problemCount: this.problemCount,
      noteCount: this.noteCount,
    };
  }

  /** The key that the registration names signs registration and seal; it is one that is trusted, and the first new one is a note. */
  private async checkSigner(
    drill: string,
    data: Uint8Array,
    seal: Uint8Array | null,
    readKey: () => Promise<Uint8Array | null>,
  ): Promise<void> {
    const keyid = decodeEnvelope(data, REGISTRATION_FILE).signatures[0]?.keyid ?? '';
    const pem = this.keys.get(keyid)?.pem ?? this.learnKey(drill, keyid, await readKey());
    if (pem === null) {
      // Older versions put the key beside the registration only when they sealed.
      if (seal !== null) this.problem(drill, 'unreadable', `the public key ${keyid} is not in the bundle`);
      return;
    }
    if (verifyEnvelope(decodeEnvelope(data, REGISTRATION_FILE), REGISTRATION_PAYLOAD_TYPE, pem) === null)
      this.problem(drill, 'signature', `${REGISTRATION_FILE} is not signed by key ${keyid}`);
    if (this.trusted.length > 0 && !this.trusted.includes(keyid))
      this.problem(drill, 'other key', `signed by key ${keyid}, which you do not trust`);
    if (this.newestKey !== null && this.newestKey !== keyid)
      this.note(drill, 'new key', `signed by key ${keyid}, the drills before by ${this.newestKey}`);
    this.newestKey = keyid;
  }

  /** From the bundle; null unless it is the key that is named. */
  private learnKey(drill: string, keyid: string, data: Uint8Array | null): string | null {
    if (data === null) return null;
    const pem = Buffer.from(data).toString('utf8');
    try {
      if (fingerprintOf(pem) !== keyid) return null;
    } catch {
      return null;
    }
    this.keys.set(keyid, { pem, from: drill });
    return pem;
  }

  private checkChain(drill: string, sequence: number, registration: Registration, sha256: string): void {
    const { previous } = this;
    if (registration.sequence !== sequence || registration.drill !== drill || registration.target !== this.target)
      this.problem(drill, 'mixed up', `its registration is that of ${registration.drill} on ${registration.target}`);
    const named = registration.previousRegistrationSha256;
    if (previous !== null && named !== previous.sha256)
      this.problem(
        drill,
        'broken chain',
        `it names ${named ?? 'no drill'} as the registration before; that of ${previous.drill} is ${previous.sha256}`,
      );
    if (previous === null && sequence === 1 && named !== null) this.problem(drill, 'broken chain', `it names ${named} before the first`);
    this.previous = { sha256, drill };
  }

  private compareWithBefore(drill: string, registration: Registration): void {
    const { scenario } = registration;
    if (this.system !== null && this.system !== registration.systemIdentifier)
      this.problem(drill, 'changed system', `system ${registration.systemIdentifier}, the drills before were on ${this.system}`);
    this.system = registration.systemIdentifier;
    if (scenario === undefined) return;
    const before = this.scenarios.get(scenario);
    if (before !== undefined) {
      const changes = objectiveChanges(before.objectives, registration.objectives);
      if (changes.length > 0) this.note(drill, 'amended objectives', `${scenario}, since ${before.drill}: ${changes.join('; ')}`);
      else if (before.planSha256 !== registration.planSha256)
        this.note(
          drill,
          'changed plan',
          `${scenario}: plan ${registration.planSha256.slice(0, 12)}, ${before.drill} had ${before.planSha256.slice(0, 12)}`,
        );
    }
    if (before !== undefined || this.scenarios.size < MAX_SCENARIOS)
      this.scenarios.set(scenario, { drill, planSha256: registration.planSha256, objectives: registration.objectives });
  }

  private checkSeal(
    drill: string,
    sequence: number,
    registration: Registration,
    registrationSha256: string,
    seal: Uint8Array | null,
  ): void {
    if (seal === null) {
      const owner = `registered at ${registration.registeredAt} by ${registration.startedBy}`;
      if (sequence === this.newest) return this.note(drill, 'running or lost', `${owner}, not sealed yet`);
      return this.problem(drill, 'unsealed', `${owner}, never sealed`);
    }
    let statement: Statement;
    try {
      const envelope = decodeEnvelope(seal, SEAL_FILE);
      const pem = this.keys.get(envelope.signatures[0]?.keyid ?? '')?.pem;
      const payload = pem === undefined ? null : verifyEnvelope(envelope, SEAL_PAYLOAD_TYPE, pem);
      if (payload === null) return this.problem(drill, 'signature', `${SEAL_FILE} is not signed by the key that registered`);
      if (envelope.signatures[0]?.keyid !== this.newestKey)
        this.problem(drill, 'other key', 'registration and seal are signed by two keys');
      statement = parseStatement(payload);
    } catch (error) {
      return this.problem(drill, 'unreadable', `${SEAL_FILE}: ${messageOf(error).split('\n')[0] ?? ''}`);
    }
    this.sealed += 1;
    const { predicate } = statement;
    if (
      predicate.registrationSha256 !== registrationSha256 ||
      predicate.planSha256 !== registration.planSha256 ||
      predicate.drill !== drill
    )
      this.problem(drill, 'mixed up', `its seal is about ${predicate.drill}, registration ${predicate.registrationSha256}`);
    this.states.set(predicate.state, (this.states.get(predicate.state) ?? 0) + 1);
  }

  private problem(drill: string, kind: SeriesProblem, detail: string): void {
    this.problemCount += 1;
    if (this.problems.length < MAX_LISTED) this.problems.push({ drill, kind, detail });
  }

  private note(drill: string, kind: SeriesNote, detail: string): void {
    this.noteCount += 1;
    if (this.notes.length < MAX_LISTED) this.notes.push({ drill, kind, detail });
  }
}
