/** The effect of each key, and that a diff names what changed without a password. */

import { expect, test } from 'vitest';
import { diffEndpoints, hardestEffect } from '../../../src/endpoint/effects.ts';
import { mergeEndpoint, parseEndpoint } from '../../../src/endpoint/schema.ts';

const base = parseEndpoint({ port: 1883, authConfig: { users: [{ username: 'u', password: 'old-secret' }] } }).endpoint;

test.each([
  [{ newPort: 1 }, 'port', 'rebind'],
  [{ host: '::' }, 'host', 'rebind'],
  [{ useWebsocket: true }, 'useWebsocket', 'rebind'],
  [{ path: '/x' }, 'path', 'admission'],
  [{ enableAuth: false }, 'enableAuth', 'admission'],
  [{ enableAcl: false }, 'enableAcl', 'live'],
  [{ aclConfig: [] }, 'aclConfig', 'live'],
  [{ messageMaxSize: 2048 }, 'messageMaxSize', 'admission'],
  [{ maxConnectionSize: 1 }, 'maxConnectionSize', 'live'],
  [{ maxSendWindowSize: 1 }, 'maxSendWindowSize', 'admission'],
  [{ namespace: 'x' }, 'namespace', 'rebind'],
  [{ serverOptions: { workerGroupSize: 2 } }, 'serverOptions.workerGroupSize', 'rebind'],
  [{ childOptions: { soLinger: 0 } }, 'childOptions.soLinger', 'admission'],
  [{ wiretap: true }, 'wiretap', 'live'],
  [{ enabled: false }, 'enabled', 'rebind'],
  [{ isDefault: true }, 'isDefault', 'live'],
])('%j changes %s: %s', (patch, path, effect) => {
  const changes = diffEndpoints(base, mergeEndpoint(base, patch).endpoint);
  expect(changes.map((change) => [change.path, change.effect])).toEqual([[path, effect]]);
});

test('names the hardest of several effects', () => {
  expect(hardestEffect([])).toBe('none');
  expect(hardestEffect(diffEndpoints(base, base))).toBe('none');
  const { endpoint } = mergeEndpoint(base, { wiretap: true, path: '/x', namespace: 'n' });
  expect(hardestEffect(diffEndpoints(base, endpoint))).toBe('rebind');
});

test('shows that a password changed, but no password', () => {
  const { endpoint } = mergeEndpoint(base, { authConfig: { users: [{ username: 'u', password: 'new-secret' }] } });
  const changes = diffEndpoints(base, endpoint);
  expect(changes.map((change) => change.path)).toEqual(['authConfig']);
  expect(JSON.stringify(changes)).not.toContain('secret');
});
