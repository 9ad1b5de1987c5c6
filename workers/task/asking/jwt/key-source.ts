/** The keys that verify tokens: one that is configured, or a set that is fetched. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { JwtAuthConfig } from '../../../../src/endpoint/endpoint.ts';
import { isObject } from '../../../../src/endpoint/problems.ts';
import { steadyNow } from '../../../../src/kernel/clock.ts';
import { messageOf } from '../../../../src/kernel/errors.ts';
import { type HttpClient, openHttpClient } from '../http/client.ts';

const KEYS_BYTES_MAX = 256 * 1024;
/** Strangers may send tokens of unknown keys: the set is fetched for them no more often than this. */
const UNKNOWN_EVERY_MS = 10_000;

/** A set of keys as its issuer publishes it (RFC 7517). */
export interface KeySet {
  keys: Record<string, unknown>[];
}

export type SingleKey = Uint8Array | KeyObject;

/** The configured key. @throws Error when the file cannot be read, or holds no public key */
export async function readSingleKey({ secret, secretEncoding, publicKey }: JwtAuthConfig): Promise<SingleKey> {
  if (secret !== null) return Buffer.from(secret, secretEncoding);
  try {
    const pem = publicKey!.includes('-----BEGIN') ? publicKey! : await readFile(publicKey!, 'utf8');
    if (pem.includes('PRIVATE KEY')) throw new Error('it is a private key');
    return createPublicKey(pem);
  } catch (error) {
    throw new Error(`the public key cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Fetches the set at its first use and again from time to time. The old keys serve until new ones have been read. */
export class FetchedKeys {
  readonly #client: HttpClient;
  readonly #path: string;
  readonly #refreshMs: number;
  readonly #timeoutMs: number;
  #keys: KeySet | null = null;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  /** of the last attempt, whatever became of it */
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<KeySet> | null = null;

  private constructor(client: HttpClient, path: string, { jwksRefresh, timeout }: JwtAuthConfig) {
    this.#client = client;
    this.#path = path;
    this.#refreshMs = jwksRefresh * 1000;
    this.#timeoutMs = timeout;
  }

  static async open(config: JwtAuthConfig): Promise<FetchedKeys> {
    const { origin, pathname, search } = new URL(config.jwksUrl!);
    const { timeout: timeoutMs, ca } = config;
    const client = await openHttpClient({ origin, connections: 1, timeoutMs, ca, bytesMax: KEYS_BYTES_MAX });
    return new FetchedKeys(client, pathname + search, config);
  }

  /** @throws Error when no set was ever fetched and none can be fetched now */
  async current(): Promise<KeySet> {
    const keys = this.#keys;
    const now = steadyNow();
    if (keys === null) return this.#fetch();
    // A failed attempt is not repeated for each login.
    if (now - this.#fetchedAt > this.#refreshMs && now - this.#triedAt > UNKNOWN_EVERY_MS) this.#fetch().catch(() => {});
    return keys;
  }

  /** The set after a token of an unknown key: the issuer may have a new one. Null: it was fetched a moment ago. */
  async renewed(): Promise<KeySet | null> {
    if (this.#fetching === null && steadyNow() - this.#triedAt < UNKNOWN_EVERY_MS) return null;
    return this.#fetch().catch(() => null);
  }

  /** One fetch at a time serves all. */
  #fetch(): Promise<KeySet> {
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = null;
    });
    return this.#fetching;
  }

  async #fetchNow(): Promise<KeySet> {
    this.#triedAt = steadyNow();
    const request = {
      method: 'GET',
      path: this.#path,
      headers: { accept: 'application/json', 'user-agent': 'fluxmq' },
      body: null,
    } as const;
    const { status, text } = await this.#client.request(request, AbortSignal.timeout(this.#timeoutMs));
    if (status !== 200) throw new Error(`the server of the keys answered with status ${status}`);
    this.#keys = readKeySet(text);
    this.#fetchedAt = steadyNow();
    return this.#keys;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

/** @throws Error */
function readKeySet(text: string): KeySet {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('the server of the keys answered with malformed JSON');
  }
  if (!isObject(value) || !Array.isArray(value['keys']) || !value['keys'].every(isObject) || value['keys'].length === 0)
    throw new Error('the server of the keys answered with something else than a set of keys');
  // A set that publishes secret keys, by mistake or by an attacker, verifies nothing with them.
  return { keys: (value['keys'] as Record<string, unknown>[]).filter(({ kty }) => kty !== 'oct') };
}
