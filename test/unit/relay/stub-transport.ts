/** The relay's transport over a wire that carries nothing: a test says which frame comes from which node. */

import type { NodeWire } from '../../../src/bus/node-wire.ts';
import { KnownTransport } from '../../../workers/relay/presence/known-transport.ts';

export function stubTransport(): { transport: KnownTransport; hear(node: string, frame: Uint8Array): void } {
  let hear = (_node: string, _frame: Uint8Array): void => {};
  const wire: NodeWire = {
    send: () => true,
    onFrame(listener) {
      hear = listener;
    },
    onState() {},
    presence: async () => 'unknown',
    settledMs: () => 0,
    close: async () => {},
  };
  return { transport: new KnownTransport(wire, () => {}), hear: (node, frame) => hear(node, frame) };
}
