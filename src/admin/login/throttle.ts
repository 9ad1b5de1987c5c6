/** Counts failed logins per address in a sliding window, so that passwords cannot be guessed in bulk. */

/** Failures that an address may have within the window. */
export const MAX_FAILURES = 10;
/** Milliseconds that a failure counts. */
export const FAILURE_WINDOW_MS = 60_000;
/** Addresses remembered at once; the one that failed longest ago gives way. */
const MAX_ADDRESSES = 10_000;

export class LoginThrottle {
  /** Times of the attempts of an address that failed, or are not decided yet, oldest first. */
  readonly #attempts = new Map<string, number[]>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Takes a place for one attempt before it is checked, so that attempts side by side count too.
   * @returns null when the attempt may go on, else the seconds to wait
   */
  begin(address: string): number | null {
    const recent = this.#recent(address);
    const first = recent[0];
    if (first !== undefined && recent.length >= MAX_FAILURES)
      return Math.max(1, Math.ceil((first + FAILURE_WINDOW_MS - this.#now()) / 1000));
    recent.push(this.#now());
    this.#attempts.delete(address);
    const longestAgo = this.#attempts.keys().next();
    if (this.#attempts.size >= MAX_ADDRESSES && longestAgo.done !== true) this.#attempts.delete(longestAgo.value);
    this.#attempts.set(address, recent);
    return null;
  }

  /** The attempt was right: gives its place back. */
  succeeded(address: string): void {
    const attempts = this.#attempts.get(address);
    attempts?.pop();
    if (attempts?.length === 0) this.#attempts.delete(address);
  }

  #recent(address: string): number[] {
    const since = this.#now() - FAILURE_WINDOW_MS;
    return (this.#attempts.get(address) ?? []).filter((time) => time > since);
  }
}
