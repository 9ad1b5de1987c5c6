/** Turns an endpoint's `sslConfig` into material for workers, and tests it first: parsed, in date, and with a real handshake. */

import { randomBytes, type X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { SslConfig } from '../../endpoint/endpoint.ts';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError, type Issue, messageOf } from '../../kernel/errors.ts';
import type { EndpointRuntimeConfig } from '../../thread/commands.ts';
import { type TlsMaterial, toTlsOptions } from '../../thread/tls-material.ts';
import { readAuthorities } from './authorities.ts';
import { oneLine, readIdentity } from './identity.ts';
import { readSources, type Sources } from './sources.ts';
import { tryHandshake } from './try-handshake.ts';

/** A certificate that expires within this time causes a warning. */
export const WARN_BEFORE_MS = 30 * 86_400_000;
/** Three keys of 16 bytes, as Node expects them. */
const TICKET_KEY_BYTES = 48;

export interface LoadedTls {
  material: TlsMaterial;
  /** for the answer of a change */
  warnings: string[];
}

/**
 * Reads and tests everything; changes nothing.
 * @param sources sources that were read before; without them, they are read now
 * @throws FluxError `unprocessable` with every problem, each with its key as path
 */
export async function loadTls(config: SslConfig, sources?: Sources): Promise<LoadedTls> {
  const read = sources ?? (await readSources(config));
  const now = new Date(wallNow());
  const issues: Issue[] = [...read.issues];
  const warnings: string[] = [];
  const identity = readIdentity(config, read, issues, warnings);
  const { ca, crl, crlNextUpdate } = readAuthorities(config, read, now, issues, warnings);
  if (identity === null || issues.length > 0) throw refusal(issues);
  const { protocols, cipherSuites, clientAuth } = config;
  const unknown = { subject: '', issuer: '', fingerprint: '', notBefore: '', notAfter: '' };
  const material: TlsMaterial = {
    digest: read.digest,
    ...identity,
    ca,
    crl,
    protocols,
    cipherSuites,
    clientAuth,
    ticketKeys: new Uint8Array(randomBytes(TICKET_KEY_BYTES)),
    certificate: { ...unknown, crlNextUpdate: crlNextUpdate?.toISOString() ?? null },
  };
  const chain = await shownChain(material, config);
  Object.assign(material.certificate, factsOf(chain, config, now));
  warnings.push(...expiryWarnings(material, now.getTime()));
  return { material, warnings };
}

/**
 * Adds the TLS material of an endpoint whose material was unusable at its start. Each attempt reads it anew.
 * @throws FluxError `unprocessable`
 */
export async function withTls(config: EndpointRuntimeConfig): Promise<EndpointRuntimeConfig> {
  if (config.tls !== null || !config.endpoint.sslConfig.enabled) return config;
  return { ...config, tls: (await loadTls(config.endpoint.sslConfig)).material };
}

/** Warnings about a certificate or a revocation list that expires soon or has expired. */
export function expiryWarnings({ certificate }: TlsMaterial, now: number): string[] {
  const warnings: string[] = [];
  const left = Date.parse(certificate.notAfter) - now;
  if (left < 0) warnings.push(`the certificate ${certificate.subject} has expired: ${certificate.notAfter}`);
  else if (left < WARN_BEFORE_MS) {
    warnings.push(`the certificate ${certificate.subject} expires in ${Math.floor(left / 86_400_000)} days: ${certificate.notAfter}`);
  }
  const { crlNextUpdate } = certificate;
  if (crlNextUpdate !== null && Date.parse(crlNextUpdate) < now) {
    warnings.push(`a revocation list has expired, so no client certificate is accepted: ${crlNextUpdate}`);
  }
  return warnings;
}

/** The certificates that a client sees. */
async function shownChain(material: TlsMaterial, config: SslConfig): Promise<X509Certificate[]> {
  const at = config.keyStorePath === null ? 'sslConfig.cert' : 'sslConfig.keyStorePath';
  let context: SecureContext;
  try {
    context = createSecureContext(toTlsOptions(material));
  } catch (error) {
    throw refusal([{ path: at, message: `is not usable for TLS: ${reasonOf(error)}` }]);
  }
  try {
    return await tryHandshake(context);
  } catch (error) {
    const path = config.cipherSuites.length > 0 ? 'sslConfig.cipherSuites' : at;
    throw refusal([{ path, message: `no handshake is possible: ${reasonOf(error)}` }]);
  }
}

/** @throws FluxError `unprocessable` when a certificate of the chain is not valid now */
function factsOf(chain: X509Certificate[], config: SslConfig, now: Date) {
  const path = config.keyStorePath === null ? 'sslConfig.cert' : 'sslConfig.keyStorePath';
  const issues: Issue[] = [];
  for (const { subject, validFrom, validTo } of chain) {
    if (new Date(validTo) < now) issues.push({ path, message: `the certificate ${oneLine(subject)} expired on ${validTo}` });
    if (new Date(validFrom) > now) issues.push({ path, message: `the certificate ${oneLine(subject)} is not valid before ${validFrom}` });
  }
  const [leaf] = chain;
  if (leaf === undefined || issues.length > 0) throw refusal(issues);
  const notAfter = Math.min(...chain.map(({ validTo }) => Date.parse(validTo)));
  return {
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    fingerprint: leaf.fingerprint256,
    notBefore: new Date(leaf.validFrom).toISOString(),
    notAfter: new Date(notAfter).toISOString(),
  };
}

function reasonOf(error: unknown): string {
  const text = messageOf(error);
  // OpenSSL: `C05C2F9C:error:0A000076:SSL routines:tls_choose_sigalg:no suitable signature algorithm:../deps/…:`
  return /:SSL routines:[^:]*:([^:]+):/.exec(text)?.[1] ?? text;
}

function refusal(issues: Issue[]): FluxError {
  const [first, ...others] = issues;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return new FluxError('unprocessable', `TLS cannot be used: ${first?.path ?? 'sslConfig'} ${first?.message ?? ''}${more}`, { issues });
}
