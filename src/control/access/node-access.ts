/** The authenticators and rules of endpoints without their own: those of the store, else those of config.yaml. */

import { isDeepStrictEqual } from 'node:util';
import type { AclConfig, AuthConfig } from '../../endpoint/endpoint.ts';
import { parseAcl, parseAuthList } from '../../endpoint/schema.ts';
import { Deadline } from '../../kernel/deadline.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { DocumentCopy } from '../../storage/local/document-copy.ts';
import type { Sealer } from '../../storage/sealed/sealer.ts';
import type { DocumentFollower } from '../documents/follower.ts';

/** The kind of the documents that hold them. */
export const ACCESS_KIND = 'access';
export const ACCESS_PARTS = ['auth', 'acl'] as const;
export type AccessPart = (typeof ACCESS_PARTS)[number];

/** The values by their parts, in normal form. */
export interface AccessValues {
  auth: AuthConfig[];
  acl: AclConfig;
}

/** A part that the store holds. */
export interface StoredPart<P extends AccessPart> {
  value: AccessValues[P];
  /** of its last change */
  revision: number;
}

export interface NodeAccessOptions {
  copy: DocumentCopy;
  sealer: Sealer;
  follower: DocumentFollower;
  /** of config.yaml */
  configured: Readonly<AccessValues>;
  logger: Logger;
}

const READERS: { readonly [P in AccessPart]: (input: unknown) => AccessValues[P] } = {
  auth: (input) => parseAuthList(input),
  acl: (input) => parseAcl(input),
};
/** Longest wait of a change until every endpoint has it. */
const OBEYED_MS = 8_000;

/** The key of a part's document. */
export function accessKey(part: AccessPart): string {
  return JSON.stringify([part]);
}

export class NodeAccess {
  readonly #options: NodeAccessOptions;
  #values: AccessValues;
  #apply: ((deadline: Deadline) => Promise<void>) | null = null;
  #applied: Promise<void> = Promise.resolve();

  constructor(options: NodeAccessOptions) {
    this.#options = options;
    this.#values = { ...options.configured };
    options.follower.changed.subscribe((names) => {
      if (names === null || names.some(({ kind }) => kind === ACCESS_KIND)) this.#look();
    });
  }

  get auth(): AuthConfig[] {
    return this.#values.auth;
  }

  get acl(): AclConfig {
    return this.#values.acl;
  }

  /** Of config.yaml. */
  get configured(): Readonly<AccessValues> {
    return this.#options.configured;
  }

  /**
   * Takes what the copy shows, before the first endpoint opens.
   * @param apply gives changed values to the endpoints that run
   */
  load(apply: (deadline: Deadline) => Promise<void>): void {
    this.#look();
    this.#apply = apply;
    const { copy, logger } = this.#options;
    for (const part of ACCESS_PARTS)
      if (copy.get(ACCESS_KIND, accessKey(part)) !== null)
        logger.info(`${part}: the store has it, and that of the configuration file is not used (docs/access.md)`);
  }

  /** The part as the store holds it; null: it does not. @throws FluxError `unprocessable`: it cannot be read */
  stored<P extends AccessPart>(part: P): StoredPart<P> | null {
    const found = this.#options.copy.get(ACCESS_KIND, accessKey(part));
    return found === null ? null : { value: this.unseal(part, found.body), revision: found.revision };
  }

  seal<P extends AccessPart>(value: AccessValues[P]): string {
    return this.#options.sealer.seal(JSON.stringify(value));
  }

  /** @throws FluxError `unprocessable` or `invalid`: a newer version may have written it */
  unseal<P extends AccessPart>(part: P, body: string): AccessValues[P] {
    return READERS[part](JSON.parse(this.#options.sealer.unseal(body)));
  }

  /** Resolves when every endpoint has what the copy shows. @throws FluxError `timeout`, or the failure of an endpoint */
  async obeyed(): Promise<void> {
    if (!(await new Deadline(OBEYED_MS).reaches(this.#applied)))
      throw new FluxError('timeout', 'An endpoint has not taken the changed auth or acl yet');
  }

  /** What cannot be read leaves the values as they are: nobody gains a right by it. */
  #look(): void {
    const values = { auth: this.#read('auth'), acl: this.#read('acl') };
    if (isDeepStrictEqual(values, this.#values)) return;
    this.#values = {
      auth: isDeepStrictEqual(values.auth, this.#values.auth) ? this.#values.auth : values.auth,
      acl: isDeepStrictEqual(values.acl, this.#values.acl) ? this.#values.acl : values.acl,
    };
    const apply = this.#apply;
    if (apply === null) return;
    this.#applied = this.#applied.catch(() => {}).then(() => apply(new Deadline(OBEYED_MS)));
    this.#applied.catch((error: unknown) =>
      this.#options.logger.error('An endpoint did not take the changed auth or acl', { reason: messageOf(error) }),
    );
  }

  #read<P extends AccessPart>(part: P): AccessValues[P] {
    try {
      return this.stored(part)?.value ?? this.#options.configured[part];
    } catch (error) {
      this.#options.logger.error(`The ${part} of the store cannot be read, and this node keeps the one that it has`, {
        reason: messageOf(error),
      });
      return this.#values[part];
    }
  }
}
