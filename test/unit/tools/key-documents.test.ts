/** docs/endpoints.md and config.example.yaml say about each key of an endpoint what its table entry says. */

import { expect, test } from 'vitest';
import { keyDocuments } from '../../../scripts/key-documents.ts';

test.each(keyDocuments())('$path is up to date: npm run keys writes it', ({ text, wanted }) => {
  expect(text).toBe(wanted);
});

test('each key has a line of its own in both', () => {
  const [table, yaml] = keyDocuments().map(({ wanted }) => wanted);
  expect(table).toContain('| `serverOptions.workerGroupSize` | Threads on the port | 1..64 or `auto` | `1` | rebind, thread by thread |');
  expect(table).toContain('| `port` | Listening port, unique; moved by `newPort` | 1..65535 | | rebind |');
  expect(yaml).toMatch(/^ {4}host: 127\.0\.0\.1 +# Address to listen on; default: 0\.0\.0\.0$/m);
  expect(yaml).toMatch(/^ {4}authConfig: \{ users: \[\{ username: sensor, password: secret \}\] \} #/m);
});
