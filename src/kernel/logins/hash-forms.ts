/** Hashes of passwords that name their own kind, salt and cost: read strictly, and refused when one check would cost too much. */

import { SCRAM_METHODS, type ScramMethod, type ScramSecret, scramKeyBytes, scramMethod, scramOfSalted } from './scram.ts';
import { parseScrypt, type ScryptForm } from './scrypt.ts';

/** The kinds, and what their texts look like. */
export const HASH_FORMS = {
  argon2id: '$argon2id$v=19$m=…,t=…,p=…$salt$hash',
  scrypt: 'scrypt$N$r$p$saltBase64$hashBase64 (N a power of two)',
  bcrypt: '$2a$, $2b$ or $2y$, cost and 53 characters',
  pbkdf2: '$pbkdf2-sha256$…, $pbkdf2-sha512$…, $7$… of mosquitto, or PBKDF2$sha512$…',
  digest: '$digest-sha256$prefix$salt$hash (also md5, sha1, sha512; suffix), in base64',
  scram: 'SCRAM-SHA-256$iterations:salt$storedKey:serverKey, or SCRAM-SHA-512$…, in base64',
} as const;
export type HashKind = keyof typeof HASH_FORMS;

export type HashForm =
  /** checked by a library, which reads the text itself */
  | { kind: 'argon2id' | 'bcrypt'; stored: string }
  | { kind: 'scrypt'; form: ScryptForm }
  | { kind: 'pbkdf2'; digest: 'sha256' | 'sha512'; iterations: number; salt: Buffer; hash: Buffer }
  | { kind: 'scram'; secret: ScramSecret }
  /** one digest of password and salt, as EMQX and mosquitto's `$6$` have it */
  | { kind: 'digest'; algorithm: DigestName; isPrefix: boolean; salt: Buffer; hash: Buffer };

const DIGEST_BYTES = { md5: 16, sha1: 20, sha256: 32, sha512: 64 } as const;
export type DigestName = keyof typeof DIGEST_BYTES;

/** One check takes about a second of a processor at most: bounds of memory, and of the memory that is written, in bytes. */
const MEMORY_MAX = 256 * 1024 * 1024;
const ARGON2_WORK_MAX = 4 * MEMORY_MAX;
const SCRYPT_WORK_MAX = MEMORY_MAX;
const LANES_MAX = 16;
const ITERATIONS_MAX = 2_000_000;
const BCRYPT_COST_MAX = 14;
const SALT_BYTES_MAX = 256;

const ARGON2ID = /^\$argon2id\$v=19\$m=(\d{1,10}),t=(\d{1,10}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
/** The PHC form (`i=…,l=…`), and that of passlib with the bare number, in base64 with `.` for `+`. */
const PBKDF2 = /^\$pbkdf2-(sha256|sha512)\$(?:i=(\d{1,10})(?:,l=(\d{1,3}))?|(\d{1,10}))\$([A-Za-z0-9+./]+)\$([A-Za-z0-9+./]+)$/;
const GO_AUTH = /^PBKDF2\$(sha256|sha512)\$(\d{1,10})\$([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]+={0,2})$/;
const MOSQUITTO = /^\$(?:6|7\$(\d{1,10}))\$([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]+={0,2})$/;
/** The form of RFC 5803, which Postgres uses too. */
const SCRAM = /^(SCRAM-SHA-(?:256|512))\$(\d{1,10}):([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]+={0,2}):([A-Za-z0-9+/]+={0,2})$/;
const DIGEST = /^\$digest-(md5|sha1|sha256|sha512)\$(prefix|suffix)\$([A-Za-z0-9+/]*={0,2})\$([A-Za-z0-9+/]+={0,2})$/;
const SHA512_BYTES = 64;

/** Reads a hash of any kind. A text: the reason why it is none, which names no part of it. */
export function readHash(stored: string): HashForm | string {
  if (stored.startsWith('scrypt$')) return readScrypt(stored);
  if (stored.startsWith('$argon2')) return readArgon2(stored);
  if (stored.startsWith('$2')) return readBcrypt(stored);
  if (stored.startsWith('$6$') || stored.startsWith('$7$')) return readMosquitto(stored);
  if (/^(?:\$pbkdf2-|PBKDF2\$)/.test(stored)) return readPbkdf2(stored);
  if (stored.startsWith('SCRAM-')) return readScram(stored);
  if (stored.startsWith('$digest-')) return readDigest(stored);
  return 'has no known form of a hash: argon2id, scrypt, bcrypt, pbkdf2, scram, digest, $6$ or $7$';
}

/** The reason why a text is no hash of this kind, or would cost too much to check; null: it is usable. */
export function hashProblem(stored: string, kind: HashKind): string | null {
  const read = readHash(stored);
  if (typeof read !== 'string') return read.kind === kind ? null : `must be ${HASH_FORMS[kind]}`;
  return kindOf(stored) === kind ? read : `must be ${HASH_FORMS[kind]}`;
}

/** The kind that a text claims to be. */
function kindOf(stored: string): HashKind {
  if (stored.startsWith('scrypt$')) return 'scrypt';
  if (stored.startsWith('$argon2')) return 'argon2id';
  if (stored.startsWith('SCRAM-')) return 'scram';
  if (stored.startsWith('$digest-')) return 'digest';
  return stored.startsWith('$2') ? 'bcrypt' : 'pbkdf2';
}

function readArgon2(stored: string): HashForm | string {
  const match = ARGON2ID.exec(stored);
  if (match === null) return `must be ${HASH_FORMS.argon2id}`;
  const [kibibytes, passes, lanes] = match.slice(1, 4).map(Number) as [number, number, number];
  const bytes = kibibytes * 1024;
  const salt = Buffer.from(match[4] ?? '', 'base64').length;
  const hash = Buffer.from(match[5] ?? '', 'base64').length;
  if (lanes < 1 || passes < 1 || kibibytes < 8 * lanes) return 'must have p and t of at least 1, and m of at least 8 for each p';
  if (bytes > MEMORY_MAX || lanes > LANES_MAX || bytes * passes > ARGON2_WORK_MAX)
    return `would cost too much: m up to ${MEMORY_MAX / 1024}, m times t up to ${ARGON2_WORK_MAX / 1024}, p up to ${LANES_MAX}`;
  if (salt < 8 || salt > 64 || hash < 16 || hash > 128) return 'must have a salt of 8 to 64 bytes and a hash of 16 to 128 bytes';
  return { kind: 'argon2id', stored };
}

function readScrypt(stored: string): HashForm | string {
  const form = parseScrypt(stored);
  if (form === null) return `must be ${HASH_FORMS.scrypt}`;
  if (128 * form.cost * form.blockSize * form.parallelization > SCRYPT_WORK_MAX)
    return `would cost too much: N times r times p up to ${SCRYPT_WORK_MAX / 128}`;
  return { kind: 'scrypt', form };
}

function readBcrypt(stored: string): HashForm | string {
  const match = BCRYPT.exec(stored);
  if (match === null) return 'must be a bcrypt hash ($2a$, $2b$ or $2y$)';
  const cost = Number(match[1]);
  return cost < 4 || cost > BCRYPT_COST_MAX ? `must have a bcrypt cost of 4..${BCRYPT_COST_MAX}` : { kind: 'bcrypt', stored };
}

function readPbkdf2(stored: string): HashForm | string {
  const phc = PBKDF2.exec(stored);
  if (phc !== null) {
    const [, digest, counted, length, bare, salt = '', hash = ''] = phc;
    const read = checkPbkdf2(digest as 'sha256' | 'sha512', Number(counted ?? bare), fromPhc(salt), fromPhc(hash));
    const isOther = typeof read !== 'string' && length !== undefined && fromPhc(hash).length !== Number(length);
    return isOther ? 'has a hash of another length than l says' : read;
  }
  const other = GO_AUTH.exec(stored);
  if (other === null) return `must be ${HASH_FORMS.pbkdf2}`;
  const [, digest, iterations, salt = '', hash = ''] = other;
  return checkPbkdf2(digest as 'sha256' | 'sha512', Number(iterations), Buffer.from(salt, 'base64'), Buffer.from(hash, 'base64'));
}

function readScram(stored: string): HashForm | string {
  const match = SCRAM.exec(stored);
  if (match === null) return `must be ${HASH_FORMS.scram}`;
  const [, name, iterationsText, ...texts] = match;
  const method = SCRAM_METHODS.find((each) => each === name) as ScramMethod;
  const iterations = Number(iterationsText);
  const [salt, storedKey, serverKey] = texts.map((text) => Buffer.from(text, 'base64')) as [Buffer, Buffer, Buffer];
  const bytes = scramKeyBytes(method);
  if (storedKey.length !== bytes || serverKey.length !== bytes) return 'has a key of the wrong length';
  const problem = costProblem(iterations, salt);
  return problem ?? { kind: 'scram', secret: { method, iterations, salt, storedKey, serverKey } };
}

function fromPhc(text: string): Buffer {
  return Buffer.from(text.replaceAll('.', '+'), 'base64');
}

function readMosquitto(stored: string): HashForm | string {
  const match = MOSQUITTO.exec(stored);
  if (match === null) return 'must be $6$salt$hash or $7$iterations$salt$hash, in base64';
  const [, iterations, saltText = '', hashText = ''] = match;
  const salt = Buffer.from(saltText, 'base64');
  const hash = Buffer.from(hashText, 'base64');
  if (hash.length !== SHA512_BYTES) return 'has a hash of the wrong length';
  if (iterations !== undefined) return checkPbkdf2('sha512', Number(iterations), salt, hash);
  return digestForm('sha512', false, salt, hash);
}

function readDigest(stored: string): HashForm | string {
  const match = DIGEST.exec(stored);
  if (match === null) return `must be ${HASH_FORMS.digest}`;
  const [, algorithm, place, salt = '', hash = ''] = match;
  return digestForm(algorithm as DigestName, place === 'prefix', Buffer.from(salt, 'base64'), Buffer.from(hash, 'base64'));
}

function digestForm(algorithm: DigestName, isPrefix: boolean, salt: Buffer, hash: Buffer): HashForm | string {
  if (hash.length !== DIGEST_BYTES[algorithm]) return 'has a hash of the wrong length';
  if (salt.length > SALT_BYTES_MAX) return `must have a salt of at most ${SALT_BYTES_MAX} bytes`;
  return { kind: 'digest', algorithm, isPrefix, salt, hash };
}

/** The hash is that of the digest at most: a longer one costs the iterations again, and protects no better. */
function checkPbkdf2(digest: 'sha256' | 'sha512', iterations: number, salt: Buffer, hash: Buffer): HashForm | string {
  const longest = digest === 'sha256' ? 32 : SHA512_BYTES;
  const problem = costProblem(iterations, salt);
  if (problem !== null) return problem;
  if (hash.length < 16 || hash.length > longest) return `must have a hash of 16 to ${longest} bytes`;
  return { kind: 'pbkdf2', digest, iterations, salt, hash };
}

function costProblem(iterations: number, salt: Buffer): string | null {
  if (iterations < 1 || iterations > ITERATIONS_MAX) return `must have 1..${ITERATIONS_MAX} iterations`;
  return salt.length < 1 || salt.length > SALT_BYTES_MAX ? `must have a salt of 1 to ${SALT_BYTES_MAX} bytes` : null;
}

/** What a SCRAM exchange needs of a hash; null: it was not made for this method. A whole PBKDF2 hash is what SCRAM derives its keys from. */
export function scramSecretOf(stored: string, method: ScramMethod): ScramSecret | null {
  const hash = readHash(stored);
  if (typeof hash === 'string') return null;
  if (hash.kind === 'scram') return hash.secret.method === method ? hash.secret : null;
  if (hash.kind !== 'pbkdf2' || scramMethod(hash.digest) !== method || hash.hash.length !== scramKeyBytes(method)) return null;
  return scramOfSalted(method, hash.hash, hash.salt, hash.iterations);
}
