/** The users of the configuration (`fixed`). */

import { createHash } from 'node:crypto';
import type { FixedAuthConfig, FixedUser } from '../../../src/endpoint/endpoint.ts';
import type { VerifyJob } from '../../../src/thread/commands.ts';
import { verifyPlain } from '../../task/verify-plain.ts';
import type { Credentials } from './credentials.ts';

export class FixedUsers {
  readonly #users: Map<string, FixedUser>;
  /** in the order of the configuration */
  readonly #all: readonly FixedUser[];
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
