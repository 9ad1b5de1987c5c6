/** The order of documents in lists. */

/** What lists of documents are sorted and searched by: the last part of a key, which is a JSON list in documents of every kind. */
export function wordOfDocument(_kind: string, key: string): string {
  const parts = JSON.parse(key) as string[];
  return parts.at(-1) ?? '';
}
