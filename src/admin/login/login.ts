/** Decides who asks: HTTP Basic, a bearer token, or nobody in particular where no login is needed (SPEC.md section 3). */

import { createHmac, randomBytes } from 'node:crypto';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Settings } from '../../settings/settings.ts';
import { HttpError } from '../http/envelope.ts';
import type { Login } from './contract.ts';
import { type PasswordCheck, passwordCheck } from './password.ts';
import { LoginThrottle } from './throttle.ts';
import { TokenStore } from './tokens.ts';

interface Account {
  login: Login;
  check: PasswordCheck;
}

/** How long a right Basic credential is believed without hashing again, milliseconds. */
const CACHE_MS = 30_000;
/** Credentials remembered at once. */
const MAX_CACHED = 100;
/** Password checks under way at once, over all addresses. */
const MAX_CHECKING = 64;
/** Longest user name and password, characters. */
const MAX_CREDENTIAL = 1024;

/** Who everybody is while no login is needed. */
const LOCAL: Login = { name: 'local', role: 'admin' };

export class LoginDesk {
  /** False while the API is on loopback without a password. */
  readonly required: boolean;
  readonly #accounts = new Map<string, Account>();
  readonly #tokens: TokenStore;
  readonly #throttle: LoginThrottle;
  /** Right credentials and those being checked, by keyed digest; never in clear. */
  readonly #cache = new Map<string, { login: Promise<Login | null>; until: number }>();
  readonly #cacheKey = randomBytes(32);
  #checking = 0;
  readonly #logger: Logger;
  readonly #now: () => number;

  /** @throws FluxError `invalid` when a stored password is a malformed hash, or viewers are given without an administrator's password */
  constructor(http: Settings['http'], logger: Logger, now: () => number = wallNow) {
    this.required = http.password !== null;
    this.#logger = logger;
    this.#now = now;
    this.#tokens = new TokenStore(now);
    this.#throttle = new LoginThrottle(now);
    for (const viewer of http.viewers) this.#accounts.set(viewer.username, account(viewer.username, 'viewer', viewer.password));
    if (http.password !== null) this.#accounts.set(http.username, account(http.username, 'admin', http.password));
    else if (http.viewers.length > 0)
      throw new FluxError('invalid', 'http.viewers need http.password: without it everybody is administrator');
  }

  /**
   * Who sends this Authorization header.
   * @throws FluxError `unauthorized` (401 with WWW-Authenticate), `too-many-requests` (429 with Retry-After)
   */
  async identify(authorization: string | undefined, address: string): Promise<Login> {
    if (!this.required) return LOCAL;
    const [scheme, value] = splitHeader(authorization);
    if (scheme === 'bearer') {
      // A token cannot be guessed, so a wrong one is an old one and does not count as a failed login.
      const login = this.#tokens.find(value);
      if (login !== null) return login;
      throw unauthorized('The token is not known or has expired');
    }
    if (scheme !== 'basic') throw unauthorized('A login is needed');
    const credential = decodeBasic(value);
    if (credential === null) throw unauthorized('The Authorization header is malformed');
    return this.#checked(credential.username, credential.password, address);
  }

  /**
   * A token for a user name and password; `expires` is milliseconds since the epoch.
   * @throws FluxError as identify()
   */
  async token(username: string, password: string, address: string): Promise<{ token: string; expires: number }> {
    if (!this.required) return this.#tokens.issue(LOCAL);
    return this.#tokens.issue(await this.#checked(username, password, address));
  }

  async #checked(username: string, password: string, address: string): Promise<Login> {
    const login = await this.#cached(username, password, address);
    if (login !== null) return login;
    throw unauthorized('Wrong user name or password');
  }

  /** One check for many requests with the same credential: hashing is dear on purpose. */
  #cached(username: string, password: string, address: string): Promise<Login | null> {
    const key = createHmac('sha256', this.#cacheKey).update(`${username.length}:${username}${password}`).digest('base64');
    const known = this.#cache.get(key);
    if (known !== undefined && known.until > this.#now()) return known.login;
    const login = this.#verify(username, password, address);
    const oldest = this.#cache.keys().next();
    this.#cache.delete(key);
    if (this.#cache.size >= MAX_CACHED && oldest.done !== true) this.#cache.delete(oldest.value);
    this.#cache.set(key, { login, until: this.#now() + CACHE_MS });
    const forget = (): void => {
      if (this.#cache.get(key)?.login === login) this.#cache.delete(key);
    };
    login.then((found) => found === null && forget(), forget);
    return login;
  }

  async #verify(username: string, password: string, address: string): Promise<Login | null> {
    const wait = this.#throttle.begin(address);
    if (wait !== null) throw tooMany(`Too many failed logins; try again in ${wait} s`, wait);
    if (this.#checking >= MAX_CHECKING) throw tooMany('Too many logins are being checked; try again', 1);
    const known = this.#accounts.get(username);
    // An unknown name is checked against any account, so that the time of the answer does not tell which names exist.
    const [anyone] = this.#accounts.values();
    this.#checking++;
    const right = await (known ?? anyone)?.check(password).finally(() => this.#checking--);
    if (known !== undefined && right === true) {
      this.#throttle.succeeded(address);
      return known.login;
    }
    this.#logger.warn('Auth of the admin API failed', { username: username.slice(0, 64), address });
    return null;
  }
}

function account(name: string, role: Login['role'], password: string): Account {
  return { login: { name, role }, check: passwordCheck(password, name) };
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

/** RFC 7617: base64 of `user:password` in UTF-8; the user name holds no colon. */
function decodeBasic(value: string): { username: string; password: string } | null {
  const text = Buffer.from(value, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0 || text.length > 2 * MAX_CREDENTIAL) return null;
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
