/** Every workflow type a worker can run; the entry of the workflow bundle. */
export { drill } from './drill';
export { readiness } from './readiness';
export { recordMissed } from './record-missed';
export { scheduleGuard } from './schedule-guard';
