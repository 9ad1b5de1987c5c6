/** Bytes leave for a client after what was routed to peers before: an acknowledged message survives a crash of its publisher's thread. */

import { expect, test } from 'vitest';
import { Output } from '../../../workers/endpoint/client/output/output.ts';
import type { Connection } from '../../../workers/endpoint/connection/connection.ts';
import type { Frame } from '../../../workers/shared/mesh/inbox.ts';
import { PeerLink } from '../../../workers/shared/mesh/peer-link.ts';
import { makeMesh } from '../session/meshes.ts';

const LARGE = Buffer.alloc(40_000);

/** A link whose posts are written down, and an output whose sends are. */
function world() {
  const order: string[] = [];
  const port = { on() {}, removeAllListeners() {}, close() {}, postMessage: ({ parts }: Frame) => order.push(`post ${parts.length}`) };
  const link = new PeerLink(2, 'endpoint', port as never, makeMesh(1));
  const connection = {
    send: (bytes: Buffer) => order.push(`send ${bytes.length}`) > 0,
    end: () => order.push('end'),
  };
  const out = new Output(connection as unknown as Connection);
  const nextCheck = () => new Promise((resolve) => setImmediate(resolve));
  return { order, link, out, nextCheck };
}

test('output that was due before the message was routed', async () => {
  const { order, link, out, nextCheck } = world();
  out.reserve(2);
  link.control({ t: 'stored', serial: 1, count: 1 });
  out.reserve(4);
  await nextCheck();
  expect(order).toEqual(['post 1', 'send 6']);
});

test('large output, which leaves at once', async () => {
  const { order, link, out, nextCheck } = world();
  out.reserve(4);
  link.control({ t: 'stored', serial: 1, count: 1 });
  out.append(LARGE, 0, LARGE.length);
  expect(order).toEqual(['post 1', 'send 4']);
  await nextCheck();
  expect(order).toEqual(['post 1', 'send 4', 'send 40000']);
});

test('the last bytes of a connection', () => {
  const { order, link, out } = world();
  link.control({ t: 'stored', serial: 1, count: 1 });
  out.reserve(4);
  out.end();
  expect(order).toEqual(['post 1', 'send 4', 'end']);
});
