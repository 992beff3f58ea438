/** All activities, bound to one worker's home and client, in the groups of their task queues. */
import { printsReport } from '../evidence/report-pdf';
import { check } from './check-activities';
import type { ControlActivities, SiteActivities, UndoActivities } from './contract';
import { declare, watchDeclaration } from './declare-activities';
import { failover, restoreRedundancy } from './failover-activities';
import { describeLease, injectFault, resolveFault, undoFault, undoFaults } from './fault-activities';
import { judge } from './judge-activities';
import type { Asking, Hand } from './open-drill';
import { watchStop } from './stop-activities';
import { awaitWindow, hold, startProbe, stopProbe } from './probe-activities';
import { checkReadiness } from './ready-activities';
import { rebuild, resolveStandby, undoRebuild } from './rebuild-activities';
import { recordEvents, register } from './register-activities';
import { mark } from './mark-activities';
import { expectRefusal, removeSandbox, restore } from './restore-activities';
import { recordSkip } from './schedule-activities';
import { notify, seal } from './seal-activities';
import { asActivities } from './as-activities';
import { reconcileLedger, verify } from './verify-activities';

export interface Activities {
  readonly control: ControlActivities;
  readonly site: SiteActivities;
  readonly undo: UndoActivities;
}

export function createActivities(hand: Hand & Asking): Activities {
  // A worker with a setting that nobody understands does not start; a seal would only note it.
  printsReport(process.env);
  return {
    control: asActivities({
      register: (input) => register(hand, input),
      recordEvents: (input) => recordEvents(hand, input),
      judge,
      seal: (input) => seal(hand, input),
      notify,
    } satisfies ControlActivities),
    site: asActivities({
      checkReadiness: (input) => checkReadiness(hand, input),
      startProbe: (input) => startProbe(hand, input),
      awaitWindow,
      hold: (input) => hold(hand, input),
      watchStop,
      stopProbe,
      resolveFault,
      injectFault: (input) => injectFault(hand, input),
      failover,
      restore,
      expectRefusal,
      resolveStandby,
      rebuild,
      mark,
      check,
      declare,
      watchDeclaration: (input) => watchDeclaration(hand, input),
      verify,
      reconcileLedger,
      restoreRedundancy,
      recordSkip,
    } satisfies SiteActivities),
    undo: asActivities({ undoFault, undoFaults, describeLease, undoRebuild, removeSandbox } satisfies UndoActivities),
  };
}
