/** Verifies the token that a client brings as its password or user name. The one file that knows jose. */

import { createLocalJWKSet, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import type { JwtAuthConfig } from '../../../../src/endpoint/endpoint.ts';
import type { AskWho, LoginVerdict } from '../../../../src/thread/access/ask.ts';
import type { Asker } from '../contract.ts';
import { readClaims } from './claims.ts';
import { FetchedKeys, type KeySet, readSingleKey, type SingleKey } from './key-source.ts';

/** @throws Error when a configured file cannot be read */
export async function openJwtAsker(config: JwtAuthConfig): Promise<Asker> {
  return config.jwksUrl === null
    ? new JwtAsker(config, await readSingleKey(config), null)
    : new JwtAsker(config, null, await FetchedKeys.open(config));
}

type KeyFinder = ReturnType<typeof createLocalJWKSet>;
type Verified = JWTPayload | 'unknown' | 'deny' | 'no-key';

class JwtAsker implements Asker {
  readonly #config: JwtAuthConfig;
  readonly #options: JWTVerifyOptions;
  readonly #single: SingleKey | null;
  readonly #fetched: FetchedKeys | null;
  readonly #finders = new WeakMap<KeySet, KeyFinder>();

  /** @param fetched used when there is no single key */
  constructor(config: JwtAuthConfig, single: SingleKey | null, fetched: FetchedKeys | null) {
    const { algorithms, issuer, audience, clockTolerance } = config;
    this.#config = config;
    this.#options = {
      algorithms,
      clockTolerance,
      ...(issuer === null ? {} : { issuer }),
      ...(audience === null ? {} : { audience }),
    };
    this.#single = single;
    this.#fetched = fetched;
  }

  /** A text that is no token, or that another issuer has signed, is left to the next authenticator. */
  async ask(who: AskWho): Promise<LoginVerdict> {
    const token = this.#config.from === 'username' ? who.username : textOfToken(who.password);
    if (token === null || !/^[\w-]+\.[\w-]*\.[\w-]*$/.test(token)) return { result: 'ignore' };
    const verified = await this.#verify(token);
    if (verified === 'unknown' || verified === 'no-key') return { result: 'ignore' };
    return verified === 'deny' ? { result: 'deny' } : readClaims(this.#config, verified, who);
  }

  async #verify(token: string): Promise<Verified> {
    if (this.#single !== null) return this.#verifyWith(token, this.#single);
    const fetched = this.#fetched!;
    const verified = await this.#verifyBySet(token, await fetched.current());
    if (verified !== 'no-key') return verified;
    const renewed = await fetched.renewed();
    return renewed === null ? 'no-key' : this.#verifyBySet(token, renewed);
  }

  async #verifyBySet(token: string, keys: KeySet): Promise<Verified> {
    try {
      const { payload } = await jwtVerify(token, this.#finderOf(keys), this.#options);
      return payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) return toOutcome(error);
      // A token that names no key is tried with each one that fits.
      for await (const key of error) {
        const verified = await this.#verifyWith(token, key);
        if (verified !== 'unknown') return verified;
      }
      return 'no-key';
    }
  }

  /** Finds the key of a token in a set. It keeps the keys that it has read. */
  #finderOf(keys: KeySet): KeyFinder {
    let finder = this.#finders.get(keys);
    if (finder === undefined) {
      finder = createLocalJWKSet(keys as Parameters<typeof createLocalJWKSet>[0]);
      this.#finders.set(keys, finder);
    }
    return finder;
  }

  async #verifyWith(token: string, key: Exclude<Parameters<typeof jwtVerify>[1], (...args: never[]) => unknown>): Promise<Verified> {
    try {
      return (await jwtVerify(token, key, this.#options)).payload;
    } catch (error) {
      return toOutcome(error);
    }
  }

  async close(): Promise<void> {
    await this.#fetched?.close();
  }
}

function textOfToken(password: Uint8Array | null): string | null {
  return password === null ? null : Buffer.from(password.buffer, password.byteOffset, password.byteLength).toString('latin1');
}

/** Every failure here is one of the token, or of the key that the token names: no message of it goes anywhere. */
function toOutcome(error: unknown): 'unknown' | 'deny' | 'no-key' {
  if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) return 'deny';
  return error instanceof errors.JWKSNoMatchingKey ? 'no-key' : 'unknown';
}
