// The manifest dist/tools.json: what infra/tools.ts reads to start the lab's programs. Written whole by renaming, and trusted only while each program is
// the very file that was looked at.
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Changes when a program is replaced, also by an upgrade of its package. */
function stamp(path) {
  const { size, mtimeMs } = statSync(path);
  return `${size}:${Math.round(mtimeMs)}`;
}

/** The manifest's entry for a tool that was found. `path` is the directory of PostgreSQL's programs, and the program itself for the others. */
export function entryFor(tool, found) {
  const program = join(found.directory, tool.programs[0]);
  return {
    path: tool.programs.length > 1 ? found.directory : program,
    version: found.version,
    source: found.source,
    stamp: stamp(program),
  };
}

export function readManifest(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return {};
  }
}

export function writeManifest(path, manifest) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(manifest, null, 2)}\n`);
  renameSync(temporary, path);
}

/** True while the entry names a good version and all its programs are there unchanged. */
export function isCurrent(tool, entry) {
  if (typeof entry?.path !== 'string' || !tool.good(entry.version ?? '')) return false;
  const directory = tool.programs.length > 1 ? entry.path : dirname(entry.path);
  return tool.programs.every((program) => existsSync(join(directory, program))) && stamp(join(directory, tool.programs[0])) === entry.stamp;
}
