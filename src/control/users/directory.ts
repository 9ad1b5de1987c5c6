/** The users as this node knows them: look-ups of logins, and lists. */

import { createHash } from 'node:crypto';
import { type DirectoryUser, fromUserBody, USER_KIND, type UserId, userKey } from '../../endpoint/users/user.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { CopiedDocument, CopyPlace, DocumentCopy, ListPlace } from '../../storage/local/document-copy.ts';
import type { Sealer } from '../../storage/sealed/sealer.ts';
import type { AskJob, FoundInDirectory, FoundUser } from '../../thread/access/ask.ts';

/** A user, and the revision of its last change. */
export interface KnownUser {
  user: DirectoryUser;
  revision: number;
}

export class UserDirectory {
  readonly #copy: DocumentCopy;
  readonly #sealer: Sealer;
  readonly #isKnown: () => boolean;

  /** @param isKnown false: the copy has not been read from the store yet */
  constructor(copy: DocumentCopy, sealer: Sealer, isKnown: () => boolean) {
    this.#copy = copy;
    this.#sealer = sealer;
    this.#isKnown = isKnown;
  }

  get place(): CopyPlace {
    return this.#copy.place;
  }

  get total(): number {
    return this.#copy.count(USER_KIND);
  }

  /** @throws FluxError `unprocessable`: the key that seals it is missing */
  get(id: UserId): KnownUser | null {
    const found = this.#copy.get(USER_KIND, userKey(id));
    return found === null ? null : this.#open(found);
  }

  /** Users by name. @param after behind this place @returns the place of the last one */
  list(
    prefix: string,
    namespace: string | undefined,
    after: ListPlace | null,
    limit: number,
  ): { users: KnownUser[]; last: ListPlace | null } {
    const users: KnownUser[] = [];
    let place = after;
    for (;;) {
      const found = this.#copy.list(USER_KIND, prefix, place, limit);
      for (const document of found) {
        place = { word: document.word, key: document.key };
        const known = this.#open(document);
        if (namespace === undefined || known.user.namespace === namespace) users.push(known);
        if (users.length === limit) return { users, last: place };
      }
      if (found.length < limit) return { users, last: null };
    }
  }

  /** The body of a user's document as it is stored. */
  seal(body: string): string {
    return this.#sealer.seal(body);
  }

  /** @throws FluxError `unprocessable` */
  unseal(key: string, body: string): DirectoryUser {
    return fromUserBody(key, this.#sealer.unseal(body));
  }

  /** A login with the user that it is about. Other authenticators need none. */
  lookUp(job: AskJob): AskJob {
    if (job.config.authType !== 'users') return job;
    return { ...job, who: { ...job.who, found: this.#find(job.config.look, job.who) } };
  }

  #find(look: 'username' | 'clientId' | 'both', { namespace, username, clientId }: AskJob['who']): FoundInDirectory {
    if (!this.#isKnown()) return { failure: 'the users have not been read from the store yet' };
    try {
      const byName = look === 'clientId' || username === null ? null : this.get({ namespace, by: 'username', name: username });
      const known = byName ?? (look === 'username' ? null : this.get({ namespace, by: 'clientId', name: clientId }));
      if (known !== null) return { user: neededOf(known.user), decoy: null };
      const near = this.#copy.near(USER_KIND, decoyKey(namespace, username ?? clientId));
      return { user: null, decoy: near === null ? null : this.#open(near).user.hash };
    } catch (error) {
      return { failure: messageOf(error) };
    }
  }

  #open({ key, body, revision }: CopiedDocument): KnownUser {
    return { user: this.unseal(key, body), revision };
  }
}

function neededOf({ hash, isSuperuser, acl, groups, disabled }: DirectoryUser): FoundUser {
  return { hash, isSuperuser, acl, groups, disabled };
}

/** A name always gets the same decoy: an average over several would reveal it as unknown. */
function decoyKey(namespace: string, name: string): string {
  const digest = createHash('sha256').update(name).digest('base64url');
  return userKey({ namespace, by: 'username', name: digest });
}
