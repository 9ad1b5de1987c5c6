/** What `sslConfig` names is read and tried: every good form is taken, every bad one refused with its key and a reason. */

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tlsOf } from '../../../../src/control/listening/driver.ts';
import { expiryWarnings, loadTls } from '../../../../src/control/tls/load-tls.ts';
import { defaultEndpoint, defaultSslConfig } from '../../../../src/endpoint/defaults.ts';
import type { SslConfig } from '../../../../src/endpoint/endpoint.ts';
import { FluxError } from '../../../../src/kernel/errors.ts';
import { Authority, certificateFolder, encryptKey, openssl, toPkcs12 } from '../../../kit/certificates.ts';

const folder = certificateFolder();
const root = Authority.root(folder);
const ca = root.intermediate();
const server = ca.issue('localhost');
const other = ca.issue('other', { kind: 'client' });
const text = (path: string) => readFileSync(path, 'utf8');
const file = (name: string, content: string | Buffer) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const PAIR = { cert: server.chain, key: server.key };
const CAS = file('cas.pem', text(root.cert) + text(ca.cert));
const MUTUAL = { ...PAIR, ca: CAS, clientAuth: 'required' } as const;
const load = (config: Partial<SslConfig>) => loadTls({ ...defaultSslConfig(), enabled: true, ...config });

async function problemsOf(config: Partial<SslConfig>): Promise<[string, string][]> {
  const error: unknown = await load(config).then(
    () => null,
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(FluxError);
  expect((error as FluxError).kind).toBe('unprocessable');
  return (error as FluxError).issues.map(({ path, message }) => [path.replace('sslConfig.', ''), message]);
}

describe('takes', () => {
  test('paths, PEM text, one file with both, an encrypted key, and tells what a client sees', async () => {
    const both = text(server.chain) + text(server.key);
    const forms = [
      PAIR,
      { cert: text(server.chain), key: text(server.key) },
      { cert: both },
      { cert: file('both.pem', both) },
      { cert: server.chain, key: encryptKey(server, 'hush'), passphrase: 'hush' },
      { keyStorePath: toPkcs12(server, 'hush'), keyStorePassword: 'hush' },
    ];
    for (const form of forms) {
      const { material, warnings } = await load(form);
      expect(warnings).toEqual([]);
      expect(material.certificate).toMatchObject({ subject: 'CN=localhost', issuer: 'CN=intermediate', crlNextUpdate: null });
      expect(openssl('x509', '-in', server.cert, '-noout', '-fingerprint', '-sha256')).toContain(material.certificate.fingerprint);
    }
  });

  test('DER where PEM is usual, PKCS#12 trust stores, and one revocation list of each authority', async () => {
    const der = join(folder, 'root.der');
    openssl('x509', '-in', root.cert, '-outform', 'DER', '-out', der);
    expect((await load({ ...MUTUAL, ca: der })).material.ca).toEqual((await load({ ...MUTUAL, ca: root.cert })).material.ca);
    const store = join(folder, 'trust.p12');
    openssl('pkcs12', '-export', '-nokeys', '-in', root.cert, '-certfile', ca.cert, '-out', store, '-passout', 'pass:hush');
    const trusted = await load({ ...PAIR, clientAuth: 'required', trustStorePath: store, trustStorePassword: 'hush' });
    expect(trusted.material.ca).toEqual((await load(MUTUAL)).material.ca);
    const { material } = await load({ ...MUTUAL, crl: root.crl() + ca.crl(2) });
    expect(material.crl).toHaveLength(2);
    const hours = (Date.parse(material.certificate.crlNextUpdate ?? '') - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(23);
    expect(hours).toBeLessThan(25);
  });
});

describe('refuses', () => {
  test.each<[string, Partial<SslConfig>, [string, RegExp][]]>([
    [
      'files that are not there, or no files',
      { cert: '/nowhere', key: '/dev/zero' },
      [
        ['cert', /ENOENT/],
        ['key', /not a file/],
      ],
    ],
    [
      'what does not parse',
      { cert: text(server.chain).replace(/M/g, 'A'), key: 'x.key' },
      [
        ['key', /ENOENT/],
        ['cert', /certificate 1 does not parse/],
        ['cert', /certificate 2 does not parse/],
      ],
    ],
    ['no certificate at all', { cert: server.key, key: server.key }, [['cert', /holds no certificate/]]],
    ['no key at all', { cert: server.chain }, [['key', /is needed/]]],
    [
      'the key of another certificate',
      { cert: server.chain, key: other.key },
      [['key', /does not belong to the certificate CN=localhost/]],
    ],
    ['a chain that begins with the authority', { cert: text(ca.cert) + text(server.cert), key: server.key }, [['key', /must come first/]]],
    ['a key without its passphrase', { cert: server.chain, key: encryptKey(server, 'hush') }, [['passphrase', /is needed/]]],
    ['a wrong passphrase', { cert: server.chain, key: encryptKey(server, 'hush'), passphrase: 'x' }, [['passphrase', /does not open/]]],
    [
      'a wrong key store password',
      { keyStorePath: toPkcs12(server, 'hush'), keyStorePassword: 'x' },
      [['keyStorePassword', /does not open/]],
    ],
    ['PEM as a key store', { keyStorePath: server.chain }, [['keyStorePath', /not PKCS#12: PEM belongs/]]],
    [
      'a Java key store',
      { keyStorePath: file('a.jks', Buffer.from('feedfeed00000002', 'hex')) },
      [['keyStorePath', /keytool -importkeystore -srckeystore \S+a\.jks -destkeystore \S+a\.p12 -deststoretype PKCS12$/]],
    ],
    ['an authority that is none', { ...MUTUAL, ca: server.key }, [['ca', /holds no certificate/]]],
    [
      'a list that is none',
      { ...MUTUAL, crl: '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----' },
      [['crl', /list 1 does not parse/]],
    ],
    ['an authority without a list', { ...MUTUAL, crl: ca.crl() }, [['crl', /no list of the authority CN=root/]]],
    [
      'suites that its key cannot be used with',
      { ...PAIR, cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'] },
      [['cipherSuites', /no shared cipher/]],
    ],
  ])('%s', async (_name, config, expected) => {
    const problems = await problemsOf(config);
    expect(problems.map(([path]) => path)).toEqual(expected.map(([path]) => path));
    for (const [index, [, pattern]] of expected.entries()) expect(problems[index]?.[1]).toMatch(pattern);
  });

  test('what is not in date: certificate, one of its chain, list', async () => {
    const old = ca.issue('old', { from: -10, to: -1 });
    expect((await problemsOf({ cert: old.chain, key: old.key }))[0]?.[1]).toMatch(/CN=old expired on/);
    const young = ca.issue('young', { from: 5, to: 10 });
    expect((await problemsOf({ cert: young.chain, key: young.key }))[0]?.[1]).toMatch(/CN=young is not valid before/);
    const gone = root.intermediate('gone', { from: -10, to: -1 });
    const orphan = gone.issue('orphan');
    expect((await problemsOf({ cert: orphan.chain, key: orphan.key }))[0]?.[1]).toMatch(/CN=gone expired on/);
    expect(await problemsOf({ ...MUTUAL, crl: root.crl() + ca.crl(-1) })).toEqual([
      ['crl', expect.stringMatching(/^list 2 expired on 20/)],
    ]);
  });

  test('a DER certificate, which comes without its chain, with the command that converts it', async () => {
    const der = join(folder, 'server.der');
    openssl('x509', '-in', server.cert, '-outform', 'DER', '-out', der);
    const remedy = `openssl x509 -inform DER -in ${der} -out ${join(folder, 'server.pem')}`;
    expect(await problemsOf({ cert: der, key: server.key })).toEqual([['cert', expect.stringContaining(remedy)]]);
  });

  test('old encryption and wrong passwords of stores, with the way out', async () => {
    const legacy = toPkcs12(other, 'hush', '-legacy');
    const [[path, message] = []] = await problemsOf({ keyStorePath: legacy, keyStorePassword: 'hush' });
    expect(path).toBe('keyStorePath');
    const advised = (text: string) => {
      const command = /: (openssl pkcs12 .+)$/.exec(text)?.[1] ?? text;
      // Without a terminal the password is read from the standard input.
      const env = { ...process.env, COMMAND: command };
      const { status, stderr } = spawnSync('sh', ['-c', 'exec setsid -w sh -c "$COMMAND"'], { input: 'hush\n', encoding: 'utf8', env });
      expect([status, stderr]).toEqual([0, expect.not.stringContaining('rror')]);
      return command.split(' -out ')[1]!;
    };
    expect((await load({ cert: advised(message!) })).material.certificate.subject).toBe('CN=other');
    const oldTrust = join(folder, 'old-trust.p12');
    openssl('pkcs12', '-export', '-nokeys', '-legacy', '-in', root.cert, '-out', oldTrust, '-passout', 'pass:hush');
    const mutual = { ...PAIR, clientAuth: 'required' } as const;
    const [[where, advice] = []] = await problemsOf({ ...mutual, trustStorePath: oldTrust, trustStorePassword: 'hush' });
    expect(where).toBe('trustStorePath');
    expect((await load({ ...mutual, ca: advised(advice!) })).material.ca).toEqual((await load({ ...mutual, ca: root.cert })).material.ca);
    const store = join(folder, 'locked.p12');
    openssl('pkcs12', '-export', '-nokeys', '-in', root.cert, '-out', store, '-passout', 'pass:hush');
    const trust = { ...PAIR, clientAuth: 'required', trustStorePath: store } as const;
    expect((await problemsOf({ ...trust, trustStorePassword: 'x' })).map(([at]) => at)).toEqual(['trustStorePassword']);
    // Cut anywhere, a store is refused and nothing worse.
    const whole = readFileSync(store);
    for (let size = 1; size < whole.length; size += 37) {
      const cut = { ...trust, trustStorePath: file('cut.p12', whole.subarray(0, size)), trustStorePassword: 'hush' };
      expect((await problemsOf(cut)).length).toBe(1);
    }
  });
});

test('warns 30 days ahead, of what has expired, of a chain out of order and of an authority that is gone', async () => {
  const soon = ca.issue('soon', { to: 29 });
  const { material, warnings } = await load({ cert: soon.chain, key: soon.key });
  expect(warnings).toEqual([expect.stringContaining('CN=soon expires in 28 days')]);
  expect(expiryWarnings(material, Date.now() + 30 * 86_400_000)).toEqual([expect.stringContaining('CN=soon has expired')]);
  expect(expiryWarnings((await load(PAIR)).material, Date.now())).toEqual([]);
  expect((await load({ cert: text(server.cert) + text(root.cert), key: server.key })).warnings).toEqual([
    'sslConfig.cert: CN=root follows CN=localhost but did not issue it',
  ]);
  const mutual = await load({ ...MUTUAL, crl: root.crl() + ca.crl() });
  expect(expiryWarnings(mutual.material, Date.now() + 2 * 86_400_000)).toEqual([
    expect.stringContaining('no client certificate is accepted'),
  ]);
  const gone = root.intermediate('gone2', { from: -10, to: -1 });
  expect((await load({ ...MUTUAL, ca: text(root.cert) + text(gone.cert) })).warnings).toEqual([
    expect.stringContaining('CN=gone2 expired'),
  ]);
});

describe('what runs', () => {
  test('still serves when its files have become useless, and says so in the answer to each change', async () => {
    const cert = file('rots.pem', text(server.chain));
    const endpoint = { ...defaultEndpoint(8883), sslConfig: { ...defaultSslConfig(), enabled: true, cert, key: server.key } };
    const { material, warnings } = await tlsOf(endpoint, null);
    expect(warnings).toEqual([]);
    const running = {
      endpoint,
      revision: 1,
      auth: [],
      acl: { order: 'first-match' as const, default: 'allow' as const, rules: [] },
      tls: material,
    };
    expect(await tlsOf(endpoint, running)).toEqual({ material, warnings: [] });
    rmSync(cert);
    const gone = await tlsOf(endpoint, running);
    expect(gone.material).toBe(material);
    expect(gone.warnings).toEqual([
      expect.stringMatching(/sslConfig\.cert cannot be read: .*rots\.pem.*: the endpoint keeps its present certificate/),
    ]);
    // One that does not belong to the key is as useless.
    writeFileSync(cert, text(ca.issue('localhost').chain));
    expect((await tlsOf(endpoint, running)).warnings).toHaveLength(1);
    writeFileSync(cert, text(server.chain));
    expect((await tlsOf(endpoint, running)).warnings).toEqual([]);
  });
});
