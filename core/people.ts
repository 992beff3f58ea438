/** Whether two names mean one person: better one too few than one counted twice. Pure. */

/** `ann`, `Ann` and `ann@example.com` are one person; two different addresses are two. */
export function isSamePerson(a: string, b: string): boolean {
  const plain = (name: string): string => name.toLowerCase().trim();
  const login = (name: string): string => plain(name).split('@')[0] ?? '';
  if (a.includes('@') && b.includes('@')) return plain(a) === plain(b);
  return login(a) === login(b);
}
