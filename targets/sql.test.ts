import { withoutValues } from './sql';

const refused = (code: string, message: string): Error =>
  Object.assign(new Error(message), { code, severity: 'ERROR', detail: 'Key (name)=(Zora)' });

test.each([
  ['42P01', 'relation "people" does not exist'],
  ['42501', 'permission denied for table people'],
  ['57014', 'canceling statement due to statement timeout'],
  ['55P03', 'canceling statement due to lock timeout'],
  ['25006', 'cannot execute INSERT in a read-only transaction'],
])('%s names objects and states: its words stay', (code, message) => {
  expect(withoutValues(refused(code, message))).toMatchObject({ code, message });
});

test.each([
  ['22P02', 'invalid input syntax for type integer: "Zora"'],
  ['23505', 'duplicate key value violates unique constraint "people_pkey"'],
  ['P0001', 'the customer Zora is not known'],
  ['AD001', 'Zora'],
])('%s may say anything: only its code stays', (code, message) => {
  const kept = withoutValues(refused(code, message)) as Error & { readonly code: string };
  expect(kept.code).toBe(code);
  expect(kept.message).toBe(`the server refused it with SQLSTATE ${code}; its words may hold values of tables and are withheld`);
  expect(JSON.stringify({ ...kept, stack: kept.stack })).not.toContain('Zora');
});

test('what is no error of the server is left as it is', () => {
  const broken = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  expect(withoutValues(broken)).toBe(broken);
  const late = new Error('Query read timeout');
  expect(withoutValues(late)).toBe(late);
});
