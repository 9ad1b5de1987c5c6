/** The authorities whose client certificates an endpoint accepts, their revocation lists, and every problem with them. */

import { X509Certificate } from 'node:crypto';
import type { SslConfig } from '../../endpoint/endpoint.ts';
import { type Issue, messageOf } from '../../kernel/errors.ts';
import { oldEncryption, oneLine, readCertificates, storeProblem } from './identity.ts';
import { asPem, type CrlFacts, pemBlocks, readCrl, subjectOf } from './pem.ts';
import { OldEncryption, readTrustStore } from './pkcs12.ts';
import type { Sources } from './sources.ts';

export interface Authorities {
  /** PEM, one each */
  ca: string[];
  crl: string[];
  crlNextUpdate: Date | null;
}

/** Adds errors to `issues`, and problems that will hinder clients to `warnings`. */
export function readAuthorities(config: SslConfig, sources: Sources, now: Date, issues: Issue[], warnings: string[]): Authorities {
  const certificates = readCa(config, sources, issues);
  for (const certificate of certificates) {
    if (new Date(certificate.validTo) < now)
      warnings.push(`the authority ${oneLine(certificate.subject)} expired on ${certificate.validTo}`);
  }
  const ca = certificates.map((certificate) => certificate.toString());
  if (sources.bytes.crl === undefined) return { ca, crl: [], crlNextUpdate: null };
  const lists = readLists(sources.bytes.crl, now, issues);
  if (lists.length > 0) {
    // OpenSSL checks the whole chain: without a list for each authority, no client of that authority could connect.
    for (const certificate of certificates) {
      const subject = subjectOf(certificate.raw);
      if (lists.some(({ issuer }) => issuer.equals(subject))) continue;
      issues.push({
        path: 'sslConfig.crl',
        message: `holds no list of the authority ${oneLine(certificate.subject)}: each authority needs one`,
      });
    }
  }
  const updates = lists.flatMap(({ nextUpdate }) => (nextUpdate === null ? [] : [nextUpdate.getTime()]));
  return { ca, crl: lists.map(({ pem }) => pem), crlNextUpdate: updates.length === 0 ? null : new Date(Math.min(...updates)) };
}

function readCa(config: SslConfig, { bytes }: Sources, issues: Issue[]): X509Certificate[] {
  if (bytes.ca !== undefined) return readCertificates(asPem(bytes.ca, 'CERTIFICATE'), 'sslConfig.ca', issues);
  if (bytes.trustStorePath === undefined) return [];
  const path = config.trustStorePath ?? '';
  const fail = (message: string, at = 'sslConfig.trustStorePath') => {
    issues.push({ path: at, message });
    return [];
  };
  const problem = storeProblem(bytes.trustStorePath, path);
  if (problem !== null) return fail(problem);
  try {
    const found = readTrustStore(bytes.trustStorePath, config.trustStorePassword ?? '').map((der) => new X509Certificate(der));
    return found.length > 0 ? found : fail('holds no certificate');
  } catch (error) {
    if (error instanceof OldEncryption) return fail(oldEncryption(path, 'trust'));
    if (error instanceof Error && /decrypt/i.test(error.message))
      return fail('does not open the trust store', 'sslConfig.trustStorePassword');
    return fail(`is no PKCS#12 store of certificates: ${messageOf(error)}`);
  }
}

function readLists(bytes: Buffer, now: Date, issues: Issue[]): (CrlFacts & { pem: string })[] {
  const blocks = pemBlocks(asPem(bytes, 'X509 CRL'), 'X509 CRL');
  if (blocks.length === 0) issues.push({ path: 'sslConfig.crl', message: 'holds no revocation list in PEM' });
  return blocks.flatMap((pem, index) => {
    try {
      const facts = readCrl(pem);
      if (facts.nextUpdate !== null && facts.nextUpdate < now) {
        issues.push({ path: 'sslConfig.crl', message: `list ${index + 1} expired on ${facts.nextUpdate.toISOString()}` });
      }
      return [{ ...facts, pem }];
    } catch {
      issues.push({ path: 'sslConfig.crl', message: `list ${index + 1} does not parse` });
      return [];
    }
  });
}
