/** Where messages of shared subscriptions are: which place has each, and what becomes of it when the place dies, returns, or has a new relay. */

import { randomInt } from 'node:crypto';
import type { Peer } from '../shared/routing/peer.ts';
import type { InterestNews } from '../shared/wire/controls.ts';
import { Bounces } from './bounces.ts';
import type { GatewayOptions } from './contract.ts';
import { UnsettledMessages } from './kept/unsettled.ts';
import type { RemoteInterest } from './remote-interest.ts';
import type { RemoteNode } from './remote-node.ts';
import { Settlements } from './settlements.ts';

/** Another node as a place of messages. */
interface Place {
  /** of the process that the link leads to, or led to; 0: none so far */
  incarnation: number;
  /** number of the present session of the link */
  session: number;
  /** of the node's relay; null: its version reports no settlements */
  relay: number | null;
  /** its process has ended */
  isDead: boolean;
}

export class SharedPlaces {
  readonly unsettled: UnsettledMessages;
  readonly bounces: Bounces;
  readonly settlements: Settlements;
  /** differs for each relay of this node */
  readonly relay = randomInt(2 ** 32);
  readonly #interest: RemoteInterest;
  readonly #places = new Map<RemoteNode, Place>();
  #hasNewMembers = false;

  constructor(options: GatewayOptions, interest: RemoteInterest) {
    this.#interest = interest;
    this.unsettled = new UnsettledMessages(options.hold);
    const ports = { interest, unsettled: this.unsettled, nodeOf: (incarnation: number) => this.#nodeOf(incarnation) };
    this.bounces = new Bounces(options, { ...ports, sessionOf: (node) => this.#sessionOf(node) });
    this.settlements = new Settlements({
      ...ports,
      incarnation: options.incarnation,
      aliasOf: (peer, serial, isOver) => this.bounces.aliasOf(peer, serial, isOver),
    });
  }

  #nodeOf(incarnation: number): RemoteNode | null {
    for (const [node, place] of this.#places) if (place.incarnation === incarnation && place.relay !== null) return node;
    return null;
  }

  #sessionOf(node: RemoteNode): number | null {
    const place = this.#places.get(node);
    return place === undefined || place.relay === null ? null : place.session;
  }

  /** A session of the link to this process of the node begins. To be called before anything is sent. */
  up(node: RemoteNode, incarnation: number): void {
    const place = this.#places.get(node) ?? { incarnation: 0, session: 0, relay: null, isDead: false };
    this.#places.set(node, place);
    // Its members count as offline until it has named them.
    this.#interest.setAway(node, true);
    if (place.incarnation === incarnation) this.unsettled.returned(node);
    else if (place.incarnation !== 0) this.bounces.placeLost(node, true);
    place.incarnation = incarnation;
    place.session++;
    place.isDead = false;
  }

  /** The node names its interest. @param relay see NodeControl */
  begun(node: RemoteNode, relay: number | undefined): void {
    const place = this.#places.get(node);
    if (place === undefined) return;
    const now = relay ?? null;
    if (place.relay !== now && place.relay !== null) this.unsettled.forgetBefore(node, place.session);
    place.relay = now;
  }

  /** The process of the node has ended; its link ends, too. */
  ended(node: RemoteNode): void {
    const place = this.#places.get(node);
    if (place !== undefined) place.isDead = true;
  }

  /** Messages do not cross to the node: members elsewhere come before its own. */
  released(node: RemoteNode): void {
    this.#interest.setAway(node, true);
    this.settlements.forget(node);
  }

  /** The node is down, and this node is not the one that is cut off. */
  down(node: RemoteNode): void {
    this.bounces.placeLost(node, this.#places.get(node)?.isDead === true);
  }

  /** The node does not come back, or the worker of this node has ended. Messages of groups without another member are lost, and counted. */
  gone(place: Peer): void {
    this.bounces.placeLost(place, true);
    this.bounces.lost += this.unsettled.forget(place);
    this.#places.delete(place as RemoteNode);
  }

  /** @returns true when retry() is due */
  noteMembers(news: readonly InterestNews[]): boolean {
    if (news.some(({ shares }) => shares.length > 0)) this.#hasNewMembers = true;
    return this.#hasNewMembers && this.unsettled.hasStranded;
  }

  /** Messages whose group had no other member may have one now. */
  retry(): void {
    if (!this.#hasNewMembers) return;
    this.#hasNewMembers = false;
    this.bounces.retry();
  }
}
