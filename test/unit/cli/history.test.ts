/** Differences between two revisions, folded from the rows between them. */

import { expect, test } from 'vitest';
import type { PublicEndpoint, PublicHistoryRow } from '../../../src/answers/endpoints.ts';
import { foldHistory } from '../../../src/cli/commands/history.ts';

const endpoint = (id: string, more: Record<string, unknown> = {}) =>
  ({ id, port: 1884, serverOptions: { soBacklog: 511, workerGroupSize: 1 }, wiretap: false, ...more }) as unknown as PublicEndpoint;

function row(
  revision: number,
  id: string,
  before: PublicEndpoint | null,
  after: PublicEndpoint | null,
  diff: PublicHistoryRow['diff'] = [],
): PublicHistoryRow {
  return {
    revision,
    id,
    before,
    after,
    diff,
    action: 'update',
    port: 1884,
    actor: 'a',
    source: 'http',
    node: 'n',
    at: '',
    requestId: '',
    reason: null,
  };
}

const a = endpoint('a');

test('what came and went again, or went back to what it was, is no difference', () => {
  expect(foldHistory([row(3, 'a', a, null), row(2, 'a', null, a)])).toEqual([]);
  const on = endpoint('a', { wiretap: true });
  const forth = [{ path: 'wiretap', from: false, to: true }];
  const back = [{ path: 'wiretap', from: true, to: false }];
  expect(foldHistory([row(3, 'a', on, a, back), row(2, 'a', a, on, forth)])).toEqual([]);
});

test('steps of one key are one change, options are shown one by one, endpoints in the order of their ports', () => {
  const later = endpoint('a', { serverOptions: { soBacklog: 64, workerGroupSize: 2 }, port: 1999 });
  const between = endpoint('a', { serverOptions: { soBacklog: 100, workerGroupSize: 2 } });
  const removed = endpoint('b', { port: 1800 });
  expect(foldHistory([row(4, 'a', between, later), row(3, 'b', removed, null), row(2, 'a', a, between)])).toEqual([
    { id: 'b', port: 1800, action: 'removed', changes: [] },
    {
      id: 'a',
      port: 1999,
      action: 'updated',
      changes: [
        { path: 'port', from: 1884, to: 1999 },
        { path: 'serverOptions.soBacklog', from: 511, to: 64 },
        { path: 'serverOptions.workerGroupSize', from: 1, to: 2 },
      ],
    },
  ]);
});

test('a secret that changed is shown, though its masks are equal', () => {
  const secret = { path: 'authConfig[0].users[u].password', from: '******', to: '******', secret: true as const };
  expect(foldHistory([row(2, 'a', a, a, [secret])])).toEqual([{ id: 'a', port: 1884, action: 'updated', changes: [secret] }]);
});
