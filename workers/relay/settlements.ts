/** Reports about messages of shared groups: from the workers of this node to the nodes that keep the messages, and from other nodes. */

import { SOURCES_PER_NODE } from '../shared/messages/message.ts';
import type { SharedName } from '../shared/routing/shared-reports.ts';
import type { Control } from '../shared/wire/controls.ts';
import { Barriers } from './barriers.ts';
import type { Worker } from './contract.ts';
import type { UnsettledMessages } from './kept/unsettled.ts';
import type { Settlement } from './packets.ts';
import type { RemoteNode } from './remote-node.ts';

export interface SettlementsOptions {
  readonly unsettled: UnsettledMessages;
  /** of this process */
  readonly incarnation: number;
  /** The linked node with this incarnation, if it understands the reports. */
  nodeOf(incarnation: number): RemoteNode | null;
  /** The message of another node that this relay has given on under a serial of its own; null: none. The alias ends with `isOver`. */
  aliasOf(peer: number, serial: number, isOver: boolean): { readonly source: number; readonly serial: number } | null;
}

export class Settlements {
  readonly #options: SettlementsOptions;
  readonly #names = new Barriers();
  /** node → request → names that it has not answered */
  readonly #asked = new Map<RemoteNode, Map<number, SharedName[]>>();

  constructor(options: SettlementsOptions) {
    this.#options = options;
  }

  /** A worker reports. */
  fromWorker({ isHeld, lines }: Extract<Control, { t: 'shared-settled' }>): void {
    for (const [group, source, serials] of lines) this.#report(isHeld, group, source, serials);
  }

  #report(isHeld: boolean, group: string, source: number, serials: number[]): void {
    const incarnation = Math.floor(source / SOURCES_PER_NODE);
    const peer = source % SOURCES_PER_NODE;
    if (source >= SOURCES_PER_NODE && incarnation !== this.#options.incarnation) {
      this.#options.nodeOf(incarnation)?.report({ incarnation, isHeld, line: [group, peer, serials] });
      return;
    }
    const { unsettled, aliasOf } = this.#options;
    for (const serial of serials) {
      // On this node, the message is where this relay would give it.
      unsettled.settled(peer, serial, group);
      const alias = aliasOf(peer, serial, !isHeld);
      if (alias !== null) this.#report(isHeld, group, alias.source, [alias.serial]);
    }
  }

  /** Another node reports. */
  fromNode(node: RemoteNode, settlements: readonly Settlement[]): void {
    const { unsettled } = this.#options;
    for (const { incarnation, isHeld, line } of settlements) {
      if (incarnation !== this.#options.incarnation) continue;
      const [group, peer, serials] = line;
      if (isHeld) for (const serial of serials) unsettled.moved(node, peer, serial, group);
      else this.#report(false, group, peer, serials);
    }
  }

  /** Answers a worker when every node that keeps one of these messages knows its client. */
  async name(worker: Worker, { request: asked, names }: Extract<Control, { t: 'shared-named' }>): Promise<void> {
    const byNode = new Map<RemoteNode, SharedName[]>();
    for (const [group, source, serial, client] of names) this.#sort(byNode, [group, source, serial, client]);
    const request = this.#names.begin(byNode.keys());
    for (const [node, of] of byNode) {
      const asked = this.#asked.get(node) ?? new Map<number, SharedName[]>();
      this.#asked.set(node, asked);
      asked.set(request, of);
      node.control({ t: 'name', request, names: of });
    }
    await this.#names.wait(request);
    worker.control({ t: 'shared-known', request: asked });
  }

  #sort(byNode: Map<RemoteNode, SharedName[]>, [group, source, serial, client]: SharedName): void {
    const incarnation = Math.floor(source / SOURCES_PER_NODE);
    const peer = source % SOURCES_PER_NODE;
    if (incarnation === this.#options.incarnation) {
      this.#options.unsettled.named(peer, serial, group, client);
      const alias = this.#options.aliasOf(peer, serial, false);
      if (alias !== null) this.#sort(byNode, [group, alias.source, alias.serial, client]);
      return;
    }
    const node = this.#options.nodeOf(incarnation);
    if (node === null || !node.isAwaited) return;
    const known = byNode.get(node);
    const name: SharedName = [group, peer, serial, client];
    if (known === undefined) byNode.set(node, [name]);
    else known.push(name);
  }

  /** Another node names clients. */
  known(node: RemoteNode, request: number, names: readonly SharedName[]): void {
    for (const [group, peer, serial, client] of names) this.#options.unsettled.named(peer, serial, group, client);
    node.control({ t: 'named', request });
  }

  answered(node: RemoteNode, request: number): void {
    this.#asked.get(node)?.delete(request);
    this.#names.answered(node, request);
  }

  /** A session of the link has begun: controls of an earlier one may be lost. */
  askAgain(node: RemoteNode): void {
    for (const [request, names] of this.#asked.get(node) ?? []) node.control({ t: 'name', request, names });
  }

  /** Nobody waits for the node any more. */
  forget(node: RemoteNode): void {
    this.#asked.delete(node);
    this.#names.forget(node);
  }
}
