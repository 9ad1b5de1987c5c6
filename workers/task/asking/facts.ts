/** Facts about the client that logs in, as values of placeholders. */

import type { Placeholder } from '../../../src/endpoint/access/placeholders.ts';
import type { AskWho } from '../../../src/thread/access/ask.ts';

/** The client has a value that cannot stand where the configuration puts it. */
export class Unwritable extends Error {}

/** The value of a placeholder; null: the client has none. @throws Unwritable for a password that is no UTF-8 text */
export function factOf(who: AskWho, name: Placeholder): string | null {
  if (name !== 'password') return who[name];
  if (who.password === null) return null;
  const bytes = Buffer.from(who.password.buffer, who.password.byteOffset, who.password.byteLength);
  const text = bytes.toString('utf8');
  if (!Buffer.from(text, 'utf8').equals(bytes)) throw new Unwritable();
  return text;
}
