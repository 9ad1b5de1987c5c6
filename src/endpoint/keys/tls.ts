/** Keys of `sslConfig` (docs/tls.md). */

import { key, unset } from './key.ts';
import { boolean, choice, listOf, type TextRule, text, textList } from './value.ts';

/** No path is longer; inline certificates may be. */
const TEXT_CHARACTERS_MAX = 512 * 1024;
const PATH_CHARACTERS_MAX = 4096;

const NOT_EMPTY: TextRule = { min: 1, rule: 'must not be empty' };
const hasControlCharacter = (value: string) => /\p{Cc}/u.test(value);
const isPath = (value: string) => value !== '' && value.length <= PATH_CHARACTERS_MAX && !hasControlCharacter(value);

const path = text(
  'path',
  NOT_EMPTY,
  { max: PATH_CHARACTERS_MAX, rule: 'is too long for a path' },
  { test: (value) => !hasControlCharacter(value), rule: 'must be a path: it holds control characters' },
);
const pathOrPem = text(
  'path or PEM text',
  NOT_EMPTY,
  { max: TEXT_CHARACTERS_MAX, rule: 'is too long' },
  { test: (value) => isPem(value) || isPath(value), rule: 'must be a path, or PEM text that begins with -----BEGIN' },
);
const password = text('text', { max: 1024, rule: 'is too long' });

/** True for PEM text, false for the path of a file. */
export function isPem(value: string): boolean {
  return value.includes('-----BEGIN ');
}

export const TLS_VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
export type TlsVersion = (typeof TLS_VERSIONS)[number];

const clientAuth = choice('none', 'optional', 'required');
const effect = 'handshake';

export const TLS_KEYS = {
  enabled: key({ value: boolean, default: false, effect: 'rebind', description: 'True as soon as a certificate is set' }),
  cert: unset({ value: pathOrPem, effect, description: 'Certificate, then its intermediate certificates', secret: 'private-key' }),
  key: unset({
    value: pathOrPem,
    effect,
    description: 'Private key; without it, the file of `cert` holds the key. PEM text is masked in answers',
    secret: 'private-key',
  }),
  ca: unset({ value: pathOrPem, effect, description: 'Authorities of client certificates' }),
  passphrase: unset({ value: password, effect, description: 'Passphrase of `key`; masked in answers', secret: 'always' }),
  keyStorePath: unset({ value: path, effect, description: 'PKCS#12 file, instead of `cert` and `key`' }),
  keyStorePassword: unset({ value: password, effect, description: 'Password of the key store; masked in answers', secret: 'always' }),
  trustStorePath: unset({ value: path, effect, description: 'PKCS#12 file, instead of `ca`' }),
  trustStorePassword: unset({ value: password, effect, description: 'Password of the trust store; masked in answers', secret: 'always' }),
  protocols: key({
    value: listOf('list', TLS_VERSIONS),
    default: [...TLS_VERSIONS],
    effect,
    description: 'Versions that are offered',
  }),
  cipherSuites: key({
    value: textList('list'),
    default: [],
    effect,
    description: "OpenSSL's or IANA's names; empty: the default suites",
  }),
  clientAuth: key({
    value: clientAuth,
    default: 'none',
    effect,
    description: 'Whether clients present a certificate',
  }),
  crl: unset({ value: pathOrPem, effect, description: 'Revocation lists, one of each authority' }),
};
