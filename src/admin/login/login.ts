/** Finds the login of a request: HTTP Basic, a bearer token, or none where no login is needed (docs/admin-api.md). */

import { createHmac, randomBytes } from 'node:crypto';
import type { AdminLogins } from '../../control/contract/access/admin-requests.ts';
import { BoundedMap } from '../../kernel/bounded-map.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { LoginGate, type LoginOutcome } from '../../kernel/logins/login-gate.ts';
import { createLoginMemory, LoginMemory } from '../../kernel/logins/login-memory.ts';
import type { Settings } from '../../settings/settings.ts';
import { HttpError } from '../http/envelope.ts';
import type { Login } from './identity.ts';
import { isPasswordOf, type PasswordCheck, passwordCheck } from './password.ts';
import { TokenStore } from './tokens.ts';

interface Account {
  login: Login;
  check: PasswordCheck;
  /** changes with the password and the role */
  stamp: string;
}

/** Time for which a right Basic credential is accepted without another hash, milliseconds. */
const CACHE_MS = 30_000;
/** Most credentials in the cache. */
const CACHED_MAX = 100;
/** Failures of a user from one address that answer 401; one of them expires each RETRY_SECONDS. */
export const FAILURES_MAX = 10;
const RETRY_SECONDS = 6;
/** Pause between two checks of one user from one address, after the first ten. */
const CHECK_EVERY_MS = 1_000;
/** Password checks under way at once, over all addresses. */
const CHECKING_MAX = 64;
/** Longest user name and password, characters. */
const CREDENTIAL_LENGTH_MAX = 1024;

/** The stamp of accounts of the configuration, which lasts as long as the process. */
const CONFIGURED = 'configured';

/** What the author of a change by a key is called. No name of an administrator has a colon. */
const KEY_PREFIX = 'key:';

/** Of a node whose store has no administrators. */
const NOBODY: AdminLogins = { administrator: () => null, decoy: () => null, useKey: () => null };

/** The login of everybody while no login is needed. */
const LOCAL: Login = { name: 'local', role: 'admin' };

export class LoginDesk {
  /** False while the API is on loopback without a password. */
  readonly required: boolean;
  /** of the configuration */
  readonly #accounts = new Map<string, Account>();
  readonly #stored: AdminLogins;
  readonly #tokens: TokenStore;
  readonly #gate: LoginGate;
  /** Right credentials, and those under check, by keyed digest; never in clear text. */
  readonly #cache = new BoundedMap<string, { login: Promise<Login | null>; until: number }>(CACHED_MAX);
  readonly #cacheKey = randomBytes(32);
  readonly #logger: Logger;
  readonly #now: () => number;

  /** @throws FluxError `invalid` when a stored password is a malformed hash, or viewers are given without an administrator's password */
  constructor(http: Settings['http'], logger: Logger, stored: AdminLogins = NOBODY, now: () => number = steadyNow) {
    this.#stored = stored;
    this.required = http.password !== null;
    this.#logger = logger;
    this.#now = now;
    this.#tokens = new TokenStore(now);
    this.#gate = new LoginGate(new LoginMemory(createLoginMemory(), now), {
      userBurst: FAILURES_MAX,
      userEveryMs: CHECK_EVERY_MS,
      atOnceMax: CHECKING_MAX,
    });
    for (const viewer of http.viewers) this.#accounts.set(viewer.username, account(viewer.username, 'viewer', viewer.password));
    if (http.password !== null) this.#accounts.set(http.username, account(http.username, 'admin', http.password));
    else if (http.viewers.length > 0)
      throw new FluxError('invalid', 'http.viewers need http.password: without a password everybody is an administrator');
  }

  /**
   * The login that an Authorization header proves, or without one a client certificate: the first of its names that an account has.
   * @param certified names of the certificate that TLS has verified
   * @throws FluxError `unauthorized` (401 with WWW-Authenticate), `too-many-requests` (429 with Retry-After)
   */
  async identify(authorization: string | undefined, address: string, certified: readonly string[] = []): Promise<Login> {
    if (!this.required) return LOCAL;
    if (authorization === undefined) {
      const account = certified.map((name) => this.#account(name)).find((each) => each !== undefined);
      if (account !== undefined) return account.login;
    }
    const [scheme, value] = splitHeader(authorization);
    if (scheme === 'bearer') {
      // A token cannot be guessed. A wrong token is an old one, and does not count as a failed login.
      const key = this.#stored.useKey(value);
      if (key !== null) return { name: KEY_PREFIX + key.name, role: key.role };
      const found = this.#tokens.find(value);
      if (found !== null && this.#account(found.login.name)?.stamp === found.stamp) return found.login;
      throw unauthorized('The token or key is not known, or has ended');
    }
    if (scheme !== 'basic') throw unauthorized('A login is needed');
    const credential = decodeBasic(value);
    if (credential === null) throw unauthorized('The Authorization header is malformed');
    return (await this.#checked(credential.username, credential.password, address)).login;
  }

  /**
   * A token for a user name and password; `expires` is milliseconds since the epoch.
   * @throws FluxError as identify()
   */
  async token(username: string, password: string, address: string): Promise<{ token: string; expires: number }> {
    if (!this.required) return this.#tokens.issue(LOCAL, CONFIGURED);
    const { login, stamp } = await this.#checked(username, password, address);
    return this.#tokens.issue(login, stamp);
  }

  /** @returns the account as it was when the check began: a token of it ends with a change that comes during the check */
  async #checked(username: string, password: string, address: string): Promise<Account> {
    const known = this.#account(username);
    const login = await this.#cached(username, password, address, known);
    if (login !== null && known !== undefined) return known;
    throw unauthorized('Wrong user name or password');
  }

  /** Shares one check among requests with the same credential, because hashing is expensive on purpose. */
  #cached(username: string, password: string, address: string, known: Account | undefined): Promise<Login | null> {
    const text = JSON.stringify([username, password, known?.stamp ?? '']);
    const key = createHmac('sha256', this.#cacheKey).update(text).digest('base64');
    const cached = this.#cache.get(key);
    if (cached !== undefined && cached.until > this.#now()) return cached.login;
    const login = this.#verify(username, password, address, known);
    this.#cache.set(key, { login, until: this.#now() + CACHE_MS });
    const forget = (): void => {
      if (this.#cache.get(key)?.login === login) this.#cache.delete(key);
    };
    login.then((found) => found === null && forget(), forget);
    return login;
  }

  /** Guesses wait for their check (login-gate.ts); wrong credentials never cause the refusal of a right one. */
  async #verify(username: string, password: string, address: string, known: Account | undefined): Promise<Login | null> {
    const gate = this.#gate;
    const keys = gate.keysOf(address, '', username);
    const credentials = gate.credentials(known?.stamp ?? '', username, password);
    let login: Login | null = null;
    const admission = await gate.begin(keys, credentials);
    if (admission === 'late') throw tooMany('Too many logins wait for their check; try again', 1);
    if (admission === 'check') {
      let outcome: LoginOutcome = 'undecided';
      try {
        login = await this.#compare(known, password);
        outcome = login === null ? 'wrong' : 'right';
      } finally {
        gate.end(keys, outcome, credentials);
      }
    }
    if (login !== null) return login;
    this.#logger.warn('Auth of the admin API failed', { username: username.slice(0, 64), address });
    if (gate.failed(keys) > FAILURES_MAX) throw tooMany(`Too many failed logins; try again in ${RETRY_SECONDS} s`, RETRY_SECONDS);
    return null;
  }

  async #compare(known: Account | undefined, password: string): Promise<Login | null> {
    if (known !== undefined) return (await known.check(password)) ? known.login : null;
    // An unknown name is checked against any account. Otherwise the time of the answer would reveal which names exist.
    const decoy = this.#stored.decoy();
    const [anyone] = this.#accounts.values();
    await (decoy === null ? anyone?.check(password) : isPasswordOf(decoy, password));
    return null;
  }

  /** Those of the configuration come first. */
  #account(name: string): Account | undefined {
    const configured = this.#accounts.get(name);
    if (configured !== undefined) return configured;
    const stored = this.#stored.administrator(name);
    if (stored === null) return undefined;
    const { role, hash } = stored;
    return { login: { name, role }, check: (given) => isPasswordOf(hash, given), stamp: `${role} ${hash}` };
  }
}

function account(name: string, role: Login['role'], password: string): Account {
  return { login: { name, role }, check: passwordCheck(password, name), stamp: CONFIGURED };
}

function tooMany(message: string, retrySeconds: number): HttpError {
  return new HttpError('too-many-requests', message, { 'retry-after': String(retrySeconds) });
}

function unauthorized(message: string): HttpError {
  return new HttpError('unauthorized', message, { 'www-authenticate': 'Basic realm="fluxmq", charset="UTF-8"' });
}

function splitHeader(authorization: string | undefined): [scheme: string, value: string] {
  const match = /^(\S+) +(\S+) *$/.exec(authorization ?? '');
  return match === null ? ['', ''] : [match[1]!.toLowerCase(), match[2]!];
}

/** RFC 7617: base64 of `user:password` in UTF-8; the user name has no colon. */
function decodeBasic(value: string): { username: string; password: string } | null {
  const text = Buffer.from(value, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0 || text.length > 2 * CREDENTIAL_LENGTH_MAX) return null;
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
