/** Checks what only a bug of our own can break; never used on anything that a guest, a client or a file sent. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`tapster bug: ${what}`);
}
