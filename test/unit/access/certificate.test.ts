/** Names of client certificates that openssl has made: alternative names, quotes and commas, several common names. */

import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { commonNameOf } from '../../../src/kernel/logins/certificate-names.ts';
import { certifiedName } from '../../../workers/endpoint/access/certificate.ts';
import { certificateFolder, openssl } from '../../kit/certificates.ts';

const folder = certificateFolder();
function certificate(subject: string, names?: string, ...more: string[]): { read: X509Certificate; path: string } {
  const path = join(folder, 'cert.pem');
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    join(folder, 'key.pem'),
    '-out',
    path,
    '-days',
    '1',
    '-utf8',
    '-subj',
    subject,
    ...(names === undefined ? [] : ['-addext', `subjectAltName=${names}`]),
    ...more,
  );
  return { read: new X509Certificate(readFileSync(path)), path };
}

test('common name and subject', () => {
  const { read, path } = certificate('/C=DE/O=Müller, Söhne/CN=device-1');
  expect([commonNameOf(read), certifiedName(read, 'commonName')]).toEqual(['device-1', 'device-1']);
  const rfc2253 = openssl('x509', '-in', path, '-noout', '-subject', '-nameopt', 'RFC2253,utf8,-esc_msb')
    .trim()
    .replace(/^subject=/, '');
  expect(certifiedName(read, 'subject')).toBe(rfc2253);
  expect([certifiedName(read, 'dns'), certifiedName(read, 'email'), commonNameOf(null)]).toEqual([null, null, null]);
  expect(commonNameOf(certificate('/O=nobody').read)).toBeNull();
  // Which of two names is meant nobody can tell.
  expect(commonNameOf(certificate('/CN=admin/CN=device').read)).toBeNull();
});

test('alternative names, the first of a kind, and none that another one hides', () => {
  const { read } = certificate('/CN=x', 'DNS:one.example,DNS:two.example,email:ann@example.com,URI:urn:dev:1,IP:192.0.2.1');
  expect((['dns', 'email', 'uri'] as const).map((use) => certifiedName(read, use))).toEqual([
    'one.example',
    'ann@example.com',
    'urn:dev:1',
  ]);
  // A comma inside of a name: openssl takes it from a section only.
  const config = join(folder, 'forged.cnf');
  writeFileSync(
    config,
    '[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\nsubjectAltName=@alt\n[alt]\nURI.1="http://a/, DNS:admin.example"\n',
  );
  const forged = certificate('/CN=x', undefined, '-config', config).read;
  expect([certifiedName(forged, 'dns'), certifiedName(forged, 'uri')]).toEqual([null, 'http://a/, DNS:admin.example']);
});
