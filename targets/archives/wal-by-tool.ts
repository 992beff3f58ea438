/**
 * restore_command by a team's own tool, with its answers told apart. "No such file" about a segment that was seen in the archive is a hole, and everything else
 * that is not success is an error: both abort recovery, which PostgreSQL would else end early, silently, and with exit code 0.
 */
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../../core/errors';
import { WAL_SEGMENT_BYTES } from '../../core/lsn';
import type { WalSupply } from './sandbox-restore';
import type { SandboxPlace } from './sandbox-server';
import { firstLine } from './tool-output';

/** So that PostgreSQL aborts instead of taking it for the end of WAL: above 125 (its docs on restore_command). */
const ABORT = 200;

export interface WalTool {
  /** For messages, e.g. `pgbackrest archive-get`. */
  readonly name: string;
  /** Words of the tool; WAL file and destination follow. */
  readonly argv: readonly string[];
  /** Its environment besides what the sandbox has. Never a secret: it stands in the script. */
  readonly env: { readonly [name: string]: string };
  /** Variables that nobody else may read: each in a file of the sandbox's user, until WAL has come. */
  readonly secrets: { readonly [name: string]: string };
  /** Its exit code for "there is no such file". */
  readonly absent: number;
  /** Directories below the sandbox's WAL directory that it needs. */
  readonly directories: readonly string[];
  /** Takes secrets out of what the tool says; absent: it says none. */
  readonly tellable?: (said: string) => string;
}

export interface WalPlan {
  /** Segments that replay needs, in order: of these progress is told. */
  readonly segments: readonly string[];
  /** Besides them, files that were seen in the archive: history files. */
  readonly known: readonly string[];
}

const secretFile = (name: string): string => `secret-${name}`;
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * Exported for its test. What the tool says goes into a file: a shell that reads it itself would wait for every process that the tool leaves behind.
 * And a fresh one each time: what was left behind goes on writing into that of its own call.
 */
export function toolScript({ argv, env, secrets, absent }: WalTool, dir: string): string {
  const variables = [
    ...Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`),
    ...Object.keys(secrets).map((name) => `${name}=$(cat '${dir}/${secretFile(name)}'); export ${name}`),
  ];
  return `#!/bin/sh
# Written by gameday; called by PostgreSQL as: get.sh %f %p
${variables.map((line) => `${line}\n`).join('')}rm -f '${dir}/said'
${argv.map(quoted).join(' ')} "$1" "$2" >'${dir}/said' 2>&1
code=$?
if [ $code -eq 0 ]; then echo "$1" >> '${dir}/delivered'; exit 0; fi
if [ $code -eq ${absent} ] && ! grep -qx "$1" '${dir}/plan'; then exit 1; fi
line=$(grep -a -v WAL-prefetch '${dir}/said' | grep -a -m 1 ERROR || head -n 1 '${dir}/said')
printf '%s %s %s\\n' "$1" "$code" "$line" >> '${dir}/failed'
exit ${ABORT}
`;
}

export function openWalByTool(tool: WalTool, place: SandboxPlace, { segments, known }: WalPlan): WalSupply {
  const dir = place.walDir;
  const tellable = tool.tellable ?? String;
  const own = (path: string): void => {
    if (place.owner !== null) chownSync(path, place.owner.uid, place.owner.gid);
  };
  for (const name of ['', ...tool.directories]) {
    mkdirSync(join(dir, name), { recursive: true, mode: 0o700 });
    own(join(dir, name));
  }
  const plan = [...known, ...segments];
  const secrets = Object.fromEntries(Object.entries(tool.secrets).map(([name, value]) => [secretFile(name), value]));
  const listed = plan.map((name) => `${name}\n`).join('');
  const files = { ...secrets, plan: listed, delivered: '', failed: '', 'get.sh': toolScript(tool, dir) };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dir, name), text, { mode: 0o700 });
    own(join(dir, name));
  }
  const planned = new Set(segments);
  const read = (name: string): string[] =>
    existsSync(join(dir, name)) ? readFileSync(join(dir, name), 'utf8').split('\n').filter(Boolean) : [];
  return {
    command: `/bin/sh '${join(dir, 'get.sh')}' "%f" "%p"`,
    needsNetwork: true,
    failure() {
      const [first] = read('failed');
      if (first === undefined) return null;
      const [name = '', code = '', ...said] = first.split(' ');
      return code === String(tool.absent)
        ? new GamedayError('wal_missing', `${tool.name} did not find ${name}, which its archive listed before the restore`)
        : new GamedayError('restore_failed', `${tool.name} ${name}: exit ${code}: ${firstLine(tellable(said.join(' ')))}`);
    },
    delivered() {
      const count = new Set(read('delivered').filter((name) => planned.has(name))).size;
      return { segments: count, bytes: count * Number(WAL_SEGMENT_BYTES) };
    },
    stop() {
      for (const name of Object.keys(secrets)) rmSync(join(dir, name), { force: true });
      return Promise.resolve();
    },
  };
}
