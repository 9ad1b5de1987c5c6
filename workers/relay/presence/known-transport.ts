/** The wire of the links, which hears of each node only the process that main knows by the node's name: of two, the other one is not heard. */

import type { NodeWire, Presence } from '../../../src/bus/node-wire.ts';
import { readHead } from '../../../src/link/frame.ts';

export class KnownTransport implements NodeWire {
  readonly #wire: NodeWire;
  readonly #incarnations = new Map<string, number>();
  readonly #onConnected: (isConnected: boolean) => void;
  /** frames of processes that main does not know */
  strangers = 0;

  /** @param onConnected called at once and at each change */
  constructor(wire: NodeWire, onConnected: (isConnected: boolean) => void) {
    this.#wire = wire;
    this.#onConnected = onConnected;
  }

  /** The process behind each name from now on. */
  know(nodes: readonly { name: string; incarnation: number }[]): void {
    this.#incarnations.clear();
    for (const { name, incarnation } of nodes) this.#incarnations.set(name, incarnation);
  }

  /** See NodeWire.presence(); of the process that main knows. */
  async presence(node: string): Promise<Presence> {
    const process = this.#incarnations.get(node);
    return process === undefined ? 'unknown' : await this.#wire.presence(node, process);
  }

  settledMs(): number {
    return this.#wire.settledMs();
  }

  send(node: string, frame: Uint8Array): boolean {
    return this.#wire.send(node, frame);
  }

  onFrame(listener: (node: string, frame: Uint8Array) => void): void {
    this.#wire.onFrame((node, frame) => {
      const known = this.#incarnations.get(node);
      if (known !== undefined && readHead(frame)?.incarnation === known) listener(node, frame);
      else this.strangers++;
    });
  }

  onState(listener: (isConnected: boolean) => void): void {
    this.#wire.onState((isConnected) => {
      listener(isConnected);
      this.#onConnected(isConnected);
    });
  }

  close(): Promise<void> {
    return this.#wire.close();
  }
}
