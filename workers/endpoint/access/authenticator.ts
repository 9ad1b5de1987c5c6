/** Decides whether a CONNECT may enter. The authenticators are asked in order, and the first that knows the client decides (docs/access.md). */

import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthConfig, AuthType, X509AuthConfig } from '../../../src/endpoint/endpoint.ts';
import { Pattern } from '../../../src/endpoint/pattern/pattern.ts';
import type { LoginGate, LoginKeys } from '../../../src/kernel/logins/login-gate.ts';
import { SCRAM_ITERATIONS, type ScramMethod, scramKeyBytes } from '../../../src/kernel/logins/scram.ts';
import { COUNTER_SLOTS, countAuth } from '../../../src/metrics/counters.ts';
import type { AskJob, AskResult } from '../../../src/thread/access/ask.ts';
import type { VerifyJob } from '../../../src/thread/commands.ts';
import { AskedAuthenticator } from './asked.ts';
import { certifiedName } from './certificate.ts';
import type { AuthResult, Credentials, EntryResult, SecretResult, UserSecret } from './credentials.ts';
import { FixedUsers } from './fixed.ts';

/** An authenticator of the list as the logins use it, made once per configuration. */
interface CompiledEntry {
  client: NamePattern | null;
  user: NamePattern | null;
  decide(who: Credentials, slots: Float64Array): Promise<EntryResult>;
  /** null: the authenticator has no secrets for SCRAM */
  secretOf: ((who: Named, method: ScramMethod, slots: Float64Array) => Promise<SecretResult>) | null;
}

/** A client that has said its user name in a SCRAM message. */
export type Named = Credentials & { username: string };

/** The secret for one SCRAM exchange. Without `authType` nobody has it: no proof is right. */
export interface SecretOffer extends UserSecret {
  authType: AuthType | null;
}

/** The calls of authenticators to other threads. Both reject when the thread cannot answer now. */
export interface AccessThreads {
  /** verifies a hash */
  verify(job: VerifyJob): Promise<boolean>;
  /** asks an authenticator outside of the process */
  ask(job: AskJob): Promise<AskResult>;
}

/** For logins that nobody counts. */
const UNCOUNTED: Float64Array = new Float64Array(COUNTER_SLOTS);

/** Delay of the answer to the first failure. It doubles with each failure of the same user from the same address. */
const DELAY_FIRST_MS = 100;
const DELAY_MAX_MS = 2_000;
const SALT_BYTES = 16;

/** One per worker; the login gate shares the memory of failures between all workers. */
export class Authenticator {
  readonly #threads: AccessThreads;
  readonly #gate: LoginGate;
  /** list → its digest: credentials that one list refuses may be right for another */
  readonly #scopes = new WeakMap<AuthConfig[], string>();
  readonly #compiled = new WeakMap<AuthConfig, CompiledEntry>();

  constructor(threads: AccessThreads, gate: LoginGate) {
    this.#threads = threads;
    this.#gate = gate;
  }

  /**
   * Checks one login. Never rejects. The answer to a failure comes after a delay of 0.1 to 2 s, which grows with the failures of this user
   * from this address. New guesses wait for their check (login-gate.ts).
   * `serverUnavailable`: an authenticator that would have decided could not be asked, or the check could not start in time.
   * @param isGone true when the client has gone and needs no answer
   * @param slots counters of the endpoint in this thread
   */
  async check(list: AuthConfig[], who: Credentials, isGone: () => boolean = () => false, slots = UNCOUNTED): Promise<AuthResult> {
    const gate = this.#gate;
    const keys = gate.keysOf(who.address, who.endpoint, who.username ?? '');
    const credentials = this.#credentials(list, who);
    const admission = await gate.begin(keys, credentials, isGone);
    if (admission === 'wrong') return this.#refuse(keys);
    if (admission === 'late') return { ok: false, reason: 'serverUnavailable' };
    const result = await this.#tryAll(list, who, slots);
    const isWrong = !result.ok && result.reason === 'badUserNameOrPassword';
    // A server may accept later a login that it refuses now.
    const wrong = list.every(({ authType }) => authType === 'fixed') ? 'wrong' : 'denied';
    gate.end(keys, result.ok ? 'right' : isWrong ? wrong : 'undecided', credentials);
    return isWrong ? this.#refuse(keys) : result;
  }

  /** True when an authenticator of the list may have secrets for SCRAM. */
  takesScram(list: AuthConfig[]): boolean {
    return list.some((config) => this.#compile(config).secretOf !== null);
  }

  /**
   * Finds the secret for a SCRAM exchange: the first authenticator that has one for the user decides. An unknown user gets a secret that
   * looks like that of a known one, always with the same salt. Never rejects.
   */
  async secretOf(list: AuthConfig[], who: Named, method: ScramMethod, slots = UNCOUNTED): Promise<SecretOffer | 'serverUnavailable'> {
    let isSkipped = false;
    for (const config of list) {
      const entry = this.#compile(config);
      if (entry.secretOf === null || !isFor(entry, who)) continue;
      const result = await entry.secretOf(who, method, slots);
      if (typeof result === 'object') return { ...result, authType: config.authType };
      if (result === 'unavailable') return 'serverUnavailable';
      if (result === 'skipped') isSkipped = true;
    }
    if (isSkipped) return 'serverUnavailable';
    const bytes = scramKeyBytes(method);
    const keys = { storedKey: randomBytes(bytes), serverKey: randomBytes(bytes) };
    return { secret: { method, iterations: SCRAM_ITERATIONS, salt: this.#saltOf(who, method), ...keys }, authType: null };
  }

  /**
   * Judges the proof of a SCRAM exchange, under the delays and limits of check().
   * @param isRight called when there is a place for the check; its errors count as a wrong proof
   */
  async checkProof(
    who: Named,
    { authType, rights }: SecretOffer,
    isRight: () => boolean,
    isGone: () => boolean,
    slots = UNCOUNTED,
  ): Promise<AuthResult> {
    const gate = this.#gate;
    const keys = gate.keysOf(who.address, who.endpoint, who.username);
    const attempt = gate.credentials('scram', randomBytes(16));
    if ((await gate.begin(keys, attempt, isGone)) !== 'check') return { ok: false, reason: 'serverUnavailable' };
    let result = false;
    try {
      result = isRight() && authType !== null;
    } finally {
      gate.end(keys, result ? 'right' : 'denied', attempt);
    }
    if (authType !== null) countAuth(slots, authType, result ? 'allowed' : 'denied');
    return result ? { ok: true, username: who.username, ...(rights === undefined ? {} : { rights }) } : this.#refuse(keys);
  }

  /** A salt that all threads of the node give to a name. */
  #saltOf({ username, endpoint }: Named, method: ScramMethod): Buffer {
    const salt = Buffer.alloc(SALT_BYTES);
    for (let at = 0; at < SALT_BYTES; at += 8)
      salt.writeBigInt64BE(this.#gate.credentials('scram salt', endpoint, method, username, String(at)), at);
    return salt;
  }

  async #refuse(keys: LoginKeys): Promise<AuthResult> {
    const failures = this.#gate.failed(keys);
    await sleep(Math.min(DELAY_MAX_MS, DELAY_FIRST_MS * 2 ** Math.max(0, failures - 1)), undefined, { ref: false });
    return { ok: false, reason: 'badUserNameOrPassword' };
  }

  /** A digest of everything that the list judges: with the client identifier only when a filter uses it. */
  #credentials(list: AuthConfig[], { username, password, clientId }: Credentials): bigint {
    let scope = this.#scopes.get(list);
    if (scope === undefined) {
      scope = createHash('sha256').update(JSON.stringify(list)).digest('hex');
      this.#scopes.set(list, scope);
    }
    const client = list.some(({ authType, filter }) => authType !== 'fixed' || filter.Client !== undefined) ? clientId : '';
    const has = `${username === null ? 0 : 1}${password === null ? 0 : 1}`;
    return this.#gate.credentials(scope, has, client, username ?? '', password ?? '');
  }

  /** The first that knows the client decides. The login is refused when none does. */
  async #tryAll(list: AuthConfig[], who: Credentials, slots: Float64Array): Promise<AuthResult> {
    let isSkipped = false;
    for (const config of list) {
      const entry = this.#compile(config);
      if (!isFor(entry, who)) continue;
      const result = await entry.decide(who, slots);
      if (typeof result === 'object') return result;
      if (result === 'deny') return { ok: false, reason: 'badUserNameOrPassword' };
      if (result === 'unavailable') return { ok: false, reason: 'serverUnavailable' };
      if (result === 'skipped') isSkipped = true;
    }
    return { ok: false, reason: isSkipped ? 'serverUnavailable' : 'badUserNameOrPassword' };
  }

  #compile(config: AuthConfig): CompiledEntry {
    const known = this.#compiled.get(config);
    if (known !== undefined) return known;
    const entry: CompiledEntry = {
      client: toPattern(config.filter.Client),
      user: toPattern(config.filter.User),
      ...this.#decidersOf(config),
    };
    this.#compiled.set(config, entry);
    return entry;
  }

  #decidersOf(config: AuthConfig): Pick<CompiledEntry, 'decide' | 'secretOf'> {
    if (config.authType === 'x509') return { decide: async (who, slots) => decideByCertificate(config, who, slots), secretOf: null };
    if (config.authType !== 'fixed') {
      const asked = new AskedAuthenticator(config, this.#threads.ask);
      const secretOf: CompiledEntry['secretOf'] = (who, method, slots) => asked.secretOf(who, method, slots);
      return { decide: (who, slots) => asked.decide(who, slots), secretOf: config.authType === 'users' ? secretOf : null };
    }
    const users = new FixedUsers(config, this.#threads.verify);
    return { decide: this.#deciderOf(users), secretOf: (who, method, slots) => this.#secretOfFixed(users, who, method, slots) };
  }

  async #secretOfFixed(users: FixedUsers, who: Named, method: ScramMethod, slots: Float64Array): Promise<SecretResult> {
    const secret = await users.secretOf(who.username, method, () => this.#saltOf(who, method));
    if (secret !== null) return { secret };
    countAuth(slots, 'fixed', 'ignored');
    return 'ignore';
  }

  /** A wrong password is no denial: another entry may have a user of that name. */
  #deciderOf(users: FixedUsers): CompiledEntry['decide'] {
    return async (who, slots) => {
      try {
        const isRight = await users.isRight(who);
        countAuth(slots, 'fixed', isRight ? 'allowed' : 'ignored');
        return isRight ? { ok: true, username: who.username } : 'ignore';
      } catch {
        // The access pool knows and logs the reason (queue full, pool gone); here only the answer changes.
        countAuth(slots, 'fixed', 'failed');
        return 'skipped';
      }
    };
  }
}

/** A client without a certificate, or without that name in it, is left to the next authenticator. */
function decideByCertificate({ use, asClientId }: X509AuthConfig, { certificate }: Credentials, slots: Float64Array): EntryResult {
  const name = certificate === null ? null : certifiedName(certificate, use);
  countAuth(slots, 'x509', name === null ? 'ignored' : 'allowed');
  if (name === null) return 'ignore';
  return { ok: true, username: name, ...(asClientId ? { clientId: name } : {}) };
}

type NamePattern = Pick<Pattern, 'matches'>;

/** Stands for a filter that an older version accepted and this version refuses. */
const NOBODY: NamePattern = { matches: () => false };

function toPattern(source: string | undefined): NamePattern | null {
  if (source === undefined) return null;
  try {
    return new Pattern(source);
  } catch {
    // Main warns about the filter, with the reason, when the endpoint starts.
    return NOBODY;
  }
}

function isFor(entry: CompiledEntry, who: Credentials): boolean {
  if (entry.client !== null && !entry.client.matches(who.clientId)) return false;
  return entry.user === null || (who.username !== null && entry.user.matches(who.username));
}
