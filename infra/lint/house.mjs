// Who may import whom, as DESIGN.md "The house" draws it. Data and one question only; the eslint rule beside this file asks it for every import.

/** Rooms that stand beside every rule: anyone may import `model`, and `core` apart from the files that need Node where Node is forbidden. */
const PURE_CORE = ['assert', 'canonical-json', 'errors', 'event-chain', 'ids', 'lsn', 'units'];

/** Rooms that must run in Temporal's sandbox or nowhere: no Node, no packages but those named. */
const SANDBOXED = { workflows: ['@temporalio/workflow', '@temporalio/common'], model: [] };

/**
 * Edges between rooms. `values`: paths whose values may be imported; `types`: paths of which only types may. A path that ends in / is a whole room.
 * Read as: this room ← those.
 */
export const HOUSE = {
  model: { values: [], types: [] },
  core: { values: [], types: [] },
  scenarios: { values: ['targets/policy', 'targets/schema', 'faults/registry', 'faults/contract'], types: ['targets/', 'faults/'] },
  workflows: { values: [], types: ['activities/'] },
  activities: { values: ['faults/', 'targets/', 'probe/', 'evidence/', 'report/'], types: ['objects/', 'workflows/messages'] },
  faults: { values: ['targets/'], types: [] },
  targets: { values: ['objects/'], types: [] },
  probe: { values: ['targets/sql'], types: ['targets/'] },
  objects: { values: [], types: [] },
  evidence: { values: ['objects/', 'probe/join', 'probe/judge', 'probe/survivor-file', 'probe/verdict'], types: ['probe/'] },
  report: { values: [], types: [] },
  worker: { values: ['activities/'], types: ['workflows/'] },
  cli: {
    values: [
      'scenarios/',
      'workflows/messages',
      'evidence/',
      'report/',
      'worker/config',
      'worker/missed-slots',
      'infra/',
      'faults/approval-files',
      'faults/contract',
      'faults/guardian/allow',
      'faults/guardian/client',
      'faults/registry',
      'faults/scram-verifier',
      'probe/client',
      'probe/judge',
      'probe/join',
      'probe/ledger-pack',
      'probe/ledger-reader',
      'probe/survivor-file',
      'probe/survivors',
      'probe/verdict',
      'targets/archives/audit/audit-source',
      'targets/discover/',
      'targets/open-target',
      'targets/policy',
      'targets/schema',
      'targets/sql',
    ],
    types: ['workflows/', 'targets/', 'faults/', 'probe/', 'objects/'],
  },
  console: { values: ['scenarios/', 'workflows/messages', 'evidence/', 'report/', 'worker/config', 'infra/'], types: ['workflows/'] },
  infra: { values: ['targets/', 'objects/'], types: ['faults/', 'worker/'] },
};

/** Each outside client lives behind one adapter, and zod only where the outside comes in. */
export const ADAPTERS = {
  '@aws-sdk/client-s3': ['objects/'],
  'toxiproxy-node-client': ['targets/links/'],
  pg: ['targets/sql', 'probe/'],
  dockerode: ['targets/hosts/docker', 'targets/hosts/docker-labelled'],
  zod: ['scenarios/', 'targets/schema', 'faults/', 'worker/config', 'cli/', 'console/', 'evidence/'],
};

const covers = (patterns, path) => patterns.some((pattern) => (pattern.endsWith('/') ? path.startsWith(pattern) : path === pattern));

const packageOf = (source) =>
  source
    .split('/')
    .slice(0, source.startsWith('@') ? 2 : 1)
    .join('/');

function forbiddenPackage(from, room, source) {
  const name = packageOf(source);
  const sandbox = SANDBOXED[room];
  if (sandbox !== undefined && !sandbox.includes(name))
    return `${room}/ may import ${sandbox.length === 0 ? 'no package and no Node module' : sandbox.join(' and ')}, not ${source}`;
  const adapter = ADAPTERS[name];
  if (adapter !== undefined && !covers(adapter, from)) return `${name} may be imported only in ${adapter.join(', ')}`;
  return null;
}

function forbiddenRoom(room, to, typeOnly) {
  const [target] = to.split('/');
  if (target === room || target === 'model') return null;
  if (target === 'core') {
    if (room === 'model') return 'model/ imports nothing';
    const pure = PURE_CORE.includes(to.slice('core/'.length));
    return SANDBOXED[room] === undefined || typeOnly || pure
      ? null
      : `${room}/ may import only the pure files of core/ (${PURE_CORE.join(', ')})`;
  }
  const edges = HOUSE[room];
  if (edges === undefined) return `${room}/ is no room of the house; give it a row in infra/lint/house.mjs`;
  if (covers(edges.values, to)) return null;
  if (covers(edges.types, to)) return typeOnly ? null : `${room}/ may import only types from ${to}`;
  return `${room}/ may not import ${to}`;
}

/**
 * Why this import is forbidden, or null. `from` and `to` are paths without extension relative to the checkout; `to` is null for packages and Node,
 * which `source` names as written.
 */
export function whyForbidden({ from, to, source, typeOnly }) {
  const [room] = from.split('/');
  return to === null ? forbiddenPackage(from, room, source) : forbiddenRoom(room, to, typeOnly);
}
