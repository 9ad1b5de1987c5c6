/** The contract between routing and the receivers of messages; sessions implement it. */

import type { QoS } from '../../../src/mqtt/packet.ts';
import type { Message } from '../messages/message.ts';
import type { Run } from '../messages/run.ts';

/** One subscription of one subscriber, as SUBSCRIBE requested it. */
export interface Subscription {
  /** latin1 form, without $share prefix */
  readonly filter: string;
  /** null: not shared */
  readonly group: string | null;
  readonly qos: QoS;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  /** 0 = none */
  readonly identifier: number;
}

/** The terms on which a matching subscriber gets a message. Overlapping subscriptions are folded into one grant [MQTT-3.3.4-2]. */
export interface Grant {
  readonly qos: QoS;
  readonly retainAsPublished: boolean;
  /** all identifiers of the matching subscriptions; empty = none [MQTT-3.3.4-3] */
  readonly identifiers: readonly number[];
}

export interface Subscriber {
  /** namespace + NUL + client identifier */
  readonly key: string;
  /** False for an offline session; shared groups prefer connected members. */
  readonly isConnected: boolean;
  /** True for a session that moves to another worker, which also gets the messages routed from now on. */
  readonly isLeaving: boolean;
  /** True for a session on disk: a shared QoS 1 or 2 message must be on disk before its publisher is acknowledged. */
  readonly isDurable: boolean;
  /**
   * Takes one message.
   * @param source the peer whose batch brought it, 0 for this worker
   * @param group the shared subscription that chose it
   * @returns resolves when a message of a shared subscription is on disk; null: nothing to wait for
   */
  deliver(message: Message, grant: Grant, source: number, group: GroupHome | null): Promise<void> | null;
  /** Takes a run of QoS 0 messages and keeps no reference to `run`. Returns false to get the messages one by one. */
  deliverRun(run: Run, source: number, group: GroupHome | null): boolean;
}

/** Takes back a message of a shared subscription whose member left for good. */
export interface GroupHome {
  readonly namespace: string;
  readonly filter: string;
  readonly name: string;
}

/** By QoS without Retain As Published, then by QoS with it. */
const PLAIN_GRANTS: readonly Grant[] = [false, true].flatMap((retainAsPublished) =>
  ([0, 1, 2] as const).map((qos): Grant => ({ qos, retainAsPublished, identifiers: [] })),
);

/** The grant of a subscription without an identifier. Grants are shared objects, because most are alike. */
export function plainGrant(qos: QoS, retainAsPublished: boolean): Grant {
  return PLAIN_GRANTS[retainAsPublished ? 3 + qos : qos]!;
}

/** The grant of one subscription alone, for retained messages and members of shared groups. */
export function grantOf(subscription: Subscription): Grant {
  return foldGrants([subscription]);
}

/** The grant of overlapping subscriptions of one subscriber: the highest QoS, and all identifiers [MQTT-3.3.4-2]. */
export function foldGrants(subscriptions: readonly Subscription[]): Grant {
  let qos: 0 | 1 | 2 = 0;
  let retainAsPublished = false;
  const identifiers: number[] = [];
  for (const subscription of subscriptions) {
    if (subscription.qos > qos) qos = subscription.qos;
    if (subscription.retainAsPublished) retainAsPublished = true;
    if (subscription.identifier > 0 && !identifiers.includes(subscription.identifier)) identifiers.push(subscription.identifier);
  }
  return { qos, retainAsPublished, identifiers };
}
