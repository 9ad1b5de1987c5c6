/** The certificates of a PKCS#12 trust store (RFC 7292). Node opens a PKCS#12 file only when it holds a private key. */

import { createDecipheriv, pbkdf2Sync } from 'node:crypto';
import { DerReader } from './der.ts';

/** Object identifiers in hexadecimal, without tag and length. */
const OID = {
  data: '2a864886f70d010701',
  encryptedData: '2a864886f70d010706',
  certBag: '2a864886f70d010c0a0103',
  x509Certificate: '2a864886f70d01091601',
  pbes2: '2a864886f70d01050d',
  pbkdf2: '2a864886f70d01050c',
} as const;
const CIPHERS: Record<string, [string, number]> = {
  '60864801650304012a': ['aes-256-cbc', 32],
  '608648016503040116': ['aes-192-cbc', 24],
  '608648016503040102': ['aes-128-cbc', 16],
};
const DIGESTS: Record<string, string> = {
  '2a864886f70d0207': 'sha1',
  '2a864886f70d0209': 'sha256',
  '2a864886f70d020a': 'sha384',
  '2a864886f70d020b': 'sha512',
};
/** More iterations than any real store needs; they would block the main thread. */
const ITERATIONS_MAX = 1_000_000;

/** The file's encryption is one that current OpenSSL does not open either. */
export class OldEncryption extends Error {}

/**
 * DER of every certificate in the store.
 * @throws OldEncryption; Error when the bytes are no PKCS#12 or the password is wrong
 */
export function readTrustStore(bytes: Buffer, password: string): Buffer[] {
  const store = new DerReader(bytes).sequence();
  if (store.integer() !== 3) throw new Error('not PKCS#12 version 3');
  const safe = store.sequence();
  if (safe.identifier() !== OID.data) throw new Error('the store is not protected by a password');
  const contents = new DerReader(safe.enter(0xa0).next(0x04)).sequence();
  const certificates: Buffer[] = [];
  while (!contents.isEmpty) {
    const content = contents.sequence();
    const kind = content.identifier();
    if (kind === OID.data) certificates.push(...readBags(content.enter(0xa0).next(0x04)));
    else if (kind === OID.encryptedData) certificates.push(...readBags(decrypt(content.enter(0xa0), password)));
  }
  return certificates;
}

function readBags(bytes: Buffer): Buffer[] {
  const bags = new DerReader(bytes).sequence();
  const found: Buffer[] = [];
  while (!bags.isEmpty) {
    const bag = bags.sequence();
    if (bag.identifier() !== OID.certBag) continue;
    const certificate = bag.enter(0xa0).sequence();
    if (certificate.identifier() === OID.x509Certificate) found.push(certificate.enter(0xa0).next(0x04));
  }
  return found;
}

/** EncryptedData (RFC 5652 section 8) with PBES2 (RFC 8018 section 6.2). */
function decrypt(content: DerReader, password: string): Buffer {
  const data = content.sequence();
  data.integer(); // version
  const info = data.sequence();
  info.identifier(); // of the content
  const algorithm = info.sequence();
  if (algorithm.identifier() !== OID.pbes2) throw new OldEncryption();
  const parameters = algorithm.sequence();
  const derivation = parameters.sequence();
  if (derivation.identifier() !== OID.pbkdf2) throw new OldEncryption();
  const { salt, iterations, digest } = readDerivation(derivation.sequence());
  const scheme = parameters.sequence();
  const [cipher, keyLength] = CIPHERS[scheme.identifier()] ?? [];
  if (cipher === undefined || keyLength === undefined) throw new OldEncryption();
  const key = pbkdf2Sync(password, salt, iterations, keyLength, digest);
  const decipher = createDecipheriv(cipher, key, scheme.next(0x04));
  // [0] IMPLICIT OCTET STRING
  return Buffer.concat([decipher.update(info.next(0x80)), decipher.final()]);
}

function readDerivation(parameters: DerReader): { salt: Buffer; iterations: number; digest: string } {
  const salt = parameters.next(0x04);
  const iterations = parameters.integer();
  if (iterations < 1 || iterations > ITERATIONS_MAX) throw new Error('the number of iterations is out of range');
  if (!parameters.isEmpty && parameters.peek() === 0x02) parameters.next(); // key length
  const digest = parameters.isEmpty ? 'sha1' : DIGESTS[parameters.sequence().identifier()];
  if (digest === undefined) throw new OldEncryption();
  return { salt, iterations, digest };
}
