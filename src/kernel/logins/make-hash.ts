/** Makes hashes of passwords, for configurations, password files and the store. */

import { pbkdf2, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { FluxError } from '../errors.ts';
import { argon2, bcrypt } from './libraries.ts';
import { deriveScram, SCRAM_ITERATIONS, type ScramMethod } from './scram.ts';

/** What makeHash() makes; `mosquitto` is PBKDF2 in the form `$7$`, which mosquitto reads too. The first is the best. */
export const MADE_HASHES = ['argon2id', 'scrypt', 'bcrypt', 'pbkdf2', 'mosquitto', 'scram-sha-256', 'scram-sha-512'] as const;
export type MadeHash = (typeof MADE_HASHES)[number];

/** OWASP's smallest: 19 MiB, two passes. */
const ARGON2ID = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
const SCRYPT = { N: 16_384, r: 8, p: 1 } as const;
const BCRYPT_COST = 10;
/** bcrypt ignores what stands behind these bytes, and behind a null character. */
const BCRYPT_BYTES_MAX = 72;
const ITERATIONS = 210_000;
const SALT_BYTES = 16;
/** That of a password in MQTT. */
const PASSWORD_BYTES_MAX = 65_535;

const deriveScrypt = promisify<string, Buffer, number, typeof SCRYPT, Buffer>(scrypt);
const derivePbkdf2 = promisify(pbkdf2);

/**
 * A new hash with a random salt; takes some 20 to 100 ms of a processor, off this thread.
 * @throws FluxError `invalid` for an empty password, one that no client can send, or one that bcrypt would cut
 */
export async function makeHash(kind: MadeHash, password: string): Promise<string> {
  const bytes = Buffer.byteLength(password);
  if (bytes === 0) throw new FluxError('invalid', 'the password is empty');
  if (bytes > PASSWORD_BYTES_MAX) throw new FluxError('invalid', `the password has more than ${PASSWORD_BYTES_MAX} bytes`);
  switch (kind) {
    case 'argon2id':
      return (await argon2()).hash(password, ARGON2ID);
    case 'bcrypt':
      if (bytes > BCRYPT_BYTES_MAX || password.includes('\0'))
        throw new FluxError('invalid', `bcrypt takes passwords of at most ${BCRYPT_BYTES_MAX} bytes without null characters; use argon2id`);
      return (await bcrypt()).hash(password, BCRYPT_COST);
    case 'scrypt': {
      const salt = randomBytes(SALT_BYTES);
      const hash = await deriveScrypt(password, salt, 32, SCRYPT);
      return `scrypt$${SCRYPT.N}$${SCRYPT.r}$${SCRYPT.p}$${salt.toString('base64')}$${hash.toString('base64')}`;
    }
    case 'pbkdf2': {
      const salt = randomBytes(SALT_BYTES);
      const hash = await derivePbkdf2(password, salt, ITERATIONS, 32, 'sha512');
      return `$pbkdf2-sha512$i=${ITERATIONS},l=32$${unpadded(salt)}$${unpadded(hash)}`;
    }
    case 'scram-sha-256':
      return makeScram('SCRAM-SHA-256', password);
    case 'scram-sha-512':
      return makeScram('SCRAM-SHA-512', password);
    case 'mosquitto': {
      const salt = randomBytes(SALT_BYTES);
      const hash = await derivePbkdf2(password, salt, ITERATIONS, 64, 'sha512');
      return `$7$${ITERATIONS}$${salt.toString('base64')}$${hash.toString('base64')}`;
    }
  }
}

async function makeScram(method: ScramMethod, password: string): Promise<string> {
  const made = await deriveScram(method, Buffer.from(password), randomBytes(SALT_BYTES), SCRAM_ITERATIONS);
  const [salt, storedKey, serverKey] = [made.salt, made.storedKey, made.serverKey].map((bytes) => bytes.toString('base64'));
  return `${method}$${SCRAM_ITERATIONS}:${salt}$${storedKey}:${serverKey}`;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
