/** Errors of an import without a key, or without the old secrets; and the table of secrets behind them. */

import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseEndpoint } from '../../../src/endpoint/schema.ts';
import { unmask } from '../../../src/endpoint/secrets/unmask.ts';
import { Sealer } from '../../../src/storage/sealed/sealer.ts';
import { freePort } from '../../kit/free-port.ts';
import { context, startTestNode, type TestNode } from './kit.ts';

const sealed = new Sealer({ secretKey: 'ab'.repeat(32), secretKeysOld: [] }).seal('word');
const users = (password: string) => ({ authConfig: { users: [{ username: 'u', password }] } });

let node: TestNode;
beforeEach(async () => {
  node = await startTestNode();
});
afterEach(async () => {
  expect(await node.stop(5_000)).toBe(true);
});

test('names the key of sealed secrets that cannot be read, and takes none but from a file', async () => {
  const config = { port: await freePort(), host: '127.0.0.1', ...users(sealed) };
  await expect(node.control.changes.importAll({ configs: [config] }, context())).rejects.toMatchObject({
    kind: 'invalid',
    issues: [{ path: 'configs[0].authConfig.users[0].password', message: expect.stringContaining('is sealed with key') }],
  });
  await expect(node.control.changes.add(config, context())).rejects.toMatchObject({
    kind: 'invalid',
    issues: [{ path: 'authConfig[0].users[0].password', message: expect.stringContaining('only an import takes one') }],
  });
  expect(node.control.reads.revision()).toBe(0);
});

test('finds the old secret of a mask by the name of its user, and none beside another way of hashing', () => {
  const plain = [
    { username: 'a', password: 'word-a' },
    { username: 'b', password: 'word-b' },
  ];
  const old = parseEndpoint({ port: 1, authConfig: { users: plain } }).endpoint;
  const masked = (user: Record<string, unknown>) => ({ password: '******', ...user });
  const unmasked = unmask({ port: 1, authConfig: { users: [masked({ username: 'b' }), masked({ username: 'c' })] } }, old);
  expect(unmasked).toMatchObject({ authConfig: { users: [{ password: 'word-b' }, { password: '******' }] } });
  const listed = unmask({ authConfig: [{ authType: 'fixed', users: [masked({ username: 'a' })] }] }, old);
  expect(listed).toMatchObject({ authConfig: [{ users: [{ password: 'word-a' }] }] });
  const other = unmask({ authConfig: { users: [masked({ username: 'a', encrypt: 'sha256' })] } }, old);
  expect(other).toMatchObject({ authConfig: { users: [{ password: '******' }] } });
});
