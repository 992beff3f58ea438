/**
 * A cluster under repmgr that somebody else made: PostgreSQL's and repmgr's own commands start a primary, two standbys and a repmgrd beside each. It is
 * discovered, its primary is lost and replaced by repmgrd within what its settings predict, comes back, and is asked to hand over.
 */
import { appendFileSync, chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../core/clock';
import { identify, lookUpUser, run, terminate } from '../../core/process';
import { locateTools } from '../../infra/tools';
import { loadTargetText } from '../../targets/schema';
import { openTarget } from '../../targets/open-target';
import type { LiveTarget } from '../../targets/ports';
import { withSql } from '../../targets/sql';
import { cli } from './lab';
