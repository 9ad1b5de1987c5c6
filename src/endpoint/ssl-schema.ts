/** Turns `sslConfig`, in our and in FluxMQ's spellings, into its normal form and back (docs/tls.md). */

import type { z } from 'zod';
import { openSslName, suiteProblem, versionOfSuite } from './cipher-suites.ts';
import { defaultSslConfig } from './defaults.ts';
import type { SslConfig } from './endpoint.ts';
import { schemaOf } from './keys/schema-of.ts';
import { TLS_KEYS, TLS_VERSIONS, type TlsVersion } from './keys/tls.ts';
import { check, isObject, join, type Problems } from './problems.ts';
import { MASK } from './secrets/secrets.ts';

/** FluxMQ's and other brokers' names. */
const ALIASES: Record<string, keyof SslConfig> = {
  enable: 'enabled',
  crt: 'cert',
  certFile: 'cert',
  keyFile: 'key',
  caFile: 'ca',
  crlFile: 'crl',
  keyPassword: 'passphrase',
  ciphers: 'cipherSuites',
};

const SCHEMAS = new Map<string, z.ZodType>(Object.entries(TLS_KEYS).map(([key, { value }]) => [key, schemaOf<unknown>(value)]));

/**
 * Merges input into `old`: null restores a key's default, a mask keeps the old secret.
 * @param old the endpoint's former value; the default for a new endpoint
 * @returns `old` when the input is no object
 */
export function readSslConfig(input: unknown, old: SslConfig, problems: Problems, warnings: string[]): SslConfig {
  if (!isObject(input)) {
    problems.add('sslConfig', 'must be an object');
    return old;
  }
  const before = problems.issues.length;
  const values: Record<string, unknown> = { ...old };
  const defaults: Record<string, unknown> = { ...defaultSslConfig() };
  const seen = new Set<string>();
  let isSwitched = false;
  for (const [name, value] of Object.entries(input)) {
    const key = Object.hasOwn(ALIASES, name) ? (ALIASES[name] as string) : name;
    const at = join('sslConfig', name);
    if (!SCHEMAS.has(key)) problems.addUnknownKey(at);
    else if (seen.has(key)) problems.add(at, `is another name of ${key}: give one of them`);
    else {
      seen.add(key);
      const isNothing = value === null || value === undefined;
      if (key === 'enabled') isSwitched = !isNothing;
      values[key] = isNothing ? defaults[key] : readKey(key as keyof SslConfig, value, at, old, problems);
    }
  }
  const config = values as unknown as SslConfig;
  const hasIdentity = config.cert !== null || config.keyStorePath !== null;
  const hadIdentity = old.cert !== null || old.keyStorePath !== null;
  // The first certificate turns TLS on and the last one turns it off, unless the request itself says otherwise.
  if (!isSwitched && (seen.has('enabled') || hasIdentity !== hadIdentity)) config.enabled = hasIdentity;
  if (problems.issues.length === before) checkTogether(config, problems, warnings);
  return config;
}

function readKey(key: keyof SslConfig, value: unknown, at: string, old: SslConfig, problems: Problems): unknown {
  if (key === 'protocols') return readProtocols(value, at, problems);
  if (key === 'cipherSuites') return readCipherSuites(value, at, problems);
  if (value !== MASK) return check(SCHEMAS.get(key) as z.ZodType, value, at, problems);
  if (old[key] === null) problems.add(at, 'is only a mask: there is no old value to keep');
  return old[key];
}

/** Rules over several keys. */
function checkTogether(config: SslConfig, problems: Problems, warnings: string[]): void {
  const { enabled, cert, key, keyStorePath, ca, trustStorePath, clientAuth, crl } = config;
  const add = (name: keyof SslConfig, message: string) => problems.add(join('sslConfig', name), message);
  if (enabled && cert === null && keyStorePath === null) add('enabled', 'needs cert and key, or keyStorePath');
  if (cert !== null && keyStorePath !== null) add('keyStorePath', 'cannot stand beside cert: give one of them');
  if (key !== null && cert === null) add('key', 'is of no use without cert');
  if (ca !== null && trustStorePath !== null) add('trustStorePath', 'cannot stand beside ca: give one of them');
  if (clientAuth !== 'none' && ca === null && trustStorePath === null) {
    add('clientAuth', `${clientAuth} needs ca or trustStorePath: the authorities whose client certificates are taken`);
  }
  const withoutEffect = (name: keyof SslConfig, needs: string) => warnings.push(`sslConfig.${name} has no effect without ${needs}`);
  if (crl !== null && clientAuth === 'none') withoutEffect('crl', 'clientAuth');
  if (config.passphrase !== null && cert === null) withoutEffect('passphrase', 'cert and key');
  if (config.keyStorePassword !== null && keyStorePath === null) withoutEffect('keyStorePassword', 'keyStorePath');
  if (config.trustStorePassword !== null && trustStorePath === null) withoutEffect('trustStorePassword', 'trustStorePath');
  for (const version of TLS_VERSIONS) {
    const isOffered = config.protocols.includes(version) && config.cipherSuites.length > 0;
    if (isOffered && !config.cipherSuites.some((suite) => versionOfSuite(suite) === version)) {
      warnings.push(`${version} is not offered: none of sslConfig.cipherSuites is one of its suites`);
    }
  }
  const isPossible =
    config.cipherSuites.length === 0 || config.cipherSuites.some((suite) => config.protocols.includes(versionOfSuite(suite)));
  if (!isPossible) add('cipherSuites', `holds no suite of ${config.protocols.join(', ')}`);
}

/** A list, or one string with commas or blanks between. `TLSv1.2`, `TLS1.2`, `tlsv1_2` are the same. */
function readProtocols(value: unknown, at: string, problems: Problems): TlsVersion[] {
  const names = toList(value, at, problems);
  const found = new Set<TlsVersion>();
  for (const name of names) {
    const digits = /^tls\s?v?\s?1[._]([23])$/i.exec(name)?.[1];
    if (digits === undefined) problems.add(at, `${name} is not one of ${TLS_VERSIONS.join(', ')}; older ones are not offered`);
    else found.add(`TLSv1.${digits}` as TlsVersion);
  }
  if (names.length === 0 && Array.isArray(value)) problems.add(at, 'must not be empty');
  return TLS_VERSIONS.filter((version) => found.has(version));
}

/** A list, or one string with colons, commas or blanks between; OpenSSL's or IANA's names. */
function readCipherSuites(value: unknown, at: string, problems: Problems): string[] {
  const suites = new Set<string>();
  for (const name of toList(value, at, problems)) {
    const suite = openSslName(name);
    const problem = suiteProblem(suite);
    if (problem === null) suites.add(suite);
    else problems.add(at, `${name} ${problem}`);
  }
  return [...suites];
}

function toList(value: unknown, at: string, problems: Problems): string[] {
  if (typeof value === 'string') return value.split(/[:,\s]+/).filter((part) => part !== '');
  if (Array.isArray(value) && value.every((part) => typeof part === 'string')) return value;
  problems.add(at, 'must be a list of names');
  return [];
}

/** The form in answers: null without any configuration, else every configured key. */
export function toPublicSslConfig(config: SslConfig): Record<string, unknown> {
  const { enabled, protocols, cipherSuites, clientAuth, ...material } = config;
  const given = Object.entries(material).filter(([, value]) => value !== null);
  const defaults = defaultSslConfig();
  const isDefault = protocols.length === defaults.protocols.length && cipherSuites.length === 0 && clientAuth === 'none';
  if (!enabled && given.length === 0 && isDefault) return {};
  return { enabled, ...Object.fromEntries(given), protocols, cipherSuites, clientAuth };
}
