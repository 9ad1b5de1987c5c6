/** SCRAM (RFC 5802, RFC 7677): secrets of passwords, and the server's side of one exchange. */

import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

/** The mechanisms, by the names that clients send. */
export const SCRAM_METHODS = ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
export type ScramMethod = (typeof SCRAM_METHODS)[number];

/** What a server keeps of a password. Nobody can log in with it, as a client needs the password or its derived key. */
export interface ScramSecret {
  method: ScramMethod;
  iterations: number;
  salt: Buffer;
  storedKey: Buffer;
  serverKey: Buffer;
}

/** The first message of a client, as far as a server needs it. */
export interface ScramFirst {
  username: string;
  nonce: string;
  /** the header that the last message repeats in base64 */
  header: string;
  /** the message without its header */
  bare: string;
}

/** A message that is no SCRAM message, or asks for what the server does not have. The text names no secret. */
export class ScramError extends Error {}

/** Iterations of new secrets. RFC 7677 demands 4,096 at least; a device that keeps no key needs them at each login. */
export const SCRAM_ITERATIONS = 15_000;
const SERVER_NONCE_BYTES = 18;
/** Characters of a message of a client. */
const MESSAGE_MAX = 4_096;
const HEADER = /^([ny]|p=[A-Za-z0-9.-]+),(?:a=([^,]*))?,/;
const FIRST = /^n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?$/s;
const FINAL = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)(?:,.*)?),p=([A-Za-z0-9+/]+=*)$/s;

const derive = promisify(pbkdf2);

function digestOf(method: ScramMethod): 'sha256' | 'sha512' {
  return method === 'SCRAM-SHA-256' ? 'sha256' : 'sha512';
}

export function scramMethod(digest: 'sha256' | 'sha512'): ScramMethod {
  return digest === 'sha256' ? 'SCRAM-SHA-256' : 'SCRAM-SHA-512';
}

/** Bytes of a key. */
export function scramKeyBytes(method: ScramMethod): number {
  return method === 'SCRAM-SHA-256' ? 32 : 64;
}

/** The secret of a password; takes the iterations, off this thread. @param password UTF-8 */
export async function deriveScram(method: ScramMethod, password: Uint8Array, salt: Buffer, iterations: number): Promise<ScramSecret> {
  const text = Buffer.from(password.buffer, password.byteOffset, password.byteLength).toString('utf8');
  const salted = await derive(prepare(text), salt, iterations, scramKeyBytes(method), digestOf(method));
  return scramOfSalted(method, salted, salt, iterations);
}

/** @param salted the whole PBKDF2 hash of the password, as long as a key of the method */
export function scramOfSalted(method: ScramMethod, salted: Uint8Array, salt: Buffer, iterations: number): ScramSecret {
  const digest = digestOf(method);
  const key = (name: string) => createHmac(digest, salted).update(name).digest();
  const storedKey = createHash(digest).update(key('Client Key')).digest();
  return { method, iterations, salt, storedKey, serverKey: key('Server Key') };
}

/** The mapping and the normal form of SASLprep (RFC 4013 sections 2.1 and 2.2); ASCII stays as it is. */
function prepare(password: string): string {
  return password
    .replace(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, ' ')
    .replace(/\u00ad|\u034f|\u1806|[\u180b-\u180d]|\u200c|\u200d|\u2060|[\ufe00-\ufe0f]|\ufeff/g, '')
    .normalize('NFKC');
}

/** @throws ScramError */
export function readScramFirst(data: Uint8Array): ScramFirst {
  const text = textOf(data);
  const header = HEADER.exec(text);
  if (header === null) throw new ScramError('The first SCRAM message has no header');
  if (header[1]?.startsWith('p=') === true) throw new ScramError('SCRAM with channel binding is not supported');
  const bare = text.slice(header[0].length);
  if (bare.startsWith('m=')) throw new ScramError('The first SCRAM message has an unknown mandatory extension');
  const [, name, nonce] = FIRST.exec(bare) ?? [];
  if (name === undefined || nonce === undefined) throw new ScramError('The first SCRAM message has no user name or no nonce');
  const username = readName(name);
  if (header[2] !== undefined && readName(header[2]) !== username)
    throw new ScramError('The first SCRAM message asks for the identity of another user');
  return { username, nonce, header: header[0], bare };
}

function readName(name: string): string {
  if (/=(?!2C|3D)/.test(name)) throw new ScramError('The user name of the first SCRAM message is badly encoded');
  return name.replaceAll('=2C', ',').replaceAll('=3D', '=');
}

function textOf(data: Uint8Array): string {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
  if (text.length > MESSAGE_MAX) throw new ScramError(`A SCRAM message has more than ${MESSAGE_MAX} characters`);
  return text;
}

/** One exchange, from the first message of the client to its proof. */
export class ScramExchange {
  readonly #first: ScramFirst;
  readonly #secret: ScramSecret;
  readonly #nonce: string;
  /** the answer to the first message */
  readonly challenge: string;

  /** @param nonce the server's part: never used twice */
  constructor(first: ScramFirst, secret: ScramSecret, nonce = randomBytes(SERVER_NONCE_BYTES).toString('base64')) {
    this.#first = first;
    this.#secret = secret;
    this.#nonce = first.nonce + nonce;
    this.challenge = `r=${this.#nonce},s=${secret.salt.toString('base64')},i=${secret.iterations}`;
  }

  /**
   * Judges the client's last message.
   * @returns the message that proves to the client that the server knows the secret; null: the proof is wrong
   * @throws ScramError
   */
  finish(data: Uint8Array): string | null {
    const [, unproven, header, nonce, proofText] = FINAL.exec(textOf(data)) ?? [];
    if (unproven === undefined || header === undefined || proofText === undefined)
      throw new ScramError('The last SCRAM message has no channel binding, nonce or proof');
    if (nonce !== this.#nonce || Buffer.from(header, 'base64').toString('utf8') !== this.#first.header)
      throw new ScramError('The last SCRAM message does not belong to the first');
    const { storedKey, serverKey, method } = this.#secret;
    const digest = digestOf(method);
    const message = `${this.#first.bare},${this.challenge},${unproven}`;
    const sign = (key: Uint8Array) => createHmac(digest, key).update(message).digest();
    const signature = sign(storedKey);
    const proof = Buffer.from(proofText, 'base64');
    if (proof.length !== signature.length) return null;
    const clientKey = proof.map((byte, at) => byte ^ signature[at]!);
    if (!timingSafeEqual(createHash(digest).update(clientKey).digest(), storedKey)) return null;
    return `v=${sign(serverKey).toString('base64')}`;
  }
}
