/** The `redis` authenticator against a real Redis: records, injection, wrong types, TLS, cluster, sentinel, and servers that are away or stuck. */

import { spawn } from 'node:child_process';
import { createHash, pbkdf2Sync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import type { RedisAuthConfig } from '../../../src/endpoint/endpoint.ts';
import { parseAuthList } from '../../../src/endpoint/schema.ts';
import type { AskNotice } from '../../../src/thread/access/ask.ts';
import { GuardedAsker } from '../../../workers/task/asking/guarded.ts';
import { openRedisAsker } from '../../../workers/task/asking/redis/redis-asker.ts';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import { REDIS_PASSWORD, startRedis } from '../../kit/databases/redis.ts';
import { freePort } from '../../kit/free-port.ts';
import { until } from '../../kit/until.ts';

const folder = certificateFolder();
const root = Authority.root(folder);
const { cert, key } = root.issue('server');
const redis = await startRedis(['--requirepass', REDIS_PASSWORD, '--cluster-enabled', 'yes'], { cert, key, ca: root.cert });
afterAll(() => redis.stop());
await redis.run('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
await until('the cluster', async () => String(await redis.run('CLUSTER', 'INFO')).includes('cluster_state:ok'));
await redis.run('ACL', 'SETUSER', 'reader', 'on', '>reader-word', '~mqtt:*', '+hmget', '+hgetall', '+get', '+ping');

// Cheap: the store is the subject.
const hash = `$7$1$c2FsdA==$${pbkdf2Sync('word', 'salt', 1, 64, 'sha512').toString('base64')}`;
for (const [name, ...fields] of [
  ['ann', 'password', hash],
  ['root', 'password', hash, 'is_superuser', 'true', 'acl', '[{"permission":"deny","topic":"x"}]'],
  ['empty', 'salt', 'x'],
  ['plain', 'password', 'word'],
  ['costly', 'password', '$2b$31$6K5eIVEpsti0niffxGUVH.Bq8SFb.A1rhVbQTLyO47OvQVGMfMRu6'],
  ['types', 'password', hash, 'is_superuser', 'perhaps'],
  ['rules', 'password', hash, 'acl', '{"pub":7}'],
  ['large', 'password', 'x'.repeat(10 * 1024 * 1024)],
  ['a b', 'password', hash],
  ['a\r\nSET x y', 'password', hash],
])
  await redis.run('HSET', `mqtt:${name}`, ...fields);
await redis.run('SET', 'mqtt:text', hash);

const base = { command: 'HMGET mqtt:${username} password salt is_superuser acl' };
const servers = (more: object = {}) => ({ port: redis.port, host: '127.0.0.1', password: REDIS_PASSWORD, ...more });

const notices: string[] = [];
function opened(config: object) {
  const [read] = parseAuthList([{ authType: 'redis', timeout: 9_000, ...base, redis: servers(), ...config }]) as RedisAuthConfig[];
  const notify = (_level: AskNotice['level'], message: string, fields: AskNotice['fields']) =>
    notices.push(JSON.stringify([message, fields]));
  const asker = new GuardedAsker(() => openRedisAsker(read!, notify), read!);
  onTestFinished(() => asker.close());
  const who = { clientId: 'c', ip: '::1', endpoint: 'e', namespace: 'n', certCommonName: null };
  return async (username: string | null, password: string | Buffer = 'word') => {
    const answer = await asker.ask({ ...who, username, password: Buffer.from(password) });
    return answer.result === 'failed' ? answer.reason : answer.result === 'allow' ? answer : answer.result;
  };
}

test('records decide; a name is one value wherever it stands; unusable records deny their user and nobody else', async () => {
  const ask = opened({});
  expect(await ask('ann')).toEqual({ result: 'allow' });
  expect(await ask('ann', 'wrong')).toBe('deny');
  expect(await ask('root')).toEqual({
    result: 'allow',
    rights: { isSuperuser: true, rules: [{ permission: 'deny', action: 'pubsub', subject: { type: 'all', value: '*' }, topic: 'x' }] },
  });
  for (const name of ['a b', 'a\r\nSET x y']) expect(await ask(name)).toEqual({ result: 'allow' });
  expect(await redis.run('EXISTS', 'x')).toBe(0);
  for (const name of ['', 'nobody', 'ann password', 'ann\r\n', 'empty', 'text', null, '*', 'ann" "x'])
    expect([name, await ask(name)]).toEqual([name, 'ignore']);
  for (let time = 0; time < 2; time++)
    for (const name of ['plain', 'costly', 'types', 'rules']) expect([name, await ask(name)]).toEqual([name, 'deny']);
  expect(await ask('large')).toBe('deny');
  expect(await ask('ann')).toEqual({ result: 'allow' });
  // One line in ten seconds, without any value.
  expect(notices).toHaveLength(1);
  expect(notices[0]).toContain('no known form');
  expect(notices.join()).not.toMatch(/mqtt:|"word|bcrypt hash/);
});

test('the other commands, forms and values', async () => {
  expect(await opened({ command: 'hgetall mqtt:${username}' })('root')).toMatchObject({ rights: { isSuperuser: true } });
  const grouped = opened({ command: 'HMGET mqtt:${username} password groups' });
  for (const [text, groups] of [
    ['staff, night', ['staff', 'night']],
    ['["staff"]', ['staff']],
    ['', undefined],
  ] as const) {
    await redis.run('HSET', 'mqtt:ann', 'groups', text);
    expect([text, await grouped('ann')]).toEqual([
      text,
      { result: 'allow', ...(groups === undefined ? {} : { rights: { isSuperuser: false, rules: [], groups } }) },
    ]);
  }
  await redis.run('HSET', 'mqtt:ann', 'groups', '[1]');
  expect(await grouped('ann')).toBe('deny');
  await redis.run('HDEL', 'mqtt:ann', 'groups');
  expect(await opened({ command: 'HGET mqtt:${username} password' })('ann')).toEqual({ result: 'allow' });
  expect(await opened({ command: 'GET mqtt:${username}' })('text')).toEqual({ result: 'allow' });
  const plain = opened({ encrypt: 'plain' });
  expect([await plain('plain'), await plain('plain', 'Word')]).toEqual([{ result: 'allow' }, 'deny']);
  expect(await opened({ command: 'HGET mqtt:${password} password' })('x', Buffer.from([0xff]))).toBe('ignore');
  await redis.run('HSET', 'mqtt:md5', 'password', createHash('md5').update('words').digest('hex'), 'salt', 's');
  expect(await opened({ encrypt: 'md5', saltMode: 'suffix' })('md5')).toEqual({ result: 'allow' });
  expect(await opened({ encrypt: 'md5' })('md5')).toBe('deny');
});

test('TLS, users of Redis, a cluster', async () => {
  const tls = { host: '127.0.0.1', port: redis.tlsPort, tls: true };
  expect(await opened({ redis: servers({ ...tls, ca: root.cert }) })('ann')).toEqual({ result: 'allow' });
  expect(await opened({ redis: servers(tls) })('ann')).toMatch(/certificate/);
  expect(await opened({ redis: servers({ username: 'reader', password: 'reader-word' }) })('ann')).toEqual({ result: 'allow' });
  const login = { username: 'reader', password: 'reader-word' };
  expect(await opened({ command: 'HGET mqtt:${username} password', redis: servers(login) })('ann')).toBe('Redis answers NOPERM');
  for (const wrong of [{ password: 'no' }, { username: 'nobody' }])
    expect(await opened({ redis: servers(wrong) })('ann')).toBe('Redis answers WRONGPASS');
  expect(await opened({ redis: servers({ password: '' }) })('ann')).toBe('Redis answers NOAUTH');
  const { host, port, ...rest } = servers();
  const cluster = opened({ redis: { ...rest, mode: 'cluster', servers: [`127.0.0.1:1`, `${host}:${port}`] } });
  expect([await cluster('ann'), await cluster('nobody'), await cluster('text')]).toEqual([{ result: 'allow' }, 'ignore', 'ignore']);
});

test('a stuck server fails within the deadline, and is used again when it answers', async () => {
  const ask = opened({ timeout: 1_500 });
  expect(await ask('ann')).toEqual({ result: 'allow' });
  redis.pause();
  try {
    for (const answer of await Promise.all(['ann', 'root', 'nobody'].map((name) => ask(name))))
      expect(answer).toMatch(/no answer within 1500 ms|was closed/);
  } finally {
    redis.resume();
  }
  expect(await ask('ann')).toEqual({ result: 'allow' });
});

test('sentinels name the master; a dead server is found again; one that talks nonsense lets nobody in', async () => {
  const data = await startRedis();
  const port = await freePort();
  const file = join(folder, 'sentinel.conf');
  writeFileSync(file, `port ${port}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor mymaster 127.0.0.1 ${data.port} 1\n`);
  const sentinel = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
  const fill = () => data.run('HSET', 'mqtt:ann', 'password', hash);
  try {
    await fill();
    const single = opened({ redis: { host: '127.0.0.1', port: data.port } });
    const bySentinel = opened({ redis: { mode: 'sentinel', servers: [`127.0.0.1:${port}`], master: 'mymaster' } });
    await until('the sentinel', async () => typeof (await bySentinel('ann')) === 'object', 10_000, 300);
    expect(await bySentinel('ann', 'x')).toBe('deny');
    expect(await single('ann')).toEqual({ result: 'allow' });
    await data.kill();
    for (let time = 0; time < 5; time++) expect(await single('ann')).toMatch(/ECONNREFUSED|closed/i);
    expect(await single('ann')).toBe('paused');
    await data.start();
    await fill();
    await until('the login', async () => typeof (await single('ann')) === 'object', 5_000, 100);
  } finally {
    sentinel.kill('SIGKILL');
    await data.stop();
  }
  for (const text of ['HTTP/1.1 400 Bad Request\r\n\r\n', '*-7\r\n', '$999999999999\r\nx', '']) {
    const server = createServer((socket) =>
      socket.on('error', () => {}).on('data', () => (text === '' ? socket.end() : socket.write(text))),
    );
    const strange = await freePort();
    await new Promise<void>((resolve) => server.listen(strange, '127.0.0.1', resolve));
    const begunAt = performance.now();
    expect(await opened({ timeout: 400, redis: { host: '127.0.0.1', port: strange } })('ann')).toBeTypeOf('string');
    expect(performance.now() - begunAt).toBeLessThan(2_000);
    server.close();
  }
}, 30_000);
