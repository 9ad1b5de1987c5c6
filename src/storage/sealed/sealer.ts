/** Seals secrets with AES-256-GCM: `sealed:v1:<key id>:<base64url of nonce, tag and ciphertext>`. */

import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { FluxError } from '../../kernel/errors.ts';

const MARK = 'sealed:v1:';
const FORM = /^sealed:v1:([0-9a-f]{8}):([A-Za-z0-9_-]+)$/;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Cost of deriving a key from a passphrase: 64 MiB and about 0.2 s, once at the start. The fixed salt gives all nodes the same key. */
const SCRYPT = { N: 65_536, r: 8, p: 1, maxmem: 128 * 1024 * 1024 };
const SCRYPT_SALT = 'fluxmq store secrets v1';

/** The keys in the operator's form: 32 bytes as hex or base64, otherwise a passphrase. */
export interface SealingKeys {
  /** null: nothing is sealed from now on */
  secretKey: string | null;
  /** further keys, for reading only */
  secretKeysOld: string[];
}

/** True for the result of `seal` with a key. */
export function isSealed(text: string): boolean {
  return text.startsWith(MARK);
}

export class Sealer {
  /** First 8 hexadecimal digits of the SHA-256 over a fixed prefix and the key; null without a key. */
  readonly keyId: string | null;
  readonly #key: Buffer | null;
  readonly #known = new Map<string, Buffer>();

  constructor({ secretKey, secretKeysOld }: SealingKeys) {
    this.#key = secretKey === null ? null : toKey(secretKey);
    this.keyId = this.#key === null ? null : idOf(this.#key);
    for (const key of [...secretKeysOld.map(toKey), ...(this.#key === null ? [] : [this.#key])]) this.#known.set(idOf(key), key);
  }

  /** The sealed form, different at each call. Without a key, the text itself. */
  seal(text: string): string {
    if (this.#key === null) return text;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return `${MARK}${this.keyId}:${Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')}`;
  }

  /**
   * The clear text of a sealed text; a text that is not sealed is returned as it is.
   * @throws FluxError `unprocessable`: the text needs another key, which the error names by its id, or the text was altered
   */
  unseal(text: string): string {
    if (!isSealed(text)) return text;
    const [, id = '', body = ''] = FORM.exec(text) ?? [];
    const key = this.#known.get(id);
    if (key === undefined) throw new FluxError('unprocessable', `is sealed with key ${id === '' ? '?' : id}, ${this.#knownIds()}`);
    const bytes = Buffer.from(body, 'base64url');
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
      decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new FluxError('unprocessable', `is sealed with key ${id}, but was altered since`, { cause });
    }
  }

  #knownIds(): string {
    if (this.#known.size === 0) return 'and no key is configured (store.secretKeyFile or store.secretKey)';
    return `and only ${[...this.#known.keys()].join(', ')} is configured (store.secretKey, store.secretKeysOld)`;
  }
}

function toKey(text: string): Buffer {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) {
    const bytes = Buffer.from(text, 'base64');
    if (bytes.length === KEY_BYTES) return bytes;
  }
  return scryptSync(text, SCRYPT_SALT, KEY_BYTES, SCRYPT);
}

function idOf(key: Buffer): string {
  return createHash('sha256').update('fluxmq key id').update(key).digest('hex').slice(0, 8);
}
