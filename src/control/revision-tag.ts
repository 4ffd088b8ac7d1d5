/** Revisions of the configuration as entity tags (RFC 9110, section 8.8.3): `"17"`. */

export function etagOf(revision: number): string {
  return `"${revision}"`;
}

export function revisionOf(etag: string | undefined): number | undefined {
  const digits = /^"(\d{1,15})"$/.exec(etag?.trim() ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}
