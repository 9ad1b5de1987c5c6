/** The certificate and the key that an endpoint presents, from PEM or from a PKCS#12 key store, and every problem with them. */

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { SslConfig } from '../../endpoint/endpoint.ts';
import { type Issue, messageOf } from '../../kernel/errors.ts';
import { holdsPrivateKey, isDer, pemBlocks } from './pem.ts';
import type { Sources } from './sources.ts';

/** The input of a worker's TLS context; see TlsMaterial. */
export interface Identity {
  cert: string | null;
  key: string | null;
  pfx: Uint8Array | null;
  passphrase: string | null;
}

const JKS_MAGICS = [0xfeedfeed, 0xcececece];

/** Adds errors to `issues`, and problems that may disturb clients to `warnings`. Returns null when nothing is usable. */
export function readIdentity(config: SslConfig, { bytes }: Sources, issues: Issue[], warnings: string[]): Identity | null {
  if (bytes.keyStorePath !== undefined) return readKeyStore(config, bytes.keyStorePath, issues);
  if (bytes.cert === undefined) return null;
  const before = issues.length;
  if (isDer(bytes.cert)) {
    const target = (config.cert ?? '').replace(/\.(der|cer|crt)$/i, '');
    const remedy = `openssl x509 -inform DER -in ${config.cert} -out ${target}.pem`;
    issues.push({ path: 'sslConfig.cert', message: `is DER, which holds no intermediate certificates; convert it: ${remedy}` });
    return null;
  }
  const certText = bytes.cert.toString('utf8');
  const chain = readCertificates(certText, 'sslConfig.cert', issues);
  const hasOwnFile = config.key !== null;
  if (hasOwnFile && bytes.key === undefined) return null;
  const key = readKey(hasOwnFile ? (bytes.key?.toString('utf8') ?? '') : certText, config, issues);
  const [leaf] = chain;
  if (leaf === undefined || key === null || issues.length > before) return null;
  if (!leaf.checkPrivateKey(key)) {
    const isMisplaced = chain.some((certificate) => certificate.checkPrivateKey(key));
    const message = isMisplaced
      ? 'does not belong to the first certificate of sslConfig.cert: the certificate of the server must come first'
      : `does not belong to the certificate ${oneLine(leaf.subject)}`;
    issues.push({ path: 'sslConfig.key', message });
    return null;
  }
  warnings.push(...chainWarnings(chain));
  const pem = key.export({ type: 'pkcs8', format: 'pem' });
  return { cert: chain.map((certificate) => certificate.toString()).join(''), key: pem.toString(), pfx: null, passphrase: null };
}

/** Warns where a certificate is not followed by its issuer's, because strict clients refuse such a chain. */
function chainWarnings(chain: X509Certificate[]): string[] {
  return chain.flatMap((certificate, index) => {
    const next = chain[index + 1];
    if (next === undefined || certificate.checkIssued(next)) return [];
    return [`sslConfig.cert: ${oneLine(next.subject)} follows ${oneLine(certificate.subject)} but did not issue it`];
  });
}

/** Every certificate of a PEM text. No certificate, or one that does not parse, is an issue at `path`. */
export function readCertificates(text: string, path: string, issues: Issue[]): X509Certificate[] {
  const blocks = pemBlocks(text, 'CERTIFICATE');
  if (blocks.length === 0) issues.push({ path, message: 'holds no certificate in PEM' });
  return blocks.flatMap((block, index) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      issues.push({ path, message: `certificate ${index + 1} does not parse` });
      return [];
    }
  });
}

function readKey(text: string, { key, passphrase }: SslConfig, issues: Issue[]): KeyObject | null {
  const fail = (path: string, message: string) => {
    issues.push({ path, message });
    return null;
  };
  if (!holdsPrivateKey(text)) {
    return fail(
      'sslConfig.key',
      key === null
        ? 'is needed: sslConfig.cert holds no private key'
        : 'holds no private key in PEM (openssl pkey -inform DER converts one)',
    );
  }
  const isEncrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(text);
  if (isEncrypted && passphrase === null) return fail('sslConfig.passphrase', 'is needed: the private key is encrypted');
  try {
    return createPrivateKey({ key: text, ...(isEncrypted ? { passphrase: passphrase ?? '' } : {}) });
  } catch {
    return isEncrypted
      ? fail('sslConfig.passphrase', 'does not open the private key')
      : fail('sslConfig.key', 'holds a private key that does not parse');
  }
}

function readKeyStore({ keyStorePath, keyStorePassword }: SslConfig, pfx: Buffer, issues: Issue[]): Identity | null {
  const problem = storeProblem(pfx, keyStorePath ?? '');
  if (problem !== null) {
    issues.push({ path: 'sslConfig.keyStorePath', message: problem });
    return null;
  }
  const identity: Identity = { cert: null, key: null, pfx: new Uint8Array(pfx), passphrase: keyStorePassword ?? '' };
  try {
    createSecureContext({ pfx, passphrase: identity.passphrase ?? '' });
    return identity;
  } catch (error) {
    const message = messageOf(error);
    if (/mac verify failure/i.test(message)) issues.push({ path: 'sslConfig.keyStorePassword', message: 'does not open the key store' });
    else if (/unsupported/i.test(message))
      issues.push({ path: 'sslConfig.keyStorePath', message: oldEncryption(keyStorePath ?? '', 'key') });
    else issues.push({ path: 'sslConfig.keyStorePath', message: `is no PKCS#12 store with a key and its certificate: ${message}` });
    return null;
  }
}

/** Why a file is not a PKCS#12 store, or null. */
export function storeProblem(bytes: Buffer, path: string): string | null {
  if (bytes.length >= 4 && JKS_MAGICS.includes(bytes.readUInt32BE(0))) {
    const target = path.replace(/\.(jks|jceks|keystore|truststore)$/i, '');
    return `is a Java key store; convert it: keytool -importkeystore -srckeystore ${path} -destkeystore ${target}.p12 -deststoretype PKCS12`;
  }
  if (bytes[0] !== 0x30) return `is not PKCS#12${bytes.includes('-----BEGIN ') ? ': PEM belongs in cert, key and ca' : ''}`;
  return null;
}

/**
 * The way out for a store whose encryption OpenSSL has dropped: one command that asks for one password. OpenSSL cannot make a PKCS#12 file
 * without a key, which a trust store is, and two piped commands would ask for two passwords at the same time.
 * @param kind the content of the store; it decides which key of `sslConfig` names the resulting PEM file
 */
export function oldEncryption(path: string, kind: 'key' | 'trust'): string {
  const target = `${path.replace(/\.(p12|pfx)$/i, '')}.pem`;
  const command = `openssl pkcs12 -legacy -in ${path} ${kind === 'key' ? '-nodes' : '-nokeys'} -out ${target}`;
  const use = kind === 'key' ? '"cert" (it holds the key, too), in place of keyStorePath' : '"ca", in place of trustStorePath';
  return `has an old encryption that OpenSSL 3 does not open; convert it to PEM and name the PEM file as ${use}: ${command}`;
}

/** `CN=a\nO=b` → `CN=a, O=b`. */
export function oneLine(name: string): string {
  return name.split('\n').join(', ');
}
