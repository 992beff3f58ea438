import Ajv2020 from 'ajv/dist/2020';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../core/files';
import { sampleRecord } from '../test/fixtures/record';
import { parseRecord, recordJsonSchema } from './record-schema';

const published = join(packageRoot(), 'docs', 'record.schema.json');

describe('record schema', () => {
  it('is published as it is (UPDATE_SCHEMA=1 writes it)', () => {
    const schema = recordJsonSchema();
    if (process.env['UPDATE_SCHEMA'] === '1') writeFileSync(published, `${JSON.stringify(schema, null, 2)}\n`);
    expect(JSON.parse(readFileSync(published, 'utf8'))).toEqual(JSON.parse(JSON.stringify(schema)));
  });

  it('accepts a whole record and one in which facts are missing with a reason', () => {
    const missing = { notRecorded: 'the prober never started' };
    expect(parseRecord(sampleRecord(), 'record')).toEqual(sampleRecord());
    expect(parseRecord(sampleRecord({ rto: missing, rpo: missing, redundancy: missing, probeEpoch: missing }), 'record').rto).toEqual(
      missing,
    );
  });

  it.each([
    ['a blank reason', { ...sampleRecord(), rto: { notRecorded: '' } }],
    ['an unknown field', { ...sampleRecord(), mood: 'good' }],
    ['a digest that is none', { ...sampleRecord(), planSha256: 'abc' }],
    ['an unknown verdict', { ...sampleRecord(), verdict: 'passed' }],
    ['a missing field', { ...sampleRecord(), left: undefined }],
  ])('refuses %s', (_, value) => {
    expect(() => parseRecord(value, 'record.json')).toThrow(/record\.json is not a valid record/);
  });

  it('means the same to others who read the published JSON Schema', () => {
    const validate = new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(published, 'utf8')) as object);
    expect(validate(JSON.parse(JSON.stringify(sampleRecord())))).toBe(true);
    expect(validate({ ...sampleRecord(), verdict: 'passed' })).toBe(false);
  });
});
