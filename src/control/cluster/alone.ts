/** Answers about the cluster of a node that has none: the node itself is all of it. */

import { wallNow } from '../../kernel/clock.ts';
import type { ClusterStatus, NodeView } from '../contract/answers.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { type OwnFacts, toNodeView } from './own-facts.ts';

export class Alone {
  readonly #facts: OwnFacts;
  readonly #desired: DesiredState;

  constructor(facts: OwnFacts, desired: DesiredState) {
    this.#facts = facts;
    this.#desired = desired;
  }

  status(): ClusterStatus {
    const { storeError } = this.#desired;
    const { name: node, known: revision, failed } = this.#facts.read();
    const nats = { connected: false, server: null, reason: 'this node is not part of a cluster' };
    return {
      name: '',
      node,
      enabled: false,
      nats,
      store: { ok: storeError === null, reason: storeError },
      revision,
      lag: 0,
      nodes: { total: 1, up: 1 },
      inStep: failed.length === 0,
      sync: {},
      messages: null,
    };
  }

  nodes(): NodeView[] {
    const facts = this.#facts.read();
    return [toNodeView({ ...facts, isUp: true, isSelf: true, isTwin: false, lastSeen: wallNow() }, facts.known)];
  }
}
