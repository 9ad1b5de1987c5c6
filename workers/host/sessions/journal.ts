/** One durable session in the session worker, wherever its client is: which messages go to disk, and how far each has come. */

import { type Message, toWireMessage } from '../../shared/messages/message.ts';
import type { Run } from '../../shared/messages/run.ts';
import type { Namespace } from '../../shared/routing/namespace.ts';
import type { Grant, GroupHome, Subscriber } from '../../shared/routing/subscriber.ts';
import { deliveryKey } from '../../shared/session/flight/delivery.ts';
import { sessionKey } from '../../shared/session/session.ts';
import type { DeliveryName, WireDelivery, WireSubscription } from '../../shared/wire/controls.ts';
import type { SessionState } from '../disk/codec.ts';
import type { MessageDisk } from '../disk/message-disk.ts';

/** Limit of messages whose progress at the client is reported before they arrive here over another channel. */
const EARLY_MAX = 10_000;

/** The progress of a message before it arrives here. */
type Progress = 'settled' | { packetId: number; isReleased: boolean };

/** Subscribes in parallel with one durable session and writes that session's messages to disk. */
export class Journal implements Subscriber {
  readonly key: string;
  readonly namespace: Namespace;
  readonly isConnected = true;
  readonly isLeaving = false;
  readonly isDurable = true;
  readonly #disk: MessageDisk;
  /** deliveryKey() → progress */
  readonly #early = new Map<string, Progress>();
  state: SessionState;
  /** by subscriptionKey() */
  readonly subscriptions = new Map<string, WireSubscription>();
  /** deliveries that were on disk when this worker started */
  restored: readonly WireDelivery[] = [];
  /** the pieces that the session's holder has reported so far, by subscriptionKey() and deliveryKey(); null: no report in pieces is under way */
  told: { keys: Set<string>; open: Set<string> } | null = null;
  /** the session has ended and gets no message, although some of its filters may still be in the tree */
  isEnded = false;

  constructor(namespace: Namespace, state: SessionState, disk: MessageDisk) {
    this.key = sessionKey(namespace.name, state.clientId);
    this.namespace = namespace;
    this.state = state;
    this.#disk = disk;
  }

  deliver(message: Message, grant: Grant, _source: number, _group: GroupHome | null): null {
    const qos = message.qos < grant.qos ? message.qos : grant.qos;
    if (qos === 0 || this.isEnded) return null;
    this.put({
      message: toWireMessage(message),
      qos,
      retain: grant.retainAsPublished && message.retain,
      identifiers: [...grant.identifiers],
      packetId: 0,
      isReleased: false,
      group: null,
    });
    return null;
  }

  /** Stores a delivery, unless it is already settled. */
  put(delivery: WireDelivery): void {
    const progress = this.#takeProgress(delivery);
    if (progress === 'settled') return;
    this.#disk.putDelivery(this.namespace.name, this.state.clientId, progress === undefined ? delivery : { ...delivery, ...progress });
  }

  #takeProgress({ message, group }: WireDelivery): Progress | undefined {
    if (this.#early.size === 0) return undefined;
    const id = deliveryKey(message, group);
    const progress = this.#early.get(id);
    this.#early.delete(id);
    return progress;
  }

  /** Remembers the progress of a message that has not arrived yet. */
  setProgress(name: DeliveryName, progress: Progress): void {
    const id = deliveryKey(name, name.group);
    if (this.#early.size < EARLY_MAX || this.#early.has(id)) this.#early.set(id, progress);
  }

  deliverRun(_run: Run, _source: number): boolean {
    return true;
  }
}
