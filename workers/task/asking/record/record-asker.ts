/** Asks a store of users (Redis, a database) for the record of one user, and compares the password. One mechanism for all such stores. */

import { passwordFormProblem } from '../../../../src/endpoint/access/password-forms.ts';
import type { RecordTerms } from '../../../../src/endpoint/endpoint.ts';
import { steadyNow } from '../../../../src/kernel/clock.ts';
import { messageOf } from '../../../../src/kernel/errors.ts';
import type { AskWho, LoginVerdict } from '../../../../src/thread/access/ask.ts';
import { verifyPassword } from '../../verify-password.ts';
import type { Asker, Notify } from '../contract.ts';
import { type RawRecord, readUserRecord, type UserRecord } from './read-record.ts';

/** A record that cannot be used is reported once in this time, whoever logs in. */
const REPORT_EVERY_MS = 10_000;

/** A store of users. */
export interface RecordSource {
  /**
   * The record of the client's user; null: the store has no record; `many`: the store has several records, and choosing one would be a guess.
   * @throws Error when there is no usable answer. The message names no user and no value
   */
  find(who: AskWho, signal: AbortSignal): Promise<RawRecord | null | 'many'>;
  close(): Promise<void>;
}

const DENY: LoginVerdict = { result: 'deny' };
const IGNORE: LoginVerdict = { result: 'ignore' };

type Found = UserRecord | 'unknown' | 'unusable';

export class RecordAsker implements Asker {
  readonly #config: RecordTerms & { authType: string };
  readonly #source: RecordSource;
  readonly #notify: Notify;
  /** the password of the user that was found last: an unknown user costs as much */
  #decoy: Pick<UserRecord, 'password' | 'salt'> | null = null;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(config: RecordTerms & { authType: string }, source: RecordSource, notify: Notify) {
    this.#config = config;
    this.#source = source;
    this.#notify = notify;
  }

  /**
   * An unknown user is left to the next authenticator, a wrong password is denied. One unusable record denies its user, and is no failure of
   * the store: otherwise a client that names this user could make the store count as unavailable for all.
   */
  async ask(who: AskWho, signal: AbortSignal): Promise<LoginVerdict> {
    if (who.username === null || who.password === null) return IGNORE;
    const found = this.#read(await this.#source.find(who, signal));
    if (found === 'unusable') return DENY;
    if (found === 'unknown') {
      if (this.#decoy !== null) await this.#matches(this.#decoy, who.password);
      return IGNORE;
    }
    const { password, salt, rights } = found;
    this.#decoy = { password, salt };
    if (!(await this.#matches(found, who.password))) return DENY;
    return { result: 'allow', ...(rights === null ? {} : { rights }) };
  }

  #read(raw: RawRecord | null | 'many'): Found {
    if (raw === null) return 'unknown';
    try {
      if (raw === 'many') throw new Error('the answer has several rows');
      const record = readUserRecord(raw);
      if (record === null) return 'unknown';
      const problem = passwordFormProblem(this.#config.encrypt, record.password);
      if (problem !== null) throw new Error(`the password ${problem}`);
      return record;
    } catch (error) {
      this.#report(messageOf(error));
      return 'unusable';
    }
  }

  #report(reason: string): void {
    if (steadyNow() - this.#reportedAt < REPORT_EVERY_MS) return;
    this.#reportedAt = steadyNow();
    this.#notify('warn', `Auth: the authenticator ${this.#config.authType} has an unusable record, and denies its user`, { reason });
  }

  #matches({ password: stored, salt }: Pick<UserRecord, 'password' | 'salt'>, password: Uint8Array): Promise<boolean> {
    const { encrypt, saltMode } = this.#config;
    return verifyPassword({ encrypt, stored, salt, saltMode: salt === '' ? 'disable' : saltMode, password });
  }

  close(): Promise<void> {
    return this.#source.close();
  }
}
