/** The reports that go into every bundle beside HTML and Markdown: for CI systems and for tools of governance. Under names that the seal covers. Pure. */
import type { DrillRecord } from '../model/record';
import { renderJunit } from './junit';
import { renderOscal } from './oscal';
import type { ReportOptions } from './page-one';

const JUNIT_FILE = 'junit.xml';
const OSCAL_FILE = 'oscal-assessment-results.json';

export function renderFurther(
  record: DrillRecord,
  options: Pick<ReportOptions, 'digest'>,
): readonly { readonly name: string; readonly data: Buffer }[] {
  return [
    { name: JUNIT_FILE, data: Buffer.from(renderJunit(record)) },
    { name: OSCAL_FILE, data: Buffer.from(renderOscal(record, options)) },
  ];
}
