/** Decides about a login by the user of the directory that main has looked up for it. */

import { rightsOrNone } from '../../../../src/endpoint/access/own-groups.ts';
import type { OwnRights } from '../../../../src/endpoint/endpoint.ts';
import { readHash, scramSecretOf } from '../../../../src/kernel/logins/hash-forms.ts';
import { matchesHash } from '../../../../src/kernel/logins/match-hash.ts';
import type { AskWho, FoundUser, LoginVerdict, ScramFound } from '../../../../src/thread/access/ask.ts';
import type { Asker } from '../contract.ts';

export async function openUsersAsker(): Promise<Asker> {
  return { ask: judge, close: async () => {} };
}

/** Takes the time of a hash for an unknown user too: otherwise the time of an answer would reveal which names exist. */
async function judge({ username, clientId, password, scram, found }: AskWho): Promise<LoginVerdict | ScramFound> {
  if (found === undefined) throw new Error('the node has no directory of users');
  if ('failure' in found) throw new Error(found.failure);
  if (scram !== undefined) {
    const { user } = found;
    const secret = user === null || user.disabled ? null : scramSecretOf(user.hash, scram);
    return user === null || secret === null ? { result: 'ignore' } : { result: 'secret', secret, ...rightsOf(user) };
  }
  if (password === null || (username === null && clientId === '')) return { result: 'ignore' };
  const { user } = found;
  const stored = user?.hash ?? found.decoy;
  const isRight = stored !== null && (await matches(stored, password));
  if (user === null) return { result: 'ignore' };
  return isRight && !user.disabled ? { result: 'allow', ...rightsOf(user) } : { result: 'deny' };
}

async function matches(stored: string, password: Uint8Array): Promise<boolean> {
  const hash = readHash(stored);
  // A newer version may have written a form that this one does not know.
  if (typeof hash === 'string') throw new Error(`the hash of the user ${hash}`);
  return matchesHash(hash, password);
}

function rightsOf({ isSuperuser, acl, groups }: FoundUser): { rights?: OwnRights } {
  const rights = rightsOrNone(isSuperuser, acl, groups);
  return rights === null ? {} : { rights };
}
