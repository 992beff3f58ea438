/** `gameday target discover|prepare|remove`: a target file from a cluster that runs already, and what gameday needs inside that cluster. */
import { Command } from 'commander';
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { GamedayError } from '../../core/errors';
import { writeFileDurably } from '../../core/files';
import { resolveSecret } from '../../core/secrets';
import type { Target, TargetKind } from '../../model/target';
import { findTarget, loadTarget } from '../../scenarios/load-target';
import { discoverByDsn } from '../../targets/discover/discover-dsn';
import { discoverByPatroni } from '../../targets/discover/discover-patroni';
import { discoverByMonitor } from '../../targets/discover/discover-pg-auto-failover';
import type { Found, Login } from '../../targets/discover/found';
import { openPlaces, targetName, targetText } from '../../targets/discover/target-text';
import { defineCommand, type CommandContext } from '../command';
import { applySteps, findPrimaryFor } from '../target-apply';
import { readDsn } from '../target-login';
import { otherMachines, psqlScript, requireOwnDatabase } from '../target-prepare';

const NAME = /^[a-z][a-z0-9-]{0,39}$/;

export function targetCommand(): Command {
  return new Command('target')
    .description('a target file from a cluster that runs already, and what gameday needs inside it')
    .addCommand(discoverCommand())
    .addCommand(changeCommand('prepare'))
    .addCommand(changeCommand('remove'));
}

interface DiscoverOptions {
  readonly patroni?: string;
  readonly pgAutoFailover?: string;
  readonly dsn?: string;
  readonly formation?: string;
  readonly name?: string;
  readonly kind: string;
  readonly out?: string;
  readonly force?: boolean;
}

function discoverCommand(): Command {
  const command = new Command('discover')
    .description('write a commented target file of a cluster that runs; only reads')
    .option('--patroni <url>', 'REST API of any member of Patroni, e.g. http://10.0.0.11:8008')
    .option('--pg-auto-failover <dsn>', 'the monitor, as `pg_autoctl show uri --monitor` prints it')
    .option('--dsn <dsn>', 'the servers themselves, one host or several; beside the others: the login by which nodes are asked for more')
    .option('--formation <name>', 'formation of pg_auto_failover (default: default)')
    .option('--name <name>', 'name of the target (default: that of the file, else what the cluster calls itself)')
    .option('--kind <kind>', 'staging or production', 'staging')
    .option('-o, --out <file>', 'write it to this file instead of to stdout')
    .option('--force', 'replace the file that is there');
  return defineCommand(command, async ({ home, terminal }, options: DiscoverOptions) => {
    const kind = kindOf(options.kind);
    if (options.name !== undefined && !NAME.test(options.name))
      throw new GamedayError('usage', `--name "${options.name}" must start with a lower-case letter and hold at most 40 of a-z, 0-9 and -`);
    if (options.out !== undefined && !/\.ya?ml$/.test(options.out))
      throw new GamedayError('usage', `--out ${options.out} does not end in .yaml, so nobody would know it for a target file`);
    refuseToReplace(options);
    const found = await discover(options);
    const stem = options.out === undefined ? null : basename(options.out).replace(/\.ya?ml$/, '');
    const name = targetName(found, options.name ?? (stem !== null && NAME.test(stem) ? stem : null));
    const text = targetText(found, { name, kind, home, file: options.out ?? `${name}.yaml` });
    const open = openPlaces(text);
    if (options.out === undefined) terminal.print(text.trimEnd());
    else {
      // Again: somebody may have made it while the cluster was asked.
      refuseToReplace(options);
      writeFileDurably(resolve(options.out), text);
      const roles = found.nodes.map(({ name: node, role }) => `${node} ${role === 'unknown' ? '(role not known)' : role}`).join(', ');
      terminal.print(`${options.out}: ${found.nodes.length} node${found.nodes.length === 1 ? '' : 's'}, ${roles}`);
      for (const { line, text: words } of open) terminal.print(`  line ${line}: ${words}`);
    }
    const next = options.out ?? 'FILE';
    terminal.progress(
      open.length === 0
        ? `nothing is left to fill in; next: gameday check --target ${next}`
        : `${open.length} line${open.length === 1 ? '' : 's'} to fill in, each begins with #?; then: gameday check --target ${next}`,
    );
    terminal.result({ file: options.out ?? null, name, open, notes: found.notes, target: text });
  });
}

function kindOf(kind: string): TargetKind {
  if (kind === 'staging' || kind === 'production') return kind;
  throw new GamedayError('usage', `--kind ${kind} is neither staging nor production`, 'labs are made by `gameday lab up`.');
}

function refuseToReplace({ out, force }: DiscoverOptions): void {
  if (out !== undefined && force !== true && existsSync(out))
    throw new GamedayError(
      'refused',
      `${out} exists already`,
      'name another file, or replace it with --force: what was filled in there is lost.',
    );
}

function discover({ patroni, pgAutoFailover, dsn, formation }: DiscoverOptions): Promise<Found> {
  if (patroni !== undefined && pgAutoFailover !== undefined)
    throw new GamedayError('usage', 'name either --patroni or --pg-auto-failover', 'one of them does failover, never both.');
  if (formation !== undefined && pgAutoFailover === undefined) throw new GamedayError('usage', '--formation needs --pg-auto-failover');
  const beside = patroni !== undefined || pgAutoFailover !== undefined;
  const servers = dsn === undefined ? null : readDsn('--dsn', dsn, { database: 'postgres' }, beside);
  const login: Login | null = servers?.login ?? null;
  if (patroni !== undefined) return discoverByPatroni(patroni, login);
  if (pgAutoFailover !== undefined) {
    const { hosts, login: monitor } = readDsn('--pg-auto-failover', pgAutoFailover, { user: 'autoctl_node', database: 'pg_auto_failover' });
    const [at] = hosts;
    if (at === undefined || hosts.length > 1)
      throw new GamedayError('usage', '--pg-auto-failover names the one monitor, not several hosts');
    return discoverByMonitor(at, monitor, formation ?? null, login);
  }
  if (servers === null) throw new GamedayError('usage', 'name the cluster by --patroni URL, --pg-auto-failover DSN or --dsn DSN');
  return discoverByDsn(servers.hosts, servers.login);
}

interface ChangeOptions {
  readonly target: string;
  readonly printSql?: boolean;
  readonly dsn?: string;
  readonly yes?: boolean;
}

const WORDS = {
  prepare: 'make database, schema and roles that gameday needs in a cluster; may be repeated',
  remove: 'remove what `prepare` made, and nothing else; may be repeated',
};

function changeCommand(way: 'prepare' | 'remove'): Command {
  const command = new Command(way)
    .description(WORDS[way])
    .requiredOption('-t, --target <target>', 'name or path of the target file')
    .option('--print-sql', 'print the script for psql and run nothing')
    .option('--dsn <dsn>', 'run it with this login instead of the target’s role `operate`')
    .option('-y, --yes', 'do not ask');
  return defineCommand(command, async (context, options: ChangeOptions) => {
    const { target } = loadTarget(findTarget(context.home, options.target));
    requireOwnDatabase(target);
    if (options.printSql === true) {
      if (options.dsn !== undefined) throw new GamedayError('usage', '--print-sql runs nothing, so --dsn says nothing');
      const script = psqlScript(target, way);
      context.terminal.print(script.trimEnd());
      context.terminal.result({ target: target.name, way, sql: script });
      return;
    }
    await change(context, target, way, options);
  });
}

async function change({ terminal }: CommandContext, target: Target, way: 'prepare' | 'remove', options: ChangeOptions): Promise<void> {
  const { operate } = target.roles;
  const login: Login =
    options.dsn === undefined
      ? { user: operate.user, password: operate.password === null ? null : resolveSecret(operate.password), database: 'postgres' }
      : readDsn('--dsn', options.dsn, { database: 'postgres' }, true).login;
  const primary = await findPrimaryFor(target, login, way);
  if (way === 'remove' && Object.values(target.roles).some(({ user }) => user === login.user) && options.dsn === undefined)
    terminal.progress(`role ${login.user} cannot remove itself; if gameday made it, name another by --dsn`);
  const question = `${way} ${target.name} (${target.kind}) on ${primary.host}:${primary.port} as ${login.user}: ${
    way === 'prepare' ? 'make database gameday and the roles that are missing' : 'DROP database gameday and the roles that gameday made'
  }? [y/N] `;
  if (options.yes !== true && !(await agreed(question, terminal.interactive)))
    throw new GamedayError(
      'refused',
      'nobody said yes, so nothing was done',
      'answer y, or give --yes; --print-sql shows what would be run.',
    );
  const applied = await applySteps(target, primary, way);
  terminal.print(applied.statements.length === 0 ? 'nothing was left to do' : applied.statements.join('\n'));
  for (const note of applied.notes) terminal.progress(note);
  if (way === 'prepare') terminal.progress(otherMachines(target, way).join('\n').replace(/^-- ?/gm, '').trimEnd());
  terminal.result({ target: target.name, way, ...applied });
}

/** False where nobody can be asked. */
async function agreed(question: string, interactive: boolean): Promise<boolean> {
  if (!interactive) return false;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(question)).trim());
  } finally {
    lines.close();
  }
}
