/** A failed bind: the kind, the words that users grep for, and the key that is to blame. */

import { expect, test } from 'vitest';
import { bindFailure, portInUse } from '../../../src/kernel/system/bind-failure.ts';

const failed = (code: string) => Object.assign(new Error(`listen ${code}`), { code });

test.each([
  ['EADDRINUSE', 'port-in-use', 'Port 1883 is already in use', 'port'],
  [
    'EADDRNOTAVAIL',
    'unprocessable',
    'Failed to bind to address 10.9.8.7:1883: the address does not belong to this machine (EADDRNOTAVAIL)',
    'host',
  ],
  ['EACCES', 'unprocessable', 'Failed to bind to address 10.9.8.7:1883: no permission for this port (EACCES)', 'port'],
  ['ENOBUFS', 'unprocessable', 'Failed to bind to address 10.9.8.7:1883: listen ENOBUFS (ENOBUFS)', 'host'],
])('%s is %s', (code, kind, message, path) => {
  const cause = failed(code);
  expect(bindFailure('10.9.8.7', 1883, cause)).toMatchObject({ kind, message, cause, issues: [{ path }] });
});

test('has a reason without a code, too', () => {
  const failure = bindFailure('::1', 1, 'no reason');
  expect(failure).toMatchObject({
    kind: 'unprocessable',
    message: 'Failed to bind to address ::1:1: no reason',
    issues: [{ path: 'host' }],
  });
});

test('names the process that has the port', () => {
  expect(portInUse(1883, 'mosquitto (pid 7)')).toMatchObject({
    kind: 'port-in-use',
    message: 'Port 1883 is already in use by mosquitto (pid 7)',
  });
});
