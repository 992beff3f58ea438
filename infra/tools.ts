/**
 * The programs that the lab starts, as set-up found or made them: read from the manifest dist/tools.json.
 * Looks up only; never installs, builds or searches PATH, so that every process of one checkout runs the very same programs.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GamedayError } from '../core/errors';
import { packageRoot, readJsonFile } from '../core/files';

export const TOOL_NAMES = ['postgres', 'haproxy', 'pgbouncer', 'temporal', 'toxiproxy', 'versitygw'] as const;
export type ToolName = (typeof TOOL_NAMES)[number];

export interface FoundTool {
  /** Absolute path of the program; for `postgres`, of the directory with its server programs. */
  readonly path: string;
  /** Dotted numbers as the program reports them. */
  readonly version: string;
  /** `path`, `cache`, `package`, `unpacked package` or `go`: where set-up got it from. */
  readonly source: string;
}

export interface Tools {
  /** Directory that holds postgres, initdb, pg_ctl, pg_basebackup, pg_rewind and their like. */
  readonly postgresBin: string;
  readonly haproxy: string;
  readonly pgbouncer: string;
  readonly temporal: string;
  readonly toxiproxy: string;
  readonly versitygw: string;
  readonly details: Readonly<Record<ToolName, FoundTool>>;
}

const RUN_SETUP = 'run `npm run setup`; it finds, installs or builds the tool, or says what to do.';

/** What the manifest says of each tool, whether or not the programs are still there; empty before the first set-up. */
export function readToolManifest(root: string = packageRoot()): Partial<Record<ToolName, FoundTool>> {
  return readJsonFile<Partial<Record<ToolName, FoundTool>>>(join(root, 'dist', 'tools.json')) ?? {};
}

function foundTool(manifest: Partial<Record<ToolName, FoundTool>>, name: ToolName): FoundTool {
  const tool = manifest[name];
  if (tool === undefined) throw new GamedayError('tool_missing', `${name} is not set up`, RUN_SETUP);
  if (!existsSync(tool.path)) throw new GamedayError('tool_missing', `${name} is no longer at ${tool.path}`, RUN_SETUP);
  return tool;
}

/** Absolute paths of every tool. Throws `tool_missing` for the first that set-up has not provided or that has gone since. */
export function locateTools(root: string = packageRoot()): Tools {
  const manifest = readToolManifest(root);
  const details = {
    postgres: foundTool(manifest, 'postgres'),
    haproxy: foundTool(manifest, 'haproxy'),
    pgbouncer: foundTool(manifest, 'pgbouncer'),
    temporal: foundTool(manifest, 'temporal'),
    toxiproxy: foundTool(manifest, 'toxiproxy'),
    versitygw: foundTool(manifest, 'versitygw'),
  };
  return {
    postgresBin: details.postgres.path,
    haproxy: details.haproxy.path,
    pgbouncer: details.pgbouncer.path,
    temporal: details.temporal.path,
    toxiproxy: details.toxiproxy.path,
    versitygw: details.versitygw.path,
    details,
  };
}
