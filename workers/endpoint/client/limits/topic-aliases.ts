/** The topic aliases that a client has set (MQTT 5 section 3.3.2.3.4), limited in number and bytes. */

import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { EndpointContext } from '../context/context.ts';
import type { ClientMemory } from './client-memory.ts';

/** Average characters of a topic for each alias that a client may set. The limit is on the sum of all aliases; only attacks exceed it. */
const CHARACTERS_EACH = 1024;
/** Approximate bytes of an alias beside its topic. */
const ALIAS_BYTES = 100;

/** The part of a client that its aliases use. */
export interface AliasOwner {
  readonly endpoint: EndpointContext;
  readonly memory: ClientMemory;
}

export class TopicAliases {
  readonly #owner: AliasOwner;
  #topics: Map<number, string> | null = null;
  /** Topic Alias Maximum in this client's CONNACK; it stays while the client is connected */
  maximum = 0;
  /** approximate bytes of all aliases */
  bytes = 0;

  constructor(owner: AliasOwner) {
    this.#owner = owner;
  }

  /**
   * The topic of a packet, from its name or its alias [MQTT-3.3.2-7]. A name with an alias sets the alias.
   * @throws ProtocolError topicAliasInvalid; protocolError when the alias is not set; quotaExceeded when there is no room for the topic
   */
  resolve(alias: number, topic: string): string {
    if (alias === 0) return topic;
    if (alias > this.maximum) throw new ProtocolError(REASON.topicAliasInvalid, `Topic alias ${alias} is over ${this.maximum}`);
    if (topic !== '') {
      this.#set(alias, topic);
      return topic;
    }
    const known = this.#topics?.get(alias);
    if (known === undefined) throw new ProtocolError(REASON.protocolError, `Topic alias ${alias} is not set`);
    return known;
  }

  #set(alias: number, topic: string): void {
    this.#topics ??= new Map();
    const before = this.#topics.get(alias);
    if (before === topic) return;
    const grown = topic.length - (before === undefined ? -ALIAS_BYTES : before.length);
    if (this.bytes + grown > this.maximum * (CHARACTERS_EACH + ALIAS_BYTES)) {
      this.#owner.endpoint.count('quotaTopicAlias');
      throw new ProtocolError(REASON.quotaExceeded, `The topics of all aliases exceed ${this.maximum} KiB`);
    }
    if (grown > 0) this.#owner.memory.demand(grown);
    this.bytes += grown;
    this.#topics.set(alias, topic);
  }
}
