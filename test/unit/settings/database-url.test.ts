/** Database URLs as users of JDBC drivers and of psql write them. */

import { describe, expect, test } from 'vitest';
import { readDatabaseUrl } from '../../../src/kernel/input/database-url.ts';

describe('readDatabaseUrl', () => {
  const POSTGRES = {
    kind: 'postgres',
    host: 'localhost',
    port: 5432,
    database: 'fluxmq',
    username: null,
    password: null,
    tls: 'prefer',
    ca: null,
    schema: null,
  };
  const MYSQL = { ...POSTGRES, kind: 'mysql', port: 3306 };

  test.each<[string, object]>([
    ['jdbc:postgresql://localhost:5432/fluxmq', POSTGRES],
    ['jdbc:postgresql://localhost/fluxmq', POSTGRES],
    ['jdbc:postgresql:fluxmq', POSTGRES],
    ['jdbc:postgresql:/fluxmq', POSTGRES],
    ['jdbc:postgresql:///fluxmq', POSTGRES],
    ['postgres://localhost/fluxmq', POSTGRES],
    ['POSTGRES://db.example:6543/x%20y', { ...POSTGRES, host: 'db.example', port: 6543, database: 'x y' }],
    ['postgresql://us%40er:p%3Aw:d@[::1]:5/d', { ...POSTGRES, host: '::1', port: 5, database: 'd', username: 'us@er', password: 'p:w:d' }],
    ['postgres://ann@h/d', { ...POSTGRES, host: 'h', database: 'd', username: 'ann' }],
    [
      'jdbc:postgresql://h/d?user=u&password=p%26q%%&sslmode=verify-full&sslrootcert=/ca.pem&currentSchema=mq',
      { ...POSTGRES, host: 'h', database: 'd', username: 'u', password: 'p%26q%%', tls: 'verify-full', ca: '/ca.pem', schema: 'mq' },
    ],
    ['jdbc:postgresql://h/d?ssl=true', { ...POSTGRES, host: 'h', database: 'd', tls: 'verify-full' }],
    ['jdbc:postgresql://h/d?ssl', { ...POSTGRES, host: 'h', database: 'd', tls: 'verify-full' }],
    ['jdbc:postgresql://h/d?ssl=false', { ...POSTGRES, host: 'h', database: 'd', tls: 'off' }],
    ['jdbc:postgresql://h/d?sslmode=disable', { ...POSTGRES, host: 'h', database: 'd', tls: 'off' }],
    ['jdbc:mysql://localhost:3306/fluxmq', MYSQL],
    ['jdbc:mariadb://localhost/fluxmq', MYSQL],
    ['mysql://root:x@10.0.0.1/fluxmq', { ...MYSQL, host: '10.0.0.1', username: 'root', password: 'x' }],
    ['jdbc:mysql://h/fluxmq?useSSL=false', { ...MYSQL, host: 'h', tls: 'off' }],
    ['jdbc:mysql://h/fluxmq?useSSL=true', { ...MYSQL, host: 'h', tls: 'require' }],
    ['jdbc:mysql://h/fluxmq?useSSL=true&verifyServerCertificate=true', { ...MYSQL, host: 'h', tls: 'verify-ca' }],
    ['jdbc:mysql://h/fluxmq?sslMode=VERIFY_IDENTITY&useSSL=false', { ...MYSQL, host: 'h', tls: 'verify-full' }],
    ['jdbc:mariadb://h/fluxmq?sslMode=verify-full&serverSslCert=/c.pem', { ...MYSQL, host: 'h', tls: 'verify-full', ca: '/c.pem' }],
  ])('reads %s', (url, address) => {
    expect(readDatabaseUrl(url)).toEqual({ address, problems: [], warnings: [] });
  });

  test('warns of parameters that mean nothing here, all in one line', () => {
    const { address, warnings } = readDatabaseUrl('jdbc:mysql://h/d?useUnicode=true&useSSL=false&serverTimezone=UTC');
    expect(address?.tls).toBe('off');
    expect(warnings).toEqual(['useUnicode, serverTimezone: no effect here']);
  });

  test.each([
    ['', 'must be a database URL'],
    ['localhost:5432', 'must be a database URL'],
    ['jdbc:oracle:thin:@h:1521:x', 'must be a database URL'],
    ['jdbc:__proto__://h/d', 'must be a database URL'],
    ['jdbc:postgresql://h1:1,h2:2/d', 'several hosts'],
    ['jdbc:mysql://h1,h2/d', 'several hosts'],
    ['jdbc:mysql:loadbalance://h1/d', 'must be a database URL'],
    ['jdbc:postgresql://h:0/d', 'no port from 1 to 65535'],
    ['jdbc:postgresql://h:x/d', 'no port from 1 to 65535'],
    ['jdbc:mysql://h', 'names no database'],
    ['jdbc:mysql://h/?useSSL=false', 'names no database'],
    ['jdbc:postgresql://h/d?sslmode=maybe', 'sslmode=maybe is unknown'],
    ['jdbc:postgresql://h/d?sslcert=a.crt', 'sslcert is not supported'],
    ['jdbc:mysql://h/d?trustCertificateKeyStoreUrl=file:x.jks', 'trustCertificateKeyStoreUrl is not supported'],
  ])('refuses %s', (url, problem) => {
    expect(readDatabaseUrl(url)).toMatchObject({ address: null, problems: [expect.stringContaining(problem)] });
  });

  test('tells no password with a problem', () => {
    const { problems } = readDatabaseUrl('postgres://ann:geheim@h:99999/?sslmode=x&password=geheim');
    expect(problems).toHaveLength(3);
    expect(problems.join()).not.toContain('geheim');
  });
});
