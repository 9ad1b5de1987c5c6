/** Everything that routing knows about one topic name, computed once and kept until a matching subscription changes. */

import type { Peer } from './peer.ts';
import type { ShareGroup } from './share-group.ts';
import { foldGrants, type Grant, plainGrant, type Subscriber, type Subscription } from './subscriber.ts';

/** A subscriber of the topic and its grant. */
export interface Target {
  readonly subscriber: Subscriber;
  readonly grant: Grant;
  /** the grant for the subscriber's own messages; null: it gets none of them [MQTT-3.8.3-3] */
  readonly ownGrant: Grant | null;
  /** true when a QoS 0 run may go to the subscriber as bytes: no subscription identifiers, no No Local */
  readonly isPlain: boolean;
}

export interface PeerInterest {
  readonly peer: Peer;
  /** see INTEREST */
  readonly flags: number;
}

const NOBODY: readonly never[] = [];

export class TopicEntry {
  /** latin1 form of the topic name */
  readonly topic: string;
  /** version of the namespace's wildcard subscriptions at the time of computing; -1: stale */
  version = -1;
  targets: readonly Target[] = NOBODY;
  peers: readonly PeerInterest[] = NOBODY;
  groups: readonly ShareGroup[] = NOBODY;
  /** at least one peer has to store a QoS 1/2 message before the acknowledgement */
  wantsStore = false;
  #bytes: Buffer | null = null;

  constructor(topic: string) {
    this.topic = topic;
  }

  /** UTF-8 bytes of the topic name. */
  get bytes(): Buffer {
    this.#bytes ??= ownBytes(this.topic);
    return this.#bytes;
  }

  /** Makes the entry stale and empty; otherwise the cache would keep sessions that have ended. */
  forget(): void {
    this.version = -1;
    this.targets = NOBODY;
    this.peers = NOBODY;
    this.groups = NOBODY;
    this.wantsStore = false;
  }

  get hasReceivers(): boolean {
    return this.targets.length > 0 || this.peers.length > 0 || this.groups.length > 0;
  }
}

/** Allocated outside Node's pool: a long-lived entry would keep 8 KiB of the pool alive. */
function ownBytes(topic: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(topic.length);
  bytes.latin1Write(topic);
  return bytes;
}

/** Folds the matching subscriptions of one subscriber into a target: highest QoS, all identifiers [MQTT-3.3.4-2]. */
export function makeTarget(subscriber: Subscriber, subscriptions: readonly Subscription[]): Target {
  const [only] = subscriptions;
  if (subscriptions.length === 1 && only!.identifier === 0 && !only!.noLocal) {
    const grant = plainGrant(only!.qos, only!.retainAsPublished);
    return { subscriber, grant, ownGrant: grant, isPlain: true };
  }
  const others = subscriptions.filter((subscription) => !subscription.noLocal);
  const grant = foldGrants(subscriptions);
  const hasNoLocal = others.length < subscriptions.length;
  const ownGrant = !hasNoLocal ? grant : others.length === 0 ? null : foldGrants(others);
  return { subscriber, grant, ownGrant, isPlain: !hasNoLocal && grant.identifiers.length === 0 };
}
