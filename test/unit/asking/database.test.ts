/** The `database` authenticator against real Postgres and MariaDB: columns, injection, rows and types, rights, servers away or stuck. */

import { pbkdf2Sync } from 'node:crypto';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import type { DatabaseAuthConfig } from '../../../src/endpoint/endpoint.ts';
import { parseAuthList } from '../../../src/endpoint/schema.ts';
import { openDatabaseAsker } from '../../../workers/task/asking/database/database-asker.ts';
import { GuardedAsker } from '../../../workers/task/asking/guarded.ts';
import { startMariadb } from '../../kit/databases/mariadb.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';

// Cheap: the store is the subject.
const hash = `$7$1$c2FsdA==$${pbkdf2Sync('word', 'salt', 1, 64, 'sha512').toString('base64')}`;
const names = ['ann', "o'neil", 'a\\', '漢字 ☃', "' OR '1'='1", '"; DROP TABLE users; --', '${username}', '?', '$1'];
const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;

const kinds = await Promise.all(
  [
    {
      name: 'Postgres',
      start: startPostgres,
      escape: (text: string) => `E${quoted(text)}`,
      sleep: "(SELECT 'x' FROM pg_sleep(10))",
      large: "repeat('x', 10485760)",
    },
    { name: 'MariaDB', start: startMariadb, escape: quoted, sleep: 'SLEEP(10)', large: "REPEAT('x', 10485760)" },
  ].map(async (kind) => {
    const server = await kind.start();
    const database = await server.createDatabase();
    const rows = names.map((name) => `(${kind.escape(name)}, '${hash}', 0, NULL, 1)`);
    const isPostgres = kind.name === 'Postgres';
    const text = isPostgres ? 'text' : 'longtext';
    await server.run(
      database,
      `${isPostgres ? '' : 'SET NAMES utf8mb4;'} CREATE TABLE users (username varchar(100), password ${text}, is_superuser int, acl ${text}, id int)${isPostgres ? '' : ' CHARACTER SET utf8mb4'};
       INSERT INTO users VALUES ${rows.join(', ')}, ('root', '${hash}', 1, '[{"permission":"deny","topic":"x"}]', 7), ('twice', '${hash}', 0, NULL, 2),
       ('twice', '${hash}', 0, NULL, 3), ('null', NULL, NULL, NULL, 4), ('types', '${hash}', 9, NULL, 5), ('clear', 'word', 0, NULL, 6);
       INSERT INTO users SELECT 'many', password, 0, NULL, 8 FROM users;
       INSERT INTO users SELECT 'large', ${kind.large}, 0, NULL, 9;`,
    );
    return { ...kind, server, database };
  }),
);
afterAll(() => Promise.all(kinds.map(({ server }) => server.stop())));

describe.each(kinds)('$name', ({ server, database, sleep }) => {
  const notices: string[] = [];
  const authSql = 'SELECT password, is_superuser, acl FROM users WHERE username = ${username} -- one';

  function opened(config: object = {}) {
    const datasource = { url: server.url(database), username: server.username, password: server.password };
    const [read] = parseAuthList([{ authType: 'database', timeout: 9_000, datasource, authSql, ...config }]) as DatabaseAuthConfig[];
    const notify = (_level: string, message: string, fields: object) => notices.push(JSON.stringify([message, fields]));
    const asker = new GuardedAsker(() => openDatabaseAsker(read!, notify), read!);
    onTestFinished(() => asker.close());
    const who = { clientId: 'c', ip: '::1', endpoint: 'e', namespace: 'n', certCommonName: null };
    return async (username: string | null, password = 'word') => {
      const answer = await asker.ask({ ...who, username, password: Buffer.from(password) });
      return answer.result === 'failed' ? answer.reason : answer.result === 'allow' ? answer : answer.result;
    };
  }

  test('rows decide, and a value is a value whatever it holds', async () => {
    const ask = opened();
    for (const name of names) expect([name, await ask(name)]).toEqual([name, { result: 'allow' }]);
    expect(await ask('ann', 'wrong')).toBe('deny');
    expect(await ask('root')).toMatchObject({ result: 'allow', rights: { isSuperuser: true, rules: [{ topic: 'x' }] } });
    for (const name of ['nobody', "' OR 1=1 --", "x' UNION SELECT password, 1, NULL FROM users LIMIT 1 -- ", 'null', '', null, 'a\0b'])
      expect([name, await ask(name)]).toEqual([name, 'ignore']);
    for (const name of ['twice', 'many', 'types', 'clear', 'large']) expect([name, await ask(name)]).toEqual([name, 'deny']);
    expect(await server.run(database, "SELECT COUNT(*) FROM users WHERE username = 'twice'")).toBe('2');
    expect(notices).toHaveLength(1);
    expect(notices[0]).toContain('several rows');
    const plain = opened({
      encrypt: 'plain',
      authSql: 'select PASSWORD, username from users where username = ${username} and ${clientid} = ${clientId};',
    });
    expect([await plain('clear'), await plain('clear', 'Word')]).toEqual([{ result: 'allow' }, 'deny']);
  });

  test('a value that fits no column is an unknown user; a wrong query, a writing one and a wrong login have their reasons', async () => {
    const byId = opened({ authSql: 'SELECT password FROM users WHERE id = ${username}' });
    expect([await byId('7'), await byId('seven')]).toEqual([{ result: 'allow' }, 'ignore']);
    expect(await opened({ authSql: 'SELECT acl FROM users WHERE username = ${username}' })('ann')).toBe(
      'the answer has no column password',
    );
    expect(await opened({ authSql: 'SELECT password FROM nothing WHERE username = ${username}' })('ann')).toMatch(
      /does not fit the tables/,
    );
    const datasource = { url: server.url(database), username: server.username };
    for (const password of ['', 'no-such-word']) {
      const reason = await opened({ datasource: { ...datasource, password } })('ann');
      expect(reason).toMatch(/refuses the login/);
      expect(reason).not.toContain('no-such-word');
    }
    expect(await opened({ datasource: { ...datasource, password: server.password, url: server.url('none') } })('ann')).toMatch(
      /does not exist/,
    );
  });

  test('a slow query ends at the deadline and holds up no other user; a stuck or dead server is used again when it is back', async () => {
    const slow = `SELECT password, ${sleep} FROM users WHERE username = \${username} AND username = 'root' UNION ALL SELECT password, NULL FROM users WHERE username = 'ann' AND username = \${username}`;
    const ask = opened({ timeout: 1_500, authSql: slow });
    const [late, early] = await Promise.all([ask('root'), ask('ann')]);
    expect([late, early]).toEqual([expect.stringMatching(/busy|no answer|does not answer/), { result: 'allow' }]);
    const steady = opened({ timeout: 1_500 });
    expect(await steady('ann')).toEqual({ result: 'allow' });
    server.pause();
    expect(await Promise.all([steady('ann'), steady('nobody')])).toEqual([expect.any(String), expect.any(String)]);
    server.resume();
    expect(await steady('ann')).toEqual({ result: 'allow' });
    await server.kill();
    expect(await steady('ann')).toMatch(/cannot be reached|broke/);
    await server.start();
    expect(await steady('ann')).toEqual({ result: 'allow' });
  }, 30_000);
});
