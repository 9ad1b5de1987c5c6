/** Postgres and MariaDB under faults: connections lost at a COMMIT, servers that restart, die or hang, and every mistake in an account. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { EndpointStore } from '../../src/storage/endpoint-store.ts';
import { type CommitFault, startCommitProxy } from '../kit/databases/commit-proxy.ts';
import type { DatabaseServer } from '../kit/databases/server.ts';
import { until } from '../kit/until.ts';
import { DATABASES, type Datasource, loginTo } from './databases.ts';
import { answered, kill, startCommitting, writeRivals } from './processes.ts';
import { META, put } from './store-changes.ts';

/** An operation ends within 2 s; the rest is for a machine that is busy with other tests. */
const ANSWER_MS = 3_500;

describe.each(DATABASES)('$storeType', (kind) => {
  let server: DatabaseServer;
  const opened: EndpointStore[] = [];
  beforeAll(async () => {
    server = await kind.start();
  });
  afterAll(async () => server.stop());
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });

  const open = async (database: string, more: Partial<Datasource> = {}) => {
    const store = await kind.open(loginTo(server, database, more));
    opened.push(store);
    return store;
  };
  /** The error with which opening fails; 'opened' when it succeeds. */
  const refusal = async (database: string, more: Partial<Datasource> = {}) => {
    const startedAt = Date.now();
    const error = await open(database, more).then(
      () => 'opened',
      (reason: Error & { kind: string; data: unknown }) => ({ kind: reason.kind, message: reason.message, data: reason.data }),
    );
    expect(Date.now() - startedAt).toBeLessThan(ANSWER_MS);
    return error;
  };
  const refused = (reason: string, ...words: string[]) => ({
    kind: 'unavailable',
    data: { reason, outcome: 'nothing-written' },
    message: expect.stringMatching(new RegExp(words.join('.*'))),
  });
  const timed = async <T>(work: Promise<T>) => {
    const startedAt = Date.now();
    const outcome = await work.catch((error: unknown) => error);
    expect(Date.now() - startedAt).toBeLessThan(ANSWER_MS);
    return outcome;
  };

  describe('a connection lost at a COMMIT', () => {
    const commitThrough = async (fault: CommitFault) => {
      const database = await server.createDatabase();
      const proxy = await startCommitProxy(server.port);
      const store = await open(database, { port: proxy.port });
      expect(await store.commit([put(1), put(2)], {}, META)).toBe(1);
      proxy.arm(fault);
      const outcome = await timed(store.commit([put(1, { wiretap: true }), put(3)], { 'mqtt-1': 1 }, META));
      expect(proxy.met).toBe(1);
      return { store, proxy, outcome };
    };
    const revisions = async (store: EndpointStore) => (await store.history({ limit: 100 })).map((row) => row.revision);

    test.each<CommitFault>(['cut-before', 'cut-after', 'mute'])('%s: the change is stored once, and answered', async (fault) => {
      const { store, proxy, outcome } = await commitThrough(fault);
      expect(outcome).toBe(2);
      expect(await revisions(store)).toEqual([2, 2, 1, 1]);
      expect((await store.load()).endpoints.map((stored) => stored.revision).sort()).toEqual([1, 2, 2]);
      expect(await store.commit([put(4)], {}, META)).toBe(3);
      await proxy.close();
    });

    test('swallow: knows that nothing was stored when the server has not seen the COMMIT', async () => {
      const { store, proxy, outcome } = await commitThrough('swallow');
      expect(outcome).toMatchObject({ kind: 'unavailable', data: { reason: 'lost', outcome: 'nothing-written' } });
      expect(await revisions(store)).toEqual([1, 1]);
      expect(await store.commit([put(4)], {}, META)).toBe(2);
      await proxy.close();
    });

    test('away-after: says that the outcome is not known', async () => {
      const { store, proxy, outcome } = await commitThrough('away-after');
      expect(outcome).toMatchObject({ kind: 'unavailable', data: { outcome: 'unknown' }, message: expect.stringContaining('not known') });
      proxy.comeBack();
      expect(await revisions(store)).toEqual([2, 2, 1, 1]);
      expect(await store.commit([put(4)], {}, META)).toBe(3);
      await proxy.close();
    });

    test('looks up the outcome of a confirmation too', async () => {
      const { store, proxy } = await commitThrough('cut-after');
      expect(await store.commit([put(5)], {}, META, { confirmUntil: 1 })).toBe(3);
      proxy.arm('cut-after');
      await store.confirm(3);
      expect(proxy.met).toBe(2);
      expect((await store.load()).pending).toEqual([]);
      await expect(store.confirm(3)).rejects.toMatchObject({ kind: 'not-found' });
      await proxy.close();
    });
  });

  test('continues after a restart of the server, although every connection broke', async () => {
    const store = await open(await server.createDatabase());
    await Promise.all([store.commit([put(1)], {}, META), store.load(), store.load(), store.history({ limit: 1 })]);
    await server.restart();
    expect(await store.commit([put(2)], {}, META)).toBe(2);
    await server.restart();
    expect(await Promise.all([store.load(), store.load(), store.load()])).toMatchObject(Array(3).fill({ revision: 2 }));
  });

  test('is unavailable at once while the server is away, and works when it is back', async () => {
    const database = await server.createDatabase();
    const store = await open(database);
    await store.commit([put(1)], {}, META);
    await server.kill();
    try {
      expect(await timed(store.commit([put(2)], {}, META))).toMatchObject(refused('away', 'cannot be reached', 'connection refused'));
      expect(await timed(store.load())).toMatchObject(refused('away', 'cannot be reached'));
      expect(await timed(store.history({ limit: 1 }))).toMatchObject(refused('away'));
      expect(await refusal(database)).toEqual(refused('away', String(server.port), 'cannot be reached', 'connection refused'));
    } finally {
      await server.start();
    }
    expect(await store.commit([put(2)], {}, META)).toBe(2);
  });

  test('does not wait for a server that hangs', async () => {
    const database = await server.createDatabase();
    const store = await open(database);
    await store.commit([put(1)], {}, META);
    server.pause();
    try {
      const work = [store.commit([put(2)], {}, META), store.load(), store.at(1), store.history({ limit: 1 }), store.confirm(1)];
      const kinds = work.map((one: Promise<unknown>) =>
        one.then(
          () => 'resolved',
          (error: { kind: string }) => error.kind,
        ),
      );
      expect(await timed(Promise.all(kinds))).toEqual(Array(5).fill('unavailable'));
      expect(await refusal(database)).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('no answer') });
    } finally {
      server.resume();
    }
    expect(await until('a commit', () => store.commit([put(2)], {}, META))).toBe(2);
    expect((await store.load()).revision).toBe(2);
  });

  test('keeps every answered commit, whole, through kill -9 of the writer and of the server', async () => {
    const datasource = loginTo(server, await server.createDatabase());
    let last = 0;
    for (let round = 0; round < 4; round += 1) {
      const child = startCommitting({ storeType: kind.storeType, datasource });
      await answered(child, last + 5 + round * 4);
      // In every second round the server dies during a write.
      if (round % 2 === 1) await server.kill();
      const told = await kill(child);
      if (round % 2 === 1) await server.start();
      const store = await open(datasource.database);
      const { revision, endpoints } = await store.load();
      expect(revision).toBeGreaterThanOrEqual(told);
      expect(revision).toBeLessThanOrEqual(told + 1);
      expect(endpoints.map((stored) => [stored.revision, stored.endpoint.maxConnectionSize])).toEqual(Array(3).fill([revision, revision]));
      const rows = await store.history({ limit: 1000 });
      expect(rows.map((row) => row.revision)).toEqual(Array.from({ length: revision * 3 }, (_, index) => revision - Math.floor(index / 3)));
      last = revision;
    }
  });

  test('numbers the commits of 50 writers in two processes without a gap or a repeat, and its history holds exactly those', async () => {
    const datasource = loginTo(server, await server.createDatabase());
    const order = { spec: { storeType: kind.storeType, datasource }, writers: 25, commits: 2, endpoints: 10 };
    const told = await Promise.all(['a', 'b'].map((name) => writeRivals({ ...order, name })));
    const commits = told.flatMap((one) => one.answered).toSorted((a, b) => b.revision - a.revision);
    expect(commits.map((one) => one.revision)).toEqual(Array.from({ length: 100 }, (_, index) => 100 - index));
    expect(told.every((one) => one.lost > 0)).toBe(true);
    const rows = await (await open(datasource.database)).history({ limit: 1000 });
    expect(rows.map(({ revision, id, reason }) => ({ revision, id, reason }))).toEqual(
      commits.map(({ revision, id, reason }) => ({ revision, id, reason })),
    );
    // Each commit replaced the revision that its writer had read, and no other commit of the endpoint came in between.
    for (const commit of commits) {
      const before = commits.find((other) => other.id === commit.id && other.revision < commit.revision);
      expect([commit.id, commit.expected]).toEqual([commit.id, before?.revision ?? 0]);
    }
  });

  test('makes its tables once, however many nodes start at the same time', async () => {
    const database = await server.createDatabase();
    const stores = await Promise.all(Array.from({ length: 6 }, () => open(database)));
    expect(await Promise.all(stores.map((store, index) => store.commit([put(index + 1)], {}, META)))).toHaveLength(6);
    expect((await stores[0]!.load()).revision).toBe(6);
    expect(await server.run(database, 'SELECT version FROM fluxmq_schema')).toBe('5');
  });

  test('refuses tables of a newer version and leaves them alone', async () => {
    const database = await server.createDatabase();
    await (await open(database)).commit([put(1)], {}, META);
    await server.run(database, 'UPDATE fluxmq_schema SET version = 6');
    expect(await refusal(database)).toEqual(refused('schema', 'newer fluxmq', 'schema 6; this version knows 5'));
    expect(await server.run(database, 'SELECT version FROM fluxmq_schema')).toBe('6');
  });

  test('migrates tables of the first version with their content, also after an interruption', async () => {
    const database = await server.createDatabase();
    const first = await open(database);
    await first.commit([put(1)], {}, META);
    await first.commit([put(2, { id: 'mqtt-1' })], {}, { ...META, actor: 'bob' });
    const rows = await first.history({ limit: 10 });
    const names = ['actor', 'port', 'old_port', 'at'].map((name) => `fluxmq_history_${name}`);
    const drops = names.map((name) => (kind.storeType === 'POSTGRESQL' ? `DROP INDEX ${name}` : `DROP INDEX ${name} ON fluxmq_history`));
    for (const name of ['state', 'commit']) drops.push(`DROP TABLE fluxmq_document_${name}`);
    for (const sql of [...drops, 'DROP TABLE fluxmq_document']) await server.run(database, sql);
    const indexes =
      kind.storeType === 'POSTGRESQL'
        ? "SELECT indexname FROM pg_indexes WHERE tablename = 'fluxmq_history'"
        : `SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = '${database}' AND table_name = 'fluxmq_history'`;
    // In MySQL the second store finds the indexes but not the version, as after a process that died between the two.
    for (const isThere of kind.storeType === 'POSTGRESQL' ? [false] : [false, true]) {
      await server.run(database, 'UPDATE fluxmq_schema SET version = 1');
      expect((await server.run(database, indexes)).includes('fluxmq_history_actor')).toBe(isThere);
      const store = await open(database);
      expect(await store.history({ limit: 10 })).toEqual(rows);
      expect(await store.history({ limit: 10, actor: 'bob', port: 1 })).toEqual([rows[0]]);
      expect(await store.history({ limit: 10, since: rows[0]!.at })).toContainEqual(rows[0]);
      expect(await server.run(database, 'SELECT version FROM fluxmq_schema')).toBe('5');
      for (const name of names) expect(await server.run(database, indexes)).toContain(name);
    }
  });

  test('says what is wrong with the address, the account and the database', async () => {
    const database = await server.createDatabase();
    expect(await refusal(database, { password: 'wrong' })).toEqual(refused('login', 'refuses the login of', server.username));
    expect(await refusal(database, { username: 'nobody_here' })).toEqual(refused('login', 'refuses the login of nobody_here'));
    expect(await refusal('not_there')).toEqual(refused('database', 'not_there', 'store.datasource.url'));
    expect(await refusal(database, { host: 'no-such-host.invalid' })).toEqual(
      refused('away', 'no-such-host.invalid', 'host name is unknown'),
    );
    expect(await refusal(database, { port: 1 })).toEqual(refused('away', '127.0.0.1:1 cannot be reached', 'connection refused'));
    expect(await refusal(database, { tls: 'require' })).toEqual(refused('tls', 'does not speak TLS'));
    expect(await refusal(database, { tls: 'verify-ca', ca: '/not/there.pem' })).toEqual(refused('tls', '/not/there.pem cannot be read'));
  });

  test('says that the account has no schema to make its tables in', async () => {
    // In MySQL a schema is a database.
    if (kind.storeType !== 'POSTGRESQL') return;
    const database = await server.createDatabase();
    expect(await refusal(database, { schema: 'nowhere' })).toEqual(
      refused('database', `account ${server.username} has no schema nowhere in database ${database}`, 'store.datasource.schema'),
    );
    await server.run(database, "REVOKE ALL ON SCHEMA public FROM public; CREATE ROLE outsider LOGIN PASSWORD 'secret'");
    expect(await refusal(database, { username: 'outsider' })).toEqual(
      refused('database', 'outsider has no schema of its search path', 'grant USAGE and CREATE'),
    );
  });

  test('says which rights an account lacks, before the first change', async () => {
    const database = await server.createDatabase();
    const account = (username: string) => (kind.storeType === 'MYSQL' ? `'${username}'@'%'` : username);
    const make = (username: string) =>
      server.run('', `CREATE USER ${account(username)} ${kind.storeType === 'MYSQL' ? 'IDENTIFIED BY' : 'PASSWORD'} 'pw'`);
    const grant = (right: string, on: string, username: string) => server.run(database, `GRANT ${right} ON ${on} TO ${account(username)}`);
    const [stranger, reader, writer] = ['stranger', 'reader', 'writer'].map((name) => `${name}_${database}`) as [string, string, string];
    for (const name of [stranger, reader, writer]) await make(name);
    const tables = kind.storeType === 'MYSQL' ? `${database}.*` : 'ALL TABLES IN SCHEMA public';
    if (kind.storeType === 'MYSQL') await grant('SELECT', tables, reader);
    const login = (username: string) => ({ username, password: 'pw' });
    expect(await refusal(database, login(kind.storeType === 'MYSQL' ? reader : stranger))).toEqual(
      refused('rights', 'lacks rights', `in database ${database}`),
    );
    await open(database);
    await grant('SELECT', tables, reader);
    expect(await refusal(database, login(reader))).toEqual(refused('rights', reader, 'lacks rights', 'fluxmq_'));
    expect(await refusal(database, login(stranger))).toEqual(refused('rights', stranger, 'lacks rights', database));
    // Once the tables exist, an account needs only these rights.
    for (const right of ['SELECT', 'INSERT', 'UPDATE', 'DELETE']) await grant(right, tables, writer);
    const store = await open(database, login(writer));
    expect(await store.commit([put(1)], {}, META, { confirmUntil: 1 })).toBe(1);
    await store.confirm(1);
  });
});
