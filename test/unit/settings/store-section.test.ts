/** The section `store`: databases as FluxMQ 2.1 and others write them, and everything that is wrong with one. */

import { describe, expect, test } from 'vitest';
import { Problems } from '../../../src/endpoint/problems.ts';
import { readStore } from '../../../src/settings/sections/store.ts';

function read(input: unknown) {
  const problems = new Problems();
  const warnings: string[] = [];
  const store = readStore(input, problems, warnings);
  return { store, warnings, problems: problems.issues.map((issue) => `${issue.path} ${issue.message}`) };
}

describe('readStore', () => {
  test('takes the database of a FluxMQ 2.1 file', () => {
    const url = 'jdbc:mysql://db:3306/fluxmq?useUnicode=true&characterEncoding=utf-8&useSSL=false&serverTimezone=GMT%2B8';
    const { store, warnings, problems } = read({
      storeType: 'MYSQL',
      datasource: { url, username: 'root', password: 'p', driver: 'com.mysql.cj.jdbc.Driver', maxPoolSize: 3 },
    });
    expect(problems).toEqual([]);
    expect(warnings).toEqual(['store.datasource.url: useUnicode, characterEncoding, serverTimezone: no effect here']);
    expect(store).toMatchObject({
      storeType: 'MYSQL',
      local: { dataPath: './data' },
      datasource: { kind: 'mysql', host: 'db', database: 'fluxmq', tls: 'off', username: 'root', password: 'p', maxPoolSize: 3 },
    });
  });

  test('prefers the account beside the URL to that in it', () => {
    const url = 'postgres://ann:one@h/d';
    expect(read({ storeType: 'POSTGRESQL', datasource: { url } }).store).toMatchObject({
      datasource: { username: 'ann', password: 'one', maxPoolSize: 10 },
    });
    const both = read({ storeType: 'POSTGRESQL', datasource: { url, username: 'bob', password: 'two' } });
    expect(both.store).toMatchObject({ datasource: { username: 'bob', password: 'two' } });
    const without = read({ storeType: 'POSTGRESQL', datasource: { url: 'postgres://h/d', username: 'bob' } });
    expect([without.problems, without.store]).toMatchObject([[], { datasource: { username: 'bob', password: '' } }]);
  });

  test('takes the schema of a FluxMQ 2.1 file', () => {
    const datasource = { url: 'jdbc:postgresql://h/d', username: 'u', schema: 'fluxmq' };
    expect(read({ storeType: 'POSTGRESQL', datasource }).store).toMatchObject({ datasource: { schema: 'fluxmq' } });
    expect(read({ storeType: 'MYSQL', datasource: { ...datasource, url: 'jdbc:mysql://h/d' } }).problems).toEqual([
      'store.datasource.schema is for POSTGRESQL only',
    ]);
  });

  test.each<[object, string[]]>([
    [{ storeType: 'MYSQL' }, ['store.datasource.url is needed with storeType MYSQL']],
    [{ storeType: 'POSTGRESQL', datasource: null }, ['store.datasource.url is needed with storeType POSTGRESQL']],
    [
      { storeType: 'POSTGRESQL', datasource: { url: 'jdbc:mysql://h/d', driver: 'com.mysql.cj.jdbc.Driver' } },
      [
        'store.datasource.driver com.mysql.cj.jdbc.Driver does not fit storeType POSTGRESQL',
        'store.datasource.url does not fit storeType POSTGRESQL',
        'store.datasource.username is needed, here or in the URL',
      ],
    ],
    [
      { storeType: 'MYSQL', datasource: { url: 'jdbc:mysql://a,b/d?sslMode=no', username: 'u', maxPoolSize: 0 } },
      ['store.datasource.maxPoolSize must be a whole number from 1 to 1000'],
    ],
    [
      { storeType: 'MYSQL', datasource: { url: 'jdbc:mysql://a,b/d?sslMode=no', username: 'u' } },
      [
        'store.datasource.url names several hosts: one is supported',
        'store.datasource.url sslMode=no is unknown: one of disable, disabled, preferred, required, trust, verify_ca, verify-ca, verify_identity, verify-full',
      ],
    ],
    [{ storeType: 'ORACLE', colour: 1 }, ['store.colour unknown key', 'store.storeType must be one of MYSQL, POSTGRESQL, LOCAL, MEMORY']],
  ])('refuses %j', (input, problems) => {
    expect(read(input).problems).toEqual(problems);
  });
});
