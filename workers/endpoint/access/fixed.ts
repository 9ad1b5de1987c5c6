/** The users of the configuration (`fixed`). */

import { createHash } from 'node:crypto';
import type { FixedAuthConfig, FixedUser } from '../../../src/endpoint/endpoint.ts';
import { scramSecretOf } from '../../../src/kernel/logins/hash-forms.ts';
import { deriveScram, SCRAM_ITERATIONS, type ScramMethod, type ScramSecret } from '../../../src/kernel/logins/scram.ts';
import type { VerifyJob } from '../../../src/thread/commands.ts';
import { verifyPlain } from '../../task/verify-plain.ts';
import type { Credentials } from './credentials.ts';

/** The stored forms that may hold a secret, or a hash that SCRAM derives it from. */
const MAY_BE_SCRAM: ReadonlySet<FixedUser['encrypt']> = new Set(['auto', 'pbkdf2', 'scram']);

export class FixedUsers {
  readonly #users: Map<string, FixedUser>;
  /** in the order of the configuration */
  readonly #all: readonly FixedUser[];
  /** secrets of passwords in clear text, by method and user */
  readonly #derived = new Map<string, Promise<ScramSecret>>();
  readonly #verifyHash: (job: VerifyJob) => Promise<boolean>;

  /** @param verifyHash verifies a hash off this thread; rejects when that is impossible now */
  constructor({ users }: FixedAuthConfig, verifyHash: (job: VerifyJob) => Promise<boolean>) {
    this.#users = new Map(users.map((user) => [user.username, user]));
    this.#all = [...this.#users.values()];
    this.#verifyHash = verifyHash;
  }

  /** Takes the same time for an unknown user as for a known one: otherwise the time of an answer would reveal which names exist. */
  async isRight({ username, password }: Credentials): Promise<boolean> {
    if (username === null || password === null) return false;
    const user = this.#users.get(username);
    const compared = user ?? this.#decoyOf(username);
    if (compared === undefined) return false;
    const matches = await this.#verify(compared, password);
    return matches && user !== undefined;
  }

  /**
   * What a SCRAM exchange needs of a user; null: the user is unknown, or the stored form of the password allows no such exchange.
   * @param salt of a password in clear text, from which the secret is derived once
   */
  async secretOf(username: string, method: ScramMethod, salt: () => Buffer): Promise<ScramSecret | null> {
    const user = this.#users.get(username);
    if (user === undefined) return null;
    if (user.encrypt !== 'plain') return MAY_BE_SCRAM.has(user.encrypt) ? scramSecretOf(user.password, method) : null;
    const key = `${method} ${username}`;
    let secret = this.#derived.get(key);
    if (secret === undefined) {
      secret = deriveScram(method, Buffer.from(user.password), salt(), SCRAM_ITERATIONS);
      this.#derived.set(key, secret);
      secret.catch(() => this.#derived.delete(key));
    }
    return secret;
  }

  #verify(user: FixedUser, password: Buffer): Promise<boolean> | boolean {
    if (user.encrypt === 'plain') return verifyPlain(user.password, password);
    const { encrypt, password: stored, salt, saltMode } = user;
    return this.#verifyHash({ encrypt, stored, salt, saltMode, password });
  }

  /** The user compared in place of an unknown one. A name always gets the same one: an average over several would reveal it as unknown. */
  #decoyOf(username: string): FixedUser | undefined {
    return this.#all[createHash('sha256').update(username).digest().readUInt32BE(0) % Math.max(1, this.#all.length)];
  }
}
