// What package-lock.json must hold for `npm ci` to accept it: an entry for every optional binding, also of platforms that are not this one. Data in, data out.

const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'aix', 'win32'];
const PROCESSORS = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];

/** The platform a binding's name tells, e.g. `@swc/core-win32-x64-msvc`; null if it tells none. */
function platformOf(name) {
  const words = name.split(/[/-]/);
  const os = SYSTEMS.find((system) => words.includes(system));
  const cpu = PROCESSORS.find((processor) => words.includes(processor));
  return os === undefined || cpu === undefined ? null : { cpu: [cpu], os: [os] };
}

/** Entries, by their path in the lock file, that optional dependencies name exactly and the lock file lacks. Throws for one that is not a pinned binding. */
export function missingBindings(lock) {
  const missing = {};
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const hoisted = `node_modules/${name}`;
      if (lock.packages[hoisted] !== undefined || lock.packages[`${path}/${hoisted}`] !== undefined) continue;
      const platform = platformOf(name);
      // fsevents and its like: npm itself accepts that an optional package without a platform in its name is not there.
      if (platform === null) continue;
      if (!/^\d+\.\d+\.\d+/.test(version)) throw new Error(`${path} wants ${name} ${version}, which is no exact version`);
      missing[hoisted] = { version, ...platform, ...(entry.dev === true ? { dev: true } : {}), optional: true };
    }
  }
  return missing;
}
