/**
 * Runs the tests of the judgement against its mutants: each is applied to a copy of the rooms that the tests need, never to the checkout, and is killed
 * when a test fails or never ends. Two copies are used side by side, so that one mutant's tests run while another's compile.
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../core/files';
import { MUTATIONS, type Mutation } from './mutations';

const COPIED = ['core', 'model', 'objects', 'probe', 'targets', 'package.json'];
/** Those that take seconds come last: most mutants are dead by then. */
const ROUNDS = ['probe/(?!judge-properties|ledger)', 'probe/judge-properties'];
const COPIES = 2;
const LIMIT_MS = 120_000;

export interface Verdict {
  readonly mutation: Mutation;
  readonly killed: boolean;
  /** What the last run said, for a survivor's reader; and how long it took. */
  readonly seconds: number;
}

/** Null: it applies. Else why not. */
export function whyNotApplicable({ file, find, replace }: Mutation): string | null {
  const count = readFileSync(join(packageRoot(), file), 'utf8').split(find).length - 1;
  if (find === replace) return `${file}: changes nothing: ${find}`;
  return count === 1 ? null : `${file}: stands there ${count} times instead of once: ${find}`;
}

/** A few of the mutations, as the seed draws them: the same seed, the same few. */
export function drawMutations(count: number, seed: number): readonly Mutation[] {
  // A linear congruential generator is random enough to choose a sample (Knuth, MMIX).
  let state = BigInt(seed);
  const rank = MUTATIONS.map((mutation) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    return { mutation, at: state >> 32n };
  });
  rank.sort((a, b) => (a.at < b.at ? -1 : 1));
  return rank.slice(0, count).map(({ mutation }) => mutation);
}

/** Throws when the tests fail without any mutant: then nothing can be said. */
export async function runMutants(
  mutations: readonly Mutation[],
  told: (verdict: Verdict) => void = () => undefined,
): Promise<readonly Verdict[]> {
  for (const mutation of mutations) {
    const why = whyNotApplicable(mutation);
    if (why !== null) throw new Error(why);
  }
  const copies = Array.from({ length: COPIES }, () => new Copy());
  try {
    const trouble = (await Promise.all(copies.map((copy, at) => copy.trouble(ROUNDS.filter((_, round) => round % COPIES === at))))).find(
      (said) => said !== null,
    );
    if (trouble != null) throw new Error(`the tests of the judgement fail without any mutant:\n${trouble}`);
    const waiting = [...mutations.entries()];
    const verdicts: Verdict[] = [];
    const work = async (copy: Copy): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const verdict = await copy.run(next[1]);
        verdicts[next[0]] = verdict;
        told(verdict);
      }
    };
    await Promise.all(copies.map(work));
    return verdicts;
  } finally {
    for (const copy of copies) copy.remove();
  }
}

class Copy {
  private readonly dir = mkdtempSync(join(tmpdir(), 'gameday-mutants-'));

  constructor() {
    for (const name of COPIED) cpSync(join(packageRoot(), name), join(this.dir, name), { recursive: true });
    const config = JSON.stringify(join(packageRoot(), 'jest.config.js'));
    const unit = `require(${config}).projects.find(({ displayName }) => displayName === 'unit')`;
    writeFileSync(
      join(this.dir, 'jest.config.js'),
      `module.exports = { ...${unit}, testPathIgnorePatterns: ['/node_modules/'], rootDir: __dirname };\n`,
    );
    symlinkSync(join(packageRoot(), 'node_modules'), join(this.dir, 'node_modules'));
  }

  async run(mutation: Mutation): Promise<Verdict> {
    const path = join(this.dir, mutation.file);
    const original = readFileSync(path, 'utf8');
    const began = performance.now();
    writeFileSync(path, original.split(mutation.find).join(mutation.replace));
    try {
      return { mutation, killed: (await this.trouble()) !== null, seconds: (performance.now() - began) / 1e3 };
    } finally {
      writeFileSync(path, original);
    }
  }

  /** Null: every test passed. Else what jest said. */
  async trouble(rounds: readonly string[] = ROUNDS): Promise<string | null> {
    for (const round of rounds) {
      const said = await this.jest(round);
      if (said !== null) return said;
    }
    return null;
  }

  /** A run that does not end in time has failed: a mutant that loops for ever is noticed by whoever runs the tests. */
  private jest(pattern: string): Promise<string | null> {
    const args = ['--config', 'jest.config.js', '--testPathPatterns', pattern, '--bail', '--runInBand', '--silent'];
    const env = { ...process.env, GAMEDAY_SEED: '1', GAMEDAY_TIMES: '1' };
    const jest = join(packageRoot(), 'node_modules', 'jest', 'bin', 'jest.js');
    const child = spawn(process.execPath, [jest, ...args, '--cacheDirectory', join(this.dir, 'cache')], {
      cwd: this.dir,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (data: Buffer) => (said = (said + data.toString()).slice(-4_000)));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(timer);
        resolve(code === 0 ? null : said);
      });
    });
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
