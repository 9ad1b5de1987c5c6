/** Decides whether a CONNECT may enter. The authenticators are tried in order, and the first success wins (docs/access.md). */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthConfig, FixedAuthConfig, FixedUser } from '../../../src/endpoint/endpoint.ts';
import { Pattern } from '../../../src/endpoint/pattern/pattern.ts';
import type { LoginGate, LoginKeys } from '../../../src/kernel/logins/login-gate.ts';
import type { VerifyJob } from '../../../src/thread/commands.ts';
import { verifyPlain } from '../../task/verify-plain.ts';

export interface Credentials {
  clientId: string;
  username: string | null;
  password: Buffer | null;
  /** IP address of the peer; together with the user the unit of delays and limits */
  address: string;
  /** id of the endpoint: two endpoints have different users */
  endpoint: string;
}

export type AuthResult = { ok: true; username: string | null } | { ok: false; reason: 'badUserNameOrPassword' | 'serverUnavailable' };

/** The parts of an entry that every login looks up, made once per configuration. */
interface CompiledEntry {
  users: Map<string, FixedUser>;
  client: NamePattern | null;
  user: NamePattern | null;
}

/** Delay of the answer to the first failure. It doubles with each failure of the same user from the same address. */
const DELAY_FIRST_MS = 100;
const DELAY_MAX_MS = 2_000;

/** One per worker; the login gate shares the memory of failures between all workers. */
export class Authenticator {
  readonly #ask: (job: VerifyJob) => Promise<boolean>;
  readonly #gate: LoginGate;
  /** list → its digest: credentials that one list refuses may be right for another */
  readonly #scopes = new WeakMap<AuthConfig[], string>();
  readonly #compiled = new WeakMap<FixedAuthConfig, CompiledEntry>();

  /** @param ask verifies a hash off this thread; rejects when that is impossible now */
  constructor(ask: (job: VerifyJob) => Promise<boolean>, gate: LoginGate) {
    this.#ask = ask;
    this.#gate = gate;
  }

  /**
   * Checks one login. Never rejects. The answer to a failure comes after a delay of 0.1 to 2 s, which grows with the failures of this user
   * from this address. New guesses wait for their check (login-gate.ts).
   * `serverUnavailable`: no entry accepted the login and one could not be asked, or the check could not start in time.
   * @param isGone true when the client has gone and needs no answer
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

  /** A digest of everything that the list judges: with the client identifier only when a filter uses it. */
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
        // The access pool knows and logs the reason (queue full, pool gone); here only the answer changes.
        isUnavailable = true;
      }
    }
    return { ok: false, reason: isUnavailable ? 'serverUnavailable' : 'badUserNameOrPassword' };
  }

  /** Takes the same time for an unknown user as for a known one: otherwise the time of an answer would reveal which names exist. */
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

/** The user compared in place of an unknown one. A name always gets the same one: an average over several would reveal it as unknown. */
function pickDecoy(entry: CompiledEntry, username: string): FixedUser | undefined {
  const users = [...entry.users.values()];
  return users[createHash('sha256').update(username).digest().readUInt32BE(0) % Math.max(1, users.length)];
}
