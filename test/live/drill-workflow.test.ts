/**
 * The drill workflow's promises about order, on a real Temporal server: undo is pushed before its inject, heal runs whichever way the method
 * ends, nothing is injected without a steady baseline. The activities are scripted here, because the workflow's decisions are what is tested.
 */
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { join } from 'node:path';
import type { ControlActivities, JudgeInput, SealInput, SiteActivities, UndoActivities, UndoneRebuild } from '../../activities/contract';
import { drillWorkflowId, taskQueues } from '../../core/ids';
import { packageRoot } from '../../core/files';
import { locateTools } from '../../infra/tools';
import type { FaultHandle, LeaseView } from '../../model/fault';
import type { DrillInput, DrillResult } from '../../model/message';
import type { EventBody } from '../../model/event';
import type { FaultStep, Plan, PlanStep } from '../../model/plan';
import { answerUpdate, haltUpdate, progressQuery } from '../../workflows/messages';
import { samplePlan } from '../sample-plan';

const fault = (id: string): FaultStep => ({ kind: 'fault', id, title: id, fault: 'noop', settings: {}, maxMs: 30_000 });
const waitFor = (id: string, ms: number): PlanStep => ({ kind: 'wait', id, title: id, wait: { kind: 'for', ms } });
const proof = { holds: true, by: 'scripted', facts: {} };
const topology = { primary: 'n1', nodes: [], replication: {}, settings: {}, slots: {}, routed: ['n1'], epoch: 1 };

function lease(step: string, handle: FaultHandle, state: LeaseView['state']): LeaseView {
  const at = new Date().toISOString();
  return {
    key: { workflowId: 'w', runId: 'r', step },
    handle,
    state,
    armedAt: at,
    expiresAt: at,
    hardMaximumAt: at,
    injectedAt: at,
    goneAt: state === 'gone' ? at : null,
    endedBy: state === 'gone' ? 'undone' : null,
    confirmed: proof,
    gone: state === 'gone' ? proof : null,
    lastError: null,
    undoAttempts: state === 'gone' ? 1 : 0,
  };
}

/** What happened, in order, and what the script does differently from a healthy drill. */
class Script {
  readonly calls: string[] = [];
  judged: JudgeInput | null = null;
  sealed: SealInput | null = null;
  baselineGood = true;
  stops: SiteActivities['watchStop'] = () => Context.current().cancelled;
  /** Resolves when somebody halts everything at the guardian. */
  lever: Promise<void> = new Promise(() => undefined);
  /** What happens while the activity of this name runs, once. */
  meanwhile: { readonly at: string; readonly work: () => Promise<void> } | null = null;
  injectFails = false;
  /** Whom a failover step makes the primary; null: nobody can be. */
  promotes: string | null = null;
  /** Who took writes before a fault, by its step. */
  primaries: Readonly<Record<string, string>> = {};
  undoFails = false;
  /** A standby made anew. */
  streamsAgain = true;
  /** What heal finds of one that did not. */
  standby: UndoneRebuild = { movedAside: '/older', problem: null };
  regained = true;
  keyOpens = true;
  /** By itself, though its answer to the drill is lost. */
  guardianHeals = false;
  readyOk = true;
  holding = false;
  storeAway = false;
  readonly events: EventBody[] = [];
  readonly handles = new Map<string, FaultHandle>();
  heldUntilHealed = false;

  readonly control: ControlActivities = {
    register: async () => {
      this.calls.push('register');
      await this.happen('register');
      return {
        drill: 'drill-000001',
        sequence: 1,
        registrationSha256: '1'.repeat(64),
        previousRegistrationSha256: null,
        custody: null,
        amended: null,
        registeredAt: new Date().toISOString(),
      };
    },
    recordEvents: async ({ events }) => {
      if (this.storeAway) throw new Error('no space left on device');
      this.events.push(...events);
    },
    judge: async (input) => {
      this.judged = input;
      this.calls.push('judge');
      await this.happen('judge');
      const verdict = input.failures.length > 0 ? 'fail' : input.doubts.length > 0 ? 'inconclusive' : 'pass';
      return { judgement: { verdict, objectives: [], reasons: [...input.failures, ...input.doubts] }, measurementFile: null };
    },
    seal: async (input) => {
      this.sealed = input;
      this.calls.push('seal');
      await this.happen('seal');
      return { verdict: input.judge.judgement.verdict, objectives: [], evidence: '/nowhere', sealSha256: '2'.repeat(64) };
    },
    notify: async () => void this.calls.push('notify'),
  };
  readonly site: SiteActivities = {
    checkReadiness: async () => {
      await this.happen('ready');
      return { checks: [{ name: 'ready', ok: this.readyOk, found: 'scripted', expected: 'ready', hint: null }], topology };
    },
    startProbe: async () => ({ socket: '/nowhere', dir: '/nowhere', table: 't' }),
    awaitWindow: async ({ mark }) => {
      if (mark === 'baseline') await this.happen('baseline');
      return { good: this.baselineGood, reason: 'scripted', p99Ms: 3 };
    },
    hold: async ({ untilHalt }) => {
      this.holding = true;
      this.calls.push(untilHalt === true ? 'hold' : 'hold on');
      try {
        const beat = setInterval(() => Context.current().heartbeat(), 500);
        await Promise.race([Context.current().cancelled, ...(untilHalt === true ? [this.lever] : [])]).finally(() => clearInterval(beat));
        return { by: 'ann', reason: 'everything' };
      } finally {
        this.holding = false;
      }
    },
    stopProbe: async () => void this.calls.push('stopProbe'),
    resolveFault: async ({ step }) => {
      this.calls.push(`resolve ${step.id}`);
      const handle = { fault: step.fault, drill: 'drill-000001', resolved: {}, preview: step.id, manualUndo: ['true'] };
      this.handles.set(step.id, handle);
      return { ...handle, primary: this.primaries[step.id] ?? null };
    },
    injectFault: async ({ key, handle }) => {
      this.calls.push(`inject ${key.step}`);
      await this.happen('inject');
      if (this.injectFails) throw ApplicationFailure.nonRetryable('the answer was lost', 'step_failed');
      return { facts: {}, confirmed: proof, lease: lease(key.step, handle, 'active'), aboutToNs: '1', doneNs: '2' };
    },
    failover: async ({ step, since }) => {
      if (this.promotes === null) throw ApplicationFailure.nonRetryable('no candidate', 'no_candidate');
      this.calls.push(`failover ${step.id} since ${since}`);
      return { from: since ?? null, to: this.promotes, epoch: 2, timeline: 2, candidates: [] };
    },
    restore: async () => {
      if (!this.keyOpens)
        throw ApplicationFailure.nonRetryable('the key "escrow" does not open the archive', 'archive_key_wrong', { hint: 'compare' });
      throw new Error('not scripted');
    },
    expectRefusal: async () => Promise.reject(new Error('not scripted')),
    resolveStandby: async ({ step }) => {
      this.calls.push(`resolve ${step.node}`);
      return 'n3';
    },
    rebuild: async ({ step, node }) => {
      this.calls.push(`rebuild ${node}`);
      if (this.streamsAgain) return { node, movedAside: '/old' };
      throw ApplicationFailure.nonRetryable(`${node} did not stream`, 'step_failed', { step: step.id });
    },
    mark: async () => Promise.reject(new Error('not scripted')),
    check: async () => Promise.reject(new Error('not scripted')),
    declare: async ({ step, phase }) => void this.calls.push(`declare ${step} ${phase}`),
    watchDeclaration: async ({ step }) => {
      this.calls.push(`watch ${step}`);
      const beat = setInterval(() => Context.current().heartbeat(), 500);
      await Context.current().cancelled.finally(() => {
        clearInterval(beat);
        this.calls.push(`watched ${step}`);
      });
    },
    verify: async () => {
      this.calls.push('verify');
      await this.happen('verify');
      return [];
    },
    reconcileLedger: async () => {
      this.calls.push('reconcile');
      return { checks: [], rpoFile: '/nowhere', statement: 'scripted', left: [] };
    },
    restoreRedundancy: async () => {
      this.calls.push('redundancy');
      await this.happen('redundancy');
      const differences = this.regained ? [] : ['1 standbys stream, 2 did at the start'];
      return { regained: this.regained, rejoined: [], salvages: [], forks: [], differences };
    },
    recordSkip: async () => undefined,
    watchStop: (input) => this.stops(input),
  };
  readonly undo: UndoActivities = {
    undoRebuild: async ({ step, node, start }) => {
      this.calls.push(`undo ${step} of ${node}${start ? '' : ', not started'}`);
      return this.standby;
    },
    undoFaults: async ({ steps }) => {
      this.heldUntilHealed = this.holding;
      if (this.undoFails) return [];
      this.calls.push(...steps.map((step) => `undo ${step}`));
      return steps.map((step) => lease(step, this.handles.get(step) as FaultHandle, 'gone'));
    },
    undoFault: async ({ key, handle }) => {
      this.calls.push(`undo ${key.step}`);
      await this.happen('heal');
      this.heldUntilHealed = this.holding;
      if (this.undoFails) throw ApplicationFailure.nonRetryable('still there', 'undo_failed');
      return lease(key.step, handle, 'gone');
    },
    describeLease: async ({ key }) => (this.guardianHeals ? lease(key.step, this.handles.get(key.step) as FaultHandle, 'gone') : null),
    removeSandbox: async () => 'gone',
  };

  private async happen(at: string): Promise<void> {
    if (this.meanwhile?.at !== at) return;
    const { work } = this.meanwhile;
    this.meanwhile = null;
    await work();
  }
}

let env: TestWorkflowEnvironment;
let bundle: WorkflowBundleWithSourceMap;

beforeAll(async () => {
  const logger = new DefaultLogger('ERROR');
  Runtime.install({ logger });
  env = await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'existing-path', path: locateTools().temporal } } });
  bundle = await bundleWorkflowCode({ workflowsPath: join(packageRoot(), 'workflows', 'index.ts'), logger });
}, 120_000);
afterAll(async () => {
  await env?.teardown();
});

interface Running {
  readonly script: Script;
  readonly handle: Awaited<ReturnType<typeof start>>;
}
const start = (input: DrillInput) =>
  env.client.workflow.start('drill', {
    args: [input],
    taskQueue: 'control',
    workflowId: drillWorkflowId(`${Date.now()}-${Math.random()}`),
  });

async function withDrill<T>(
  steps: readonly PlanStep[],
  script: Script,
  work: (running: Running) => Promise<T>,
  limits: Partial<Plan['limits']> = {},
  stop: Plan['stop'] = [],
): Promise<T> {
  const sample = samplePlan(steps);
  const plan: Plan = { ...sample, stop, limits: { ...sample.limits, ...limits } };
  const queues = taskQueues(plan.target.site);
  const base = { connection: env.nativeConnection, maxHeartbeatThrottleInterval: '1s' } as const;
  const workers = [
    await Worker.create({ ...base, taskQueue: queues.control, workflowBundle: bundle, activities: { ...script.control } }),
    await Worker.create({ ...base, taskQueue: queues.site, activities: { ...script.site } }),
    await Worker.create({ ...base, taskQueue: queues.undo, activities: { ...script.undo } }),
  ];
  const runs = workers.map((worker) => worker.run());
  try {
    const handle = await start({
      plan,
      planSha256: '0'.repeat(64),
      startedBy: 'test',
      trigger: { kind: 'command', name: null },
      home: '/nowhere',
    });
    return await work({ script, handle });
  } finally {
    for (const worker of workers) worker.shutdown();
    await Promise.all(runs);
  }
}

const result = ({ handle }: Running): Promise<DrillResult> => handle.result() as Promise<DrillResult>;
const called = (script: Script, ...names: string[]): string[] => script.calls.filter((call) => names.some((name) => call.startsWith(name)));

async function untilCalled(script: Script, call: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!script.calls.includes(call)) {
    if (Date.now() > deadline) throw new Error(`${call} was never called: ${script.calls.join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('drill workflow', () => {
  test('heals in reverse order, verifies, restores redundancy, judges and seals', async () => {
    await withDrill([fault('one'), fault('two')], new Script(), async (running) => {
      const outcome = await result(running);
      expect(outcome).toMatchObject({ state: 'completed', verdict: 'pass', drill: 'drill-000001' });
      // Leases are renewed beside everything else: when that begins is nobody's promise.
      expect(running.script.calls.filter((call) => call !== 'hold')).toEqual([
        'register',
        'resolve one',
        'inject one',
        'resolve two',
        'inject two',
        'undo two',
        'undo one',
        'verify',
        'redundancy',
        'stopProbe',
        'reconcile',
        'judge',
        'seal',
        'notify',
      ]);
      expect(running.script.heldUntilHealed).toBe(true);
    });
  }, 60_000);

  const blind: NonNullable<Plan['stop']> = [
    { id: 'one-writer', check: { kind: 'nodes', maxWritable: 1, minUp: null }, everyMs: 100, failures: 1, of: 1 },
  ];
  test('a stop condition that trips ends the method, heals, and is named', async () => {
    const script = new Script();
    script.stops = async () => {
      await untilCalled(script, 'inject one');
      return { condition: 'one-writer', at: new Date().toISOString(), failures: 1, of: 1, found: 'writable: n1, n2' };
    };
    await withDrill(
      [fault('one'), waitFor('long', 600_000), fault('two')],
      script,
      async (running) => {
        expect(await result(running)).toMatchObject({ state: 'aborted' });
        expect(called(script, 'inject', 'undo')).toEqual(['inject one', 'undo one']);
        expect(script.judged?.doubts.join(' ')).toContain('stop condition one-writer');
        expect(script.judged?.doubts.join(' ')).toContain('writable: n1, n2');
      },
      {},
      blind,
    );
  }, 60_000);

  test('a drill whose stop conditions cannot be watched does not go on blind', async () => {
    const script = new Script();
    script.stops = async () => {
      await untilCalled(script, 'inject one');
      throw ApplicationFailure.nonRetryable('no such query', 'step_failed');
    };
    await withDrill(
      [fault('one'), waitFor('long', 600_000)],
      script,
      async (running) => {
        expect(await result(running)).toMatchObject({ state: 'aborted' });
        expect(called(script, 'inject', 'undo')).toEqual(['inject one', 'undo one']);
        expect(script.judged?.doubts.join(' ')).toContain('could not be watched: no such query');
      },
      {},
      blind,
    );
  }, 60_000);

  test('an inject that timed out is undone all the same', async () => {
    const script = new Script();
    script.injectFails = true;
    await withDrill([fault('one'), fault('two')], script, async (running) => {
      const outcome = await result(running);
      expect(outcome.state).toBe('failed');
      expect(called(script, 'undo')).toEqual(['undo one']);
      expect(script.sealed?.steps.map((step) => [step.id, step.outcome])).toEqual([
        ['one', 'failed'],
        ['two', 'not executed'],
      ]);
    });
  }, 60_000);

  test('a fault that cannot be undone makes the drill unsafe and does not keep the others from being undone', async () => {
    const script = new Script();
    script.undoFails = true;
    await withDrill([fault('one'), fault('two')], script, async (running) => {
      const outcome = await result(running);
      expect(outcome.state).toBe('unsafe');
      expect(called(script, 'undo')).toEqual(['undo two', 'undo one']);
      expect(called(script, 'redundancy')).toEqual([]);
      expect(script.sealed?.left.join()).toContain('by hand: true');
    });
  }, 60_000);

  test('without a steady baseline nothing is injected and the drill is inconclusive', async () => {
    const script = new Script();
    script.baselineGood = false;
    await withDrill([fault('one')], script, async (running) => {
      const outcome = await result(running);
      expect(outcome.verdict).toBe('inconclusive');
      expect(called(script, 'inject', 'undo')).toEqual([]);
    });
  }, 60_000);

  test('a refusal touches nothing, keeps its number and is sealed', async () => {
    const script = new Script();
    script.readyOk = false;
    await withDrill([fault('one')], script, async (running) => {
      const outcome = await result(running);
      expect(outcome.state).toBe('refused');
      expect(called(script, 'inject', 'undo', 'verify')).toEqual([]);
      expect(called(script, 'seal')).toEqual(['seal']);
    });
  }, 60_000);

  test('a halt ends the method, heals, and then stops: no redundancy is rebuilt', async () => {
    await withDrill([fault('one'), waitFor('long', 600_000)], new Script(), async (running) => {
      await untilCalled(running.script, 'inject one');
      await running.handle.executeUpdate(haltUpdate, { args: [{ by: 'ann', reason: 'enough' }] });
      const outcome = await result(running);
      expect(outcome.state).toBe('aborted');
      expect(called(running.script, 'undo', 'redundancy')).toEqual(['undo one']);
      expect(running.script.judged?.doubts.join()).toContain('halted by ann: enough');
    });
  }, 60_000);

  /** What each is halted in, how the drill ends, and whether redundancy is rebuilt: never once the halt was heard before it. */
  const HALTS: readonly (readonly [string, 'aborted' | 'completed', readonly string[]])[] = [
    ['register', 'aborted', []],
    ['ready', 'aborted', []],
    ['baseline', 'aborted', []],
    ['inject', 'aborted', ['inject one', 'undo one']],
    ['heal', 'aborted', ['inject one', 'undo one']],
    ['verify', 'aborted', ['inject one', 'undo one']],
    ['redundancy', 'completed', ['inject one', 'undo one', 'redundancy']],
    ['judge', 'completed', ['inject one', 'undo one', 'redundancy']],
    ['seal', 'completed', ['inject one', 'undo one', 'redundancy']],
  ];
  test.each(HALTS)(
    'a halt in %s: the drill ends %s, heals what it injected, and is sealed',
    async (at, state, done) => {
      const script = new Script();
      let tell: (running: Running) => void = () => undefined;
      const started = new Promise<Running>((resolve) => (tell = resolve));
      const work = async (): Promise<void> => {
        const { handle } = await started;
        await handle.executeUpdate(haltUpdate, { args: [{ by: 'ann', reason: 'enough' }] });
      };
      script.meanwhile = { at, work };
      await withDrill([fault('one')], script, async (running) => {
        tell(running);
        const outcome = await result(running);
        expect(outcome.state).toBe(state);
        expect(called(script, 'inject', 'undo', 'redundancy')).toEqual(done);
        expect(called(script, 'judge', 'seal', 'notify')).toEqual(['judge', 'seal', 'notify']);
        if (state === 'aborted') expect(script.judged?.doubts.join()).toContain('halted by ann');
      });
    },
    60_000,
  );

  test('a halt of everything that the drill was not told of reaches it by its leases: no step is begun any more', async () => {
    const script = new Script();
    script.lever = untilCalled(script, 'inject one');
    await withDrill([fault('one'), waitFor('long', 600_000), fault('two')], script, async (running) => {
      const outcome = await result(running);
      expect(outcome.state).toBe('aborted');
      expect(called(script, 'inject', 'undo', 'redundancy', 'hold')).toEqual(['hold', 'inject one', 'hold on', 'undo one']);
      expect(script.judged?.doubts.join()).toContain('halted by ann: everything');
      expect(script.heldUntilHealed).toBe(true);
    });
  }, 60_000);

  test('an undo whose answers are lost is healed all the same where the guardian has proven it gone', async () => {
    const script = new Script();
    script.undoFails = true;
    script.guardianHeals = true;
    await withDrill([fault('one')], script, async (running) => {
      const outcome = await result(running);
      expect(outcome.state).toBe('completed');
      expect(outcome.unhealed).toEqual([]);
    });
  }, 60_000);

  test('cancelling the workflow heals just like a halt, with its leases held to the end', async () => {
    await withDrill([fault('one'), waitFor('long', 600_000)], new Script(), async (running) => {
      await untilCalled(running.script, 'inject one');
      await running.handle.cancel();
      const outcome = await result(running);
      expect(outcome.state).toBe('aborted');
      expect(called(running.script, 'undo')).toEqual(['undo one']);
      expect(running.script.heldUntilHealed).toBe(true);
    });
  }, 60_000);

  test('a drill that outlives its plan’s limit is ended like a halt, and healed', async () => {
    await withDrill(
      [fault('one'), waitFor('long', 600_000)],
      new Script(),
      async (running) => {
        const outcome = await result(running);
        expect(outcome.state).toBe('aborted');
        expect(called(running.script, 'undo', 'redundancy')).toEqual(['undo one']);
        expect(outcome.reasons.join()).toContain('longer than the plan’s limit');
      },
      { maxDrillMs: 6_000 },
    );
  }, 60_000);

  test('an evidence store that is away in the middle stops nothing: its events are written later', async () => {
    const script = new Script();
    script.storeAway = true;
    await withDrill([fault('one')], script, async (running) => {
      await untilCalled(script, 'inject one');
      script.storeAway = false;
      const outcome = await result(running);
      expect(outcome.state).toBe('completed');
      const kinds = script.events.map((event) => `${event.step} ${event.kind}`);
      expect(kinds).toContain('register registered');
      expect(new Set(kinds.map((kind, at) => `${kind} ${script.events[at]?.attempt}`)).size).toBe(kinds.length);
    });
  }, 90_000);

  test('gates and manual steps take only the answers they wait for; no-go halts', async () => {
    const manual: PlanStep = {
      kind: 'manual',
      id: 'page',
      title: 'page',
      instruction: 'page the owner',
      owner: 'sre',
      check: null,
      timeoutMs: 60_000,
    };
    const gate: PlanStep = { kind: 'gate', id: 'go', title: 'go', question: 'go on?', owner: 'lead', timeoutMs: 60_000 };
    const declaring: PlanStep = { ...manual, id: 'declare', declares: 'incident' };
    await withDrill([manual, declaring, { ...gate, declares: 'incident' }, fault('one')], new Script(), async (running) => {
      const open = async (step: string): Promise<void> => {
        const deadline = Date.now() + 20_000;
        for (;;) {
          const progress = await running.handle.query(progressQuery);
          if (progress.open.some((question) => question.step === step)) return;
          if (Date.now() > deadline) throw new Error(`${step} never opened`);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
      const answer = (step: string, word: 'done' | 'go' | 'no-go') =>
        running.handle.executeUpdate(answerUpdate, { args: [{ step, answer: word, by: 'bob', note: null }] });
      await open('page');
      await expect(answer('go', 'go')).rejects.toThrow();
      await expect(answer('page', 'go')).rejects.toThrow();
      await answer('page', 'done');
      await open('declare');
      await untilCalled(running.script, 'watch declare');
      await answer('declare', 'done');
      await untilCalled(running.script, 'watched declare');
      await open('go');
      await answer('go', 'no-go');
      const outcome = await result(running);
      expect(outcome.state).toBe('aborted');
      expect(called(running.script, 'inject')).toEqual([]);
      expect(running.script.sealed?.people.map((p) => [p.id, p.step, p.answer])).toEqual([
        ['bob', 'page', 'done'],
        ['bob', 'declare', 'done'],
        ['bob', 'go', 'no-go'],
      ]);
      // Stamped before the question is put, and once the answer is in: by no step that does not declare, and not by a no.
      const stamps = called(running.script, 'declare', 'watch');
      expect(stamps.filter((call) => call.startsWith('declare'))).toEqual([
        'declare declare about-to',
        'declare declare done',
        'declare go about-to',
      ]);
      expect(stamps.filter((call) => call.endsWith('page'))).toEqual([]);
    });
  }, 60_000);

  test('a failover step hears who took writes before the last fault that found anybody; one without a fault since the last failover hears of nobody', async () => {
    const script = new Script();
    script.promotes = 'n2';
    script.primaries = { one: 'n1' };
    const failover = (id: string): PlanStep => ({ kind: 'failover', id, title: id, candidate: null, timeoutMs: 1_000 });
    // Nobody takes writes when the second goes in: the first has seen to that.
    await withDrill([failover('planned'), fault('one'), fault('two'), failover('lost'), failover('again')], script, async (running) => {
      expect(await result(running)).toMatchObject({ state: 'completed' });
      const asked = script.calls.filter((call) => call.startsWith('failover'));
      expect(asked).toEqual(['failover planned since null', 'failover lost since n1', 'failover again since null']);
    });
  });

  const anew: PlanStep = { kind: 'rebuild', id: 'anew', title: 'anew', node: 'any-replica', timeoutMs: 1_000 };

  test('a standby that was made anew leaves its old data directory, and says so', async () => {
    const script = new Script();
    await withDrill([anew], script, async (running) => {
      expect(await result(running)).toMatchObject({ state: 'completed', verdict: 'pass' });
      expect(script.calls).toEqual(expect.arrayContaining(['resolve any-replica', 'rebuild n3']));
      expect(script.sealed?.left).toEqual(["n3's old data directory, moved aside to /old"]);
    });
  });

  test('a standby that does not stream after it was made anew ends the method; faults come off, and redundancy is restored', async () => {
    const script = new Script();
    script.streamsAgain = false;
    await withDrill([fault('archive'), anew], script, async (running) => {
      expect(await result(running)).toMatchObject({ state: 'failed', verdict: 'inconclusive' });
      expect(script.calls.filter((call) => ['rebuild n3', 'undo archive', 'undo anew of n3', 'redundancy'].includes(call))).toEqual([
        'rebuild n3',
        'undo archive',
        'undo anew of n3',
        'redundancy',
      ]);
      expect(script.sealed?.left).toEqual(["n3's old data directory, moved aside to /older"]);
    });
  });

  test('a standby that neither heal nor the last phase brings back is named, with its old data directory', async () => {
    const script = new Script();
    script.streamsAgain = false;
    script.standby = { movedAside: '/older', problem: 'it did not start' };
    script.regained = false;
    await withDrill([anew], script, async (running) => {
      expect(await result(running)).toMatchObject({ state: 'failed' });
      expect(script.sealed?.left).toEqual([
        "n3's old data directory, moved aside to /older",
        'n3, which was being made anew, does not stream: it did not start',
        '1 standbys stream, 2 did at the start',
      ]);
    });
  });

  test('where a fault is not proven gone, what is left of a standby that was being made anew is cleared, and the standby not started', async () => {
    const script = new Script();
    script.streamsAgain = false;
    script.undoFails = true;
    await withDrill([fault('archive'), anew], script, async (running) => {
      expect(await result(running)).toMatchObject({ state: 'unsafe' });
      expect(script.calls).toContain('undo anew of n3, not started');
      expect(script.sealed?.left).toEqual(
        expect.arrayContaining([
          "n3's old data directory, moved aside to /older",
          'n3, which was being made anew, does not stream: it was not started, for a fault is not proven gone',
        ]),
      );
    });
  });

  test('a restore whose key does not open the archive fails the drill: that is proven, not unknown', async () => {
    const script = new Script();
    script.keyOpens = false;
    const restore: PlanStep = { kind: 'restore', id: 'back', title: 'back', to: { kind: 'latest' }, timeoutMs: 1_000, key: 'escrow' };
    await withDrill([restore], script, async (running) => {
      expect(await result(running)).toMatchObject({ state: 'failed', verdict: 'fail' });
      expect(script.judged?.failures).toEqual(['restore back: the key "escrow" does not open the archive (compare)']);
    });
  });

  test('parallel branches: a failing branch ends the other, and both faults are undone', async () => {
    const script = new Script();
    const failing: PlanStep = { kind: 'failover', id: 'fo', title: 'fo', candidate: null, timeoutMs: 1_000 };
    const steps: PlanStep[] = [
      {
        kind: 'parallel',
        id: 'both',
        title: 'both',
        branches: [
          [fault('a'), waitFor('long', 600_000)],
          [fault('b'), failing],
        ],
      },
    ];
    await withDrill(steps, script, async (running) => {
      const outcome = await result(running);
      expect(outcome.state).toBe('failed');
      expect(called(script, 'undo').sort()).toEqual(['undo a', 'undo b']);
    });
  }, 120_000);
});
