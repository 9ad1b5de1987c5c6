/**
 * Throttles password guessing without locking anybody out (issue 10). Only the check of new wrong credentials costs a place. A login without
 * a place waits until places come back; users with the fewest failures come first. A right login returns its place at once. Credentials
 * that failed before fail again without a check, so that a device with an old password costs the others behind its address nothing.
 *
 * Guesses for one user are limited over all addresses, too. An address from which the user has logged in is exempt from that limit, so that
 * a crowd of strangers cannot keep the user out (compare OWASP's device cookies, and the familiar locations of Azure's smart lockout).
 */

import { addressKey } from '../address.ts';
import { steadyNow } from '../clock.ts';
import { createLoginMemory, LoginMemory } from './login-memory.ts';

/** Checks of all users of one address. */
const ADDRESS_BURST = 100;
const ADDRESS_EVERY_MS = 50;
/** Checks of one user from all addresses from which the user has not logged in. */
const STRANGERS_BURST = 200;
const STRANGERS_EVERY_MS = 100;
/** How long an address is known after a right login. */
const KNOWN_MS = 7 * 24 * 3_600_000;
/** A failure is forgotten after this time; one user has at most this many. */
const FAILURE_EVERY_MS = 6_000;
const FAILURES_MAX = 20;
/** Logins of this thread that may wait. The login with the most failures gives way to a new one. */
const WAITING_MAX = 1_024;
const WAIT_MS_MAX = 9_000;
/** Other threads return places too. */
const LOOK_EVERY_MS = 20;

export interface LoginRates {
  /** checks of one user from one address before the throttle begins */
  userBurst: number;
  /** milliseconds between two checks under the throttle */
  userEveryMs: number;
  /** checks of this thread at one time */
  atOnceMax?: number;
}

/** A login attempt as keys. */
export interface LoginKeys {
  readonly address: bigint;
  readonly user: bigint;
  readonly failures: bigint;
  /** of the user from all addresses */
  readonly strangers: bigint;
  /** of the right logins of the user from this address */
  readonly right: bigint;
  /** the user has logged in from this address */
  readonly isKnown: boolean;
}

/** The answer of begin(): check the password and call end(); the credentials are known to be wrong; or no check is possible now. */
export type LoginAdmission = 'check' | 'wrong' | 'late';

/** `denied`: wrong now, but not for good; the next login with these credentials is checked again. */
export type LoginOutcome = 'right' | 'wrong' | 'denied' | 'undecided';

interface Waiting {
  readonly keys: LoginKeys;
  readonly credentials: bigint;
  readonly since: number;
  readonly isGone: () => boolean;
  readonly settle: (admission: LoginAdmission) => void;
  failures: number;
}

export class LoginGate {
  readonly #memory: LoginMemory;
  /** the addresses of right logins */
  readonly #known: LoginMemory;
  readonly #atOnceMax: number;
  readonly #userBurst: number;
  readonly #userEveryMs: number;
  /** checks of this thread under way, by credentials */
  readonly #underWay = new Map<bigint, number>();
  #waiting: Waiting[] = [];
  /** addresses, and users from strange addresses, with waiting logins: a newcomer may not overtake them */
  #waitingOf = new Set<bigint>();
  #isSoon = false;
  #checking = 0;
  #timer: NodeJS.Timeout | null = null;

  /** @param known a memory apart: what is remembered there for days must not evict failures */
  constructor(
    memory: LoginMemory,
    { userBurst, userEveryMs, atOnceMax = Number.POSITIVE_INFINITY }: LoginRates,
    known = new LoginMemory(createLoginMemory()),
  ) {
    this.#memory = memory;
    this.#known = known;
    this.#userBurst = userBurst;
    this.#userEveryMs = userEveryMs;
    this.#atOnceMax = atOnceMax;
  }

  /** @param place the scope of the user name, such as an endpoint */
  keysOf(address: string, place: string, user: string): LoginKeys {
    const unit = String(addressKey(address) ?? address);
    const key = this.#memory.key(unit, place, user);
    const right = this.#known.key(unit, place, user);
    return {
      address: this.#memory.key(unit),
      user: key,
      failures: key ^ (1n << 40n),
      strangers: this.#memory.key('strangers', place, user),
      right,
      isKnown: this.#known.level(right, KNOWN_MS) > 0,
    };
  }

  /**
   * Waits for a place, which end() returns. `late`: no place came within 9 s, or the client has gone.
   * @param credentials see credentials()
   * @param isGone true when the client no longer waits for the answer
   */
  begin(keys: LoginKeys, credentials: bigint, isGone: () => boolean = () => false): LoginAdmission | Promise<LoginAdmission> {
    if (this.#memory.isWrong(credentials)) return 'wrong';
    const isBehind = this.#waitingOf.has(keys.address) || (!keys.isKnown && this.#waitingOf.has(keys.strangers));
    if (!isBehind && !this.#isRepeated(keys, credentials) && this.#take(keys, credentials) === 'taken') return 'check';
    return new Promise((settle) => {
      this.#waiting.push({ keys, credentials, since: steadyNow(), isGone, settle, failures: 0 });
      this.#addWaiting(keys);
      this.#look();
    });
  }

  #addWaiting({ address, strangers, isKnown }: LoginKeys): void {
    this.#waitingOf.add(address);
    if (!isKnown) this.#waitingOf.add(strangers);
  }

  /** Doubtful credentials are checked once at a time: further logins with them wait for the result. */
  #isRepeated({ failures }: LoginKeys, credentials: bigint): boolean {
    return this.#underWay.has(credentials) && this.#memory.level(failures, FAILURE_EVERY_MS) > 0;
  }

  /** To be called after the check. @param credentials see credentials(): remembered when they were wrong */
  end({ address, user, strangers, right, isKnown }: LoginKeys, outcome: LoginOutcome, credentials: bigint): void {
    this.#checking--;
    const others = this.#underWay.get(credentials)! - 1;
    if (others > 0) this.#underWay.set(credentials, others);
    else this.#underWay.delete(credentials);
    if (outcome === 'wrong') this.#memory.noteWrong(credentials);
    if (outcome === 'right' || outcome === 'undecided') {
      this.#memory.give(user, this.#userEveryMs);
      this.#memory.give(address, ADDRESS_EVERY_MS);
      if (!isKnown) this.#memory.give(strangers, STRANGERS_EVERY_MS);
    }
    if (outcome === 'right') this.#known.take(right, KNOWN_MS, 1);
    if (this.#waiting.length === 0 || this.#isSoon) return;
    this.#isSoon = true;
    setImmediate(() => {
      this.#isSoon = false;
      this.#serve();
    });
  }

  /** The key of credentials. @param scope the configuration that judges them: another configuration is another scope */
  credentials(scope: string, ...parts: (string | Uint8Array)[]): bigint {
    return this.#memory.key('credentials', scope, ...parts);
  }

  /** Counts a failure, by a check or from memory. @returns failures of the user from this address, 1..20; one is forgotten each 6 s */
  failed({ failures }: LoginKeys): number {
    return this.#memory.add(failures, FAILURE_EVERY_MS, FAILURES_MAX);
  }

  /** @returns the key that lacks a place */
  #take({ address, user, strangers, isKnown }: LoginKeys, credentials: bigint): bigint | 'taken' {
    if (this.#checking >= this.#atOnceMax) return 0n;
    if (!this.#memory.take(user, this.#userEveryMs, this.#userBurst)) return user;
    if (!this.#memory.take(address, ADDRESS_EVERY_MS, ADDRESS_BURST)) {
      this.#memory.give(user, this.#userEveryMs);
      return address;
    }
    if (!isKnown && !this.#memory.take(strangers, STRANGERS_EVERY_MS, STRANGERS_BURST)) {
      this.#memory.give(user, this.#userEveryMs);
      this.#memory.give(address, ADDRESS_EVERY_MS);
      return strangers;
    }
    this.#checking++;
    this.#underWay.set(credentials, (this.#underWay.get(credentials) ?? 0) + 1);
    return 'taken';
  }

  #serve(): void {
    const now = steadyNow();
    for (const each of this.#waiting) each.failures = this.#memory.level(each.keys.failures, FAILURE_EVERY_MS);
    // The sort is stable: equals keep their order of arrival.
    const waiting = this.#waiting.sort((one, other) => one.failures - other.failures);
    for (const late of waiting.splice(WAITING_MAX)) late.settle('late');
    this.#waiting = [];
    this.#waitingOf = new Set();
    const exhausted = new Set<bigint>();
    for (const each of waiting) {
      const { keys, credentials, since, isGone, settle } = each;
      if (this.#memory.isWrong(credentials)) {
        settle('wrong');
        continue;
      }
      if (isGone() || now - since > WAIT_MS_MAX) {
        settle('late');
        continue;
      }
      const isStranger = !keys.isKnown && exhausted.has(keys.strangers);
      const isHopeless = exhausted.has(0n) || exhausted.has(keys.user) || exhausted.has(keys.address) || isStranger;
      const missing = isHopeless || this.#isRepeated(keys, credentials) ? null : this.#take(keys, credentials);
      if (missing === 'taken') {
        settle('check');
        continue;
      }
      if (missing !== null) exhausted.add(missing);
      this.#waiting.push(each);
      this.#addWaiting(keys);
    }
    this.#look();
  }

  #look(): void {
    if (this.#waiting.length === 0 || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#serve();
    }, LOOK_EVERY_MS);
    this.#timer.unref();
  }
}
