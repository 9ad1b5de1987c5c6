/** `sslConfig` in every spelling, what goes together and what does not, its effects, and that no key of it is shown. */

import { describe, expect, test } from 'vitest';
import { diffEndpoints } from '../../../src/endpoint/effects.ts';
import type { SslConfig } from '../../../src/endpoint/endpoint.ts';
import { mergeEndpoint, parseEndpoint, toPublicEndpoint } from '../../../src/endpoint/schema.ts';
import { FluxError } from '../../../src/kernel/errors.ts';

const KEY = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n';
const PAIR = { cert: 'server.pem', key: 'server.key' };
const read = (sslConfig: unknown) => parseEndpoint({ port: 1, sslConfig });
const of = (sslConfig: unknown): SslConfig => read(sslConfig).endpoint.sslConfig;

/** path → message of everything that is wrong */
function problemsOf(work: () => unknown): Record<string, string> {
  try {
    work();
  } catch (error) {
    if (error instanceof FluxError) return Object.fromEntries(error.issues.map(({ path, message }) => [path, message]));
    throw error;
  }
  return {};
}

describe('enabled', () => {
  test.each([
    [{}, false],
    [PAIR, true],
    [{ keyStorePath: 'a.p12' }, true],
    [{ ...PAIR, enabled: false }, false],
    [{ ...PAIR, enabled: null }, true],
    [{ enabled: false }, false],
  ])('%j: %s', (sslConfig, enabled) => {
    expect(of(sslConfig).enabled).toBe(enabled);
  });

  test('follows the certificate in updates, unless it is named', () => {
    const plain = read({}).endpoint;
    const on = mergeEndpoint(plain, { sslConfig: PAIR }).endpoint;
    expect(on.sslConfig).toMatchObject({ enabled: true, ...PAIR });
    const off = mergeEndpoint(on, { sslConfig: { enabled: false } }).endpoint;
    expect(off.sslConfig).toMatchObject({ enabled: false, ...PAIR });
    expect(mergeEndpoint(off, { sslConfig: { cert: 'new.pem' } }).endpoint.sslConfig).toMatchObject({ enabled: false, cert: 'new.pem' });
    expect(mergeEndpoint(on, { sslConfig: { cert: null, key: null } }).endpoint.sslConfig.enabled).toBe(false);
    expect(mergeEndpoint(on, { sslConfig: null }).endpoint).toEqual(plain);
  });
});

test('knows other names, lists as text, and the names of IANA', () => {
  expect(of({ enable: true, crt: 'a', keyFile: 'b', caFile: 'c', keyPassword: 'd', crlFile: 'e', clientAuth: 'required' })).toMatchObject({
    enabled: true,
    cert: 'a',
    key: 'b',
    ca: 'c',
    passphrase: 'd',
    crl: 'e',
  });
  expect(of({ ...PAIR, protocols: 'TLS1.3, tlsv1_2' }).protocols).toEqual(['TLSv1.2', 'TLSv1.3']);
  const names = {
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384: 'ECDHE-RSA-AES256-SHA384',
    TLS_RSA_WITH_AES_128_GCM_SHA256: 'AES128-GCM-SHA256',
    TLS_AES_128_GCM_SHA256: 'TLS_AES_128_GCM_SHA256',
    'ecdhe-rsa-aes256-gcm-sha384': 'ECDHE-RSA-AES256-GCM-SHA384',
  };
  expect(of({ ...PAIR, ciphers: Object.keys(names).join(':') }).cipherSuites).toEqual(Object.values(names));
});

test.each<[unknown, Record<string, unknown>]>([
  ['tls', { sslConfig: 'must be an object' }],
  [
    { ...PAIR, colour: 1, cert: '', protocols: ['SSLv3'], clientAuth: 'maybe', enabled: 'yes' },
    {
      'sslConfig.colour': 'unknown key',
      'sslConfig.cert': expect.stringContaining('must be a path, or PEM'),
      'sslConfig.protocols': expect.stringContaining('SSLv3'),
      'sslConfig.clientAuth': expect.stringContaining('none, optional, required'),
      'sslConfig.enabled': 'must be true or false',
    },
  ],
  [{ enabled: true }, { 'sslConfig.enabled': 'needs cert and key, or keyStorePath' }],
  [{ key: 'a' }, { 'sslConfig.key': 'is of no use without cert' }],
  [{ ...PAIR, keyStorePath: 'b' }, { 'sslConfig.keyStorePath': expect.stringContaining('beside cert') }],
  [{ ...PAIR, ca: 'a', trustStorePath: 'b' }, { 'sslConfig.trustStorePath': expect.stringContaining('beside ca') }],
  [{ ...PAIR, clientAuth: 'required' }, { 'sslConfig.clientAuth': expect.stringContaining('ca or trustStorePath') }],
  [{ ...PAIR, crt: 'x' }, { 'sslConfig.crt': expect.stringContaining('another name of cert') }],
  [{ ...PAIR, cipherSuites: ['NONSENSE', 'PSK-AES128-CBC-SHA'] }, { 'sslConfig.cipherSuites': expect.stringContaining('PSK') }],
  [{ ...PAIR, protocols: ['TLSv1.3'], cipherSuites: ['AES128-GCM-SHA256'] }, { 'sslConfig.cipherSuites': 'holds no suite of TLSv1.3' }],
  [{ ...PAIR, protocols: [] }, { 'sslConfig.protocols': 'must not be empty' }],
  [{ ...PAIR, passphrase: '******' }, { 'sslConfig.passphrase': expect.stringContaining('only a mask') }],
  [{ cert: 'a\nb', key: 'k' }, { 'sslConfig.cert': expect.stringContaining('a path, or PEM') }],
])('refuses %j', (sslConfig, problems) => {
  expect(problemsOf(() => read(sslConfig))).toEqual(problems);
});

test('warns of what has no effect', () => {
  const { warnings } = read({ ...PAIR, crl: 'c', trustStorePassword: 't', keyStorePassword: 'k', cipherSuites: ['AES128-GCM-SHA256'] });
  expect(warnings).toEqual([
    'sslConfig.crl has no effect without clientAuth',
    'sslConfig.keyStorePassword has no effect without keyStorePath',
    'sslConfig.trustStorePassword has no effect without trustStorePath',
    'TLSv1.3 is not offered: none of sslConfig.cipherSuites is one of its suites',
  ]);
});

test('each key is a handshake, the switch a rebind; secrets show as masks, and an answer may be sent back', () => {
  const before = read({ ...PAIR, passphrase: 'hush', ca: 'ca.pem' }).endpoint;
  const { endpoint: after } = mergeEndpoint(before, {
    sslConfig: { cert: KEY, key: KEY, passphrase: 'quiet', clientAuth: 'optional', protocols: ['TLSv1.3'], crl: 'x', enabled: false },
  });
  const changes = diffEndpoints(before, after);
  expect(Object.fromEntries(changes.map(({ path, effect }) => [path, effect]))).toEqual({
    'sslConfig.enabled': 'rebind',
    'sslConfig.cert': 'handshake',
    'sslConfig.key': 'handshake',
    'sslConfig.passphrase': 'handshake',
    'sslConfig.clientAuth': 'handshake',
    'sslConfig.protocols': 'handshake',
    'sslConfig.crl': 'handshake',
  });
  const shown = toPublicEndpoint(after);
  expect(JSON.stringify([changes, shown])).not.toMatch(/PRIVATE|hush|quiet/);
  expect(shown['sslConfig']).toMatchObject({ cert: '******', key: '******', passphrase: '******', ca: 'ca.pem' });
  expect(mergeEndpoint(after, shown).endpoint).toEqual(after);
  // The path of a key is no secret.
  expect(toPublicEndpoint(before)['sslConfig']).toMatchObject(PAIR);
});
