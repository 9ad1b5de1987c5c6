/** Decides whether a CONNECT may enter: the authenticators in order, the first success wins (docs/access.md). */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthConfig, FixedAuthConfig, FixedUser } from '../../src/endpoint/endpoint.ts';
import { Pattern } from '../../src/endpoint/pattern/pattern.ts';
import type { LoginGate, LoginKeys } from '../../src/kernel/logins/login-gate.ts';
import type { VerifyJob } from '../../src/thread/messages.ts';
import { verifyPlain } from './verify-plain.ts';

export interface Credentials {
  clientId: string;
  username: string | null;
  password: Buffer | null;
  /** IP address of the peer; with the user the unit of delays and limits */
  address: string;
  /** id of the endpoint: its users are others than those of another one */
  endpoint: string;
}

export type AuthResult = { ok: true; username: string | null } | { ok: false; reason: 'badUserNameOrPassword' | 'serverUnavailable' };

/** What is looked up of an entry on each login, made once per configuration. */
interface CompiledEntry {
  users: Map<string, FixedUser>;
  client: NamePattern | null;
  user: NamePattern | null;
}

/** Delay of the first failure's answer; it doubles with each failure of the user from that address. */
const DELAY_FIRST_MS = 100;
const DELAY_MAX_MS = 2_000;

/** One per worker; what failed is remembered by all together. */
export class Authenticator {
  readonly #ask: (job: VerifyJob) => Promise<boolean>;
  readonly #gate: LoginGate;
  /** list → its digest: credentials that one list refuses may be right by another one */
  readonly #scopes = new WeakMap<AuthConfig[], string>();
  readonly #compiled = new WeakMap<FixedAuthConfig, CompiledEntry>();

  /** `ask` verifies a hash off this thread and rejects when that is not possible now. */
  constructor(ask: (job: VerifyJob) => Promise<boolean>, gate: LoginGate) {
    this.#ask = ask;
    this.#gate = gate;
  }

  /**
   * Checks one login. Never rejects. A failure is answered after a delay of 0.1 to 2 s that grows with the failures of this user from this
   * address; new guesses wait for their check (login-gate.ts).
   * `serverUnavailable`: no entry accepted it and one could not be asked, or it waited too long for its check.
   * @param isGone nobody waits for the answer any more
   */
  async check(list: AuthConfig[], who: Credentials, isGone: () => boolean = () => false): Promise<AuthResult> {
    const gate = this.#gate;
    const keys = gate.keysOf(who.address, who.endpoint, who.username ?? '');
    const credentials = this.#credentials(list, who);
    const admission = await gate.begin(keys, credentials, isGone);
    if (admission === 'wrong') return this.#refuse(keys);
    if (admission === 'late') return { ok: false, reason: 'serverUnavailable' };
    const result = await this.#tryAll(list, who);
    const isWrong = !result.ok && result.reason === 'badUserNameOrPassword';
    gate.end(keys, result.ok ? 'right' : isWrong ? 'wrong' : 'undecided', credentials);
    return isWrong ? this.#refuse(keys) : result;
  }

  async #refuse(keys: LoginKeys): Promise<AuthResult> {
    const failures = this.#gate.failed(keys);
    await sleep(Math.min(DELAY_MAX_MS, DELAY_FIRST_MS * 2 ** Math.max(0, failures - 1)), undefined, { ref: false });
    return { ok: false, reason: 'badUserNameOrPassword' };
  }

  /** What the list decides about: the client identifier too, where a filter looks at it. */
  #credentials(list: AuthConfig[], { username, password, clientId }: Credentials): bigint {
    let scope = this.#scopes.get(list);
    if (scope === undefined) {
      scope = createHash('sha256').update(JSON.stringify(list)).digest('hex');
      this.#scopes.set(list, scope);
    }
    const client = list.some(({ filter }) => filter.Client !== undefined) ? clientId : '';
    const has = `${username === null ? 0 : 1}${password === null ? 0 : 1}`;
    return this.#gate.credentials(scope, has, client, username ?? '', password ?? '');
  }

  async #tryAll(list: AuthConfig[], who: Credentials): Promise<AuthResult> {
    let isUnavailable = false;
    for (const config of list) {
      const entry = this.#compile(config);
      if (!isFor(entry, who)) continue;
      try {
        if (await this.#tryFixed(entry, who)) return { ok: true, username: who.username };
      } catch {
        // The reason (queue full, pool gone) is known and logged by who was asked; here it only changes the answer.
        isUnavailable = true;
      }
    }
    return { ok: false, reason: isUnavailable ? 'serverUnavailable' : 'badUserNameOrPassword' };
  }

  /** Takes as long for an unknown user as for a known one, so that an answer's time does not tell which names exist. */
  async #tryFixed(entry: CompiledEntry, who: Credentials): Promise<boolean> {
    const { username, password } = who;
    if (username === null || password === null) return false;
    const user = entry.users.get(username);
    const compared = user ?? pickDecoy(entry, username);
    if (compared === undefined) return false;
    const matches = await this.#verify(compared, password);
    return matches && user !== undefined;
  }

  #verify(user: FixedUser, password: Buffer): Promise<boolean> | boolean {
    if (user.encrypt === 'plain') return verifyPlain(user.password, password);
    const { encrypt, password: stored, salt, saltMode } = user;
    return this.#ask({ encrypt, stored, salt, saltMode, password });
  }

  #compile(config: FixedAuthConfig): CompiledEntry {
    const known = this.#compiled.get(config);
    if (known !== undefined) return known;
    const entry: CompiledEntry = {
      users: new Map(config.users.map((user) => [user.username, user])),
      client: toPattern(config.filter.Client),
      user: toPattern(config.filter.User),
    };
    this.#compiled.set(config, entry);
    return entry;
  }
}

type NamePattern = Pick<Pattern, 'matches'>;

/** Of a filter that an older version took and this one refuses. */
const NOBODY: NamePattern = { matches: () => false };

function toPattern(source: string | undefined): NamePattern | null {
  if (source === undefined) return null;
  try {
    return new Pattern(source);
  } catch {
    // Main warns of it, with the reason, when the endpoint starts.
    return NOBODY;
  }
}

function isFor(entry: CompiledEntry, who: Credentials): boolean {
  if (entry.client !== null && !entry.client.matches(who.clientId)) return false;
  return entry.user === null || (who.username !== null && entry.user.matches(who.username));
}

/** The same one for the same unknown name each time: repeated tries show no mean of several users that would give it away. */
function pickDecoy(entry: CompiledEntry, username: string): FixedUser | undefined {
  const users = [...entry.users.values()];
  return users[createHash('sha256').update(username).digest().readUInt32BE(0) % Math.max(1, users.length)];
}
