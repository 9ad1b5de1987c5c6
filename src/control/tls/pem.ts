/** PEM and DER of certificates and revocation lists, where Node does not parse their content. */

import { DerReader } from './der.ts';

/** Every PEM block with one of these labels, in order. */
export function pemBlocks(text: string, label: 'CERTIFICATE' | 'X509 CRL'): string[] {
  const labels = label === 'CERTIFICATE' ? '(?:TRUSTED |X509 )?CERTIFICATE' : label;
  return text.match(new RegExp(`-----BEGIN ${labels}-----[\\s\\S]*?-----END ${labels}-----`, 'g')) ?? [];
}

/** True when the text has a private key in any of its forms. */
export function holdsPrivateKey(text: string): boolean {
  return /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text);
}

/** True for bytes that begin like a DER sequence. */
export function isDer(bytes: Buffer): boolean {
  return bytes[0] === 0x30;
}

/** Turns DER into PEM, because files named .crt, .cer or .crl are often DER. Other bytes are read as text. */
export function asPem(bytes: Buffer, label: 'CERTIFICATE' | 'X509 CRL'): string {
  if (!isDer(bytes)) return bytes.toString('utf8');
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** Facts from a revocation list. */
export interface CrlFacts {
  /** DER of the issuer's name */
  issuer: Buffer;
  nextUpdate: Date | null;
}

/** Reads one list in PEM (RFC 5280 section 5.1). @throws Error when the text is not a list */
export function readCrl(pem: string): CrlFacts {
  const der = Buffer.from(pem.replace(/-----[A-Z0-9 ]+-----/g, ''), 'base64');
  const list = new DerReader(der).sequence().sequence();
  if (list.peek() === 0x02) list.next(); // version
  list.next(); // signature algorithm
  const issuer = list.raw();
  list.time(); // thisUpdate
  const nextUpdate = list.isTime() ? list.time() : null;
  return { issuer, nextUpdate };
}

/** DER of the subject's name of a certificate (RFC 5280 section 4.1). @throws Error when the bytes are not a certificate */
export function subjectOf(certificate: Buffer): Buffer {
  const body = new DerReader(certificate).sequence().sequence();
  if (body.peek() === 0xa0) body.next(); // version
  for (let field = 0; field < 4; field++) body.next(); // serial, algorithm, issuer, validity
  return body.raw();
}
