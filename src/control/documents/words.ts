/** The order of documents in lists, and the place where a page of a list ends. */

import { FluxError } from '../../kernel/errors.ts';
import type { ListPlace } from '../../storage/local/document-copy.ts';

/** What lists of documents are sorted and searched by: the last part of a key, which is a JSON list in documents of every kind. */
export function wordOfDocument(_kind: string, key: string): string {
  const parts = JSON.parse(key) as string[];
  return parts.at(-1) ?? '';
}

/** The text of a place, for `after`. */
export function writePlace({ word, key }: ListPlace): string {
  return Buffer.from(JSON.stringify([word, key])).toString('base64url');
}

/** The place of a text. @throws FluxError `invalid` */
export function readPlace(text: string): ListPlace {
  try {
    const [word, key] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[];
    if (typeof word === 'string' && typeof key === 'string') return { word, key };
  } catch {
    // the error below
  }
  throw new FluxError('invalid', 'after is not the end of a page', { issues: [{ path: 'after', message: 'is not `next` of an answer' }] });
}
