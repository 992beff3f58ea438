/** What a mark records and a restored copy is asked again, word for word the same. Pure. */

export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Counts of what a database holds, by kind: what a mark records and a restored copy is compared with. */
export const CATALOG_COUNTS = `select 'relations of kind ' || relkind::text as kind, count(*)::text as n from pg_class where relpersistence <> 't' and relnamespace::regnamespace::text not like 'pg_temp%' group by relkind
  union all select 'functions', count(*)::text from pg_proc union all select 'types', count(*)::text from pg_type
  union all select 'constraints', count(*)::text from pg_constraint union all select 'triggers', count(*)::text from pg_trigger
  union all select 'extensions', count(*)::text from pg_extension order by 1`;

/** An order-free digest of a table's rows, seeded: two 64-bit sums, so that equal rows do not cancel out. */
export function digestQuery(schema: string, table: string, seed: string): string {
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
  const sum = (of: string): string => `coalesce(sum(hashtextextended(t::text, ${of})::numeric), 0)::text`;
  return `select count(*)::text as rows, ${sum(`(${BigInt.asIntN(64, BigInt(seed))})`)} || '/' || ${sum(`(${BigInt.asIntN(64, BigInt(seed) + 1n)})`)} as digest from ${name} t`;
}
