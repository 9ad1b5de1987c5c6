/** What peers tell each other beside batches of publishes; plain data, delivered in order with them. */

import type { AclConfig } from '../../src/endpoint/endpoint.ts';
import type { QoS } from '../../src/mqtt/packet.ts';
import type { WireMessage } from '../routing/message.ts';
import type { RetainedPage } from '../session/retained/page.ts';
import type { Holder } from '../session/rights/holder.ts';

/** A subscription as plain data. */
export interface WireSubscription {
  filter: string;
  group: string | null;
  qos: QoS;
  noLocal: boolean;
  retainAsPublished: boolean;
  retainHandling: 0 | 1 | 2;
  identifier: number;
}

export interface WireWill {
  message: WireMessage;
  /** milliseconds */
  delayMs: number;
  /** seconds from its publication; -1 = none */
  expirySeconds: number;
}

/** A shared subscription: filter and group name. */
export interface WireGroup {
  filter: string;
  name: string;
}

/** Names a delivery within its session: its message, and the shared subscription that it came by. */
export interface DeliveryName {
  source: number;
  serial: number;
  group: WireGroup | null;
}

/** One QoS 1/2 message on its way to a client. */
export interface WireDelivery {
  message: WireMessage;
  qos: 1 | 2;
  retain: boolean;
  identifiers: number[];
  /** 0: never sent, waits in the queue */
  packetId: number;
  /** QoS 2: PUBREC has come, PUBREL is due */
  isReleased: boolean;
  /** shared subscription that it came by */
  group: WireGroup | null;
}

/** Some deliveries, in order: see session/flight/delivery-batch.ts. */
export interface DeliveryBatch {
  count: number;
  bytes: Uint8Array;
}

/** A whole session, handed from one peer to another. */
export interface WireSession {
  namespace: string;
  clientId: string;
  /** null: not recorded by the version that stored it */
  holder: Holder | null;
  /** endpoint id it was made by: its quota */
  endpoint: string;
  /** seconds; 0xFFFFFFFF = never */
  expirySeconds: number;
  /** a moment of steadyNow(); 0 while connected */
  disconnectedAt: number;
  isDurable: boolean;
  maxQueued: number;
  subscriptions: WireSubscription[];
  /** inflight first, then the queue, in order */
  deliveries: WireDelivery[];
  /** received QoS 2 packet identifiers that were not released */
  received: number[];
  nextPacketId: number;
  will: WireWill | null;
  /** subscriptions (by subscriptionKey()) whose retained messages were not all sent; missing: none */
  retainedDue?: string[];
}

/** Members of a shared group at the sender; 0/0 = none. */
export type ShareItem = [filter: string, group: string, connected: number, away: number];

/** What of the sender's interest has changed: flat lists, because they are copied between threads with each storm of subscriptions. */
export interface InterestNews {
  namespace: string;
  filters: string[];
  /** of each filter: see INTEREST; 0 = none */
  flags: number[];
  shares: ShareItem[];
}

/** A session on its way to the sender from the peer `from`. */
export interface MoveNews {
  id: number;
  from: number;
}

/** Who claims a client identifier and as what. */
export interface Claim {
  /** unique over all peers; names the connection in what follows */
  connection: number;
  namespace: string;
  clientId: string;
  /** who has logged in; null: nobody has to */
  user: string | null;
  cleanStart: boolean;
  expirySeconds: number;
  endpoint: string;
  isDurable: boolean;
  maxSessions: number;
}

/** For whom a session is asked for; none where the session worker fetches it for itself. */
export type Claimant = Pick<Claim, 'user'>;

/** What an endpoint's rules say; as in its configuration. */
export interface EndpointRules {
  enableAcl: boolean;
  acl: AclConfig;
}

/** A session that a worker holds, told to a new session worker. */
export interface Registration extends Omit<Claim, 'user' | 'cleanStart' | 'maxSessions'> {
  /** its client is away: fetch it */
  isParked: boolean;
}

/** Everything that may stand between two batches. */
export type Control =
  // interest
  | { t: 'snapshot'; news: InterestNews[]; moves: MoveNews[] }
  | { t: 'snapshot-ok' }
  /** request 0: no answer */
  | { t: 'interest'; request: number; news: InterestNews[]; move: MoveNews | null }
  | { t: 'interest-ok'; request: number }
  /** the sender's messages for the moving session go to its new place from here on */
  | { t: 'cut'; move: number }
  | { t: 'credit'; bytes: number }
  /** a chosen group had no member left: choose again */
  | { t: 'bounce'; namespace: string; group: string; message: WireMessage }
  /** every record up to this serial is stored */
  | { t: 'stored'; serial: number }
  /** the retained message with this serial found no room; said before `stored` */
  | { t: 'refused'; serial: number }
  /** the message with this serial cannot be stored and is given up; said before `stored` */
  | { t: 'unstored'; serial: number }
  // client identifiers: endpoint worker → session worker
  | { t: 'claim'; claim: Claim }
  | { t: 'owned'; connection: number; namespace: string; clientId: string }
  /** the connection ended, the session (expiry > 0) waits to be fetched */
  | { t: 'gone'; connection: number; namespace: string; clientId: string; expirySeconds: number }
  /** session and connection ended */
  | { t: 'ended'; connection: number; namespace: string; clientId: string }
  | { t: 'register'; sessions: Registration[] }
  /** answer to `revoke`: the sessions of the group that were decided about here */
  | { t: 'revoked'; group: number; sessions: Registration[] }
  /** the limit of waiting messages of an endpoint's sessions has changed */
  | { t: 'queue-limit'; endpoint: string; maxQueued: number }
  /** what an endpoint may have retained, and the port by which the log names it */
  | { t: 'endpoint-limits'; endpoint: string; port: number; messages: number; bytes: number; queuedBytes: number }
  /** the rules of an endpoint, for its clients that are away; null: it has closed at the sender */
  | { t: 'rules'; endpoint: string; rules: EndpointRules | null }
  // session worker → endpoint worker
  | { t: 'grant'; connection: number; how: 'new' | 'local' }
  | { t: 'grant-move'; connection: number; move: number; from: number; offer: WireSubscription[]; namespace: string }
  | { t: 'deny'; connection: number; reason: 'quota' | 'busy' | 'foreign' }
  /** the session worker decides about this group of identifiers from now on, and has to know what is held in it */
  | { t: 'revoke'; group: number }
  | { t: 'release'; namespace: string; clientId: string; move: number; to: number; discard: boolean; by: Claimant | null }
  // answers of the holder of a session
  /** null: there is no session any more; `foreign`: it is another user's, and stays as it is */
  | { t: 'released'; move: number; offer: WireSubscription[] | null | 'foreign' }
  /** the deliveries of a session that moves, some of them; the next ones follow when the receiver has taken these */
  | { t: 'state-part'; move: number; batch: DeliveryBatch }
  | { t: 'state-next'; move: number }
  /** the rest, without deliveries */
  | { t: 'state'; move: number; session: WireSession }
  // retained messages
  /** @param from the filter that the answer begins with */
  | { t: 'retained-get'; request: number; namespace: string; filters: readonly string[]; from: number }
  /** the subscriber has room for this page of what matches a filter, or for the first one of a later filter */
  | { t: 'retained-next'; request: number; filterAt: number; page: number; isFresh: boolean }
  | { t: 'retained-end'; request: number }
  /** null: nothing more matches the filter; behind the last one: any filter */
  | { t: 'retained-page'; request: number; filterAt: number; at: number; page: RetainedPage | null }
  // durable sessions: endpoint worker → session worker
  | { t: 'durable'; namespace: string; clientId: string; op: DurableOp; request: number }
  /** the operations up to this request are taken in: its filters are journalled from here on */
  | { t: 'durable-ok'; request: number };

/** A change of a connected durable session, to be kept on disk. */
export type DurableOp =
  | { op: 'begin'; session: WireSession }
  /** as begin, told to a new session worker: what it found on disk is older than this */
  | { op: 'again'; session: WireSession }
  | { op: 'subscribe'; subscription: WireSubscription }
  | { op: 'unsubscribe'; filter: string; group: string | null }
  /** a shared or retained message that the session worker does not see by itself */
  | { op: 'put'; delivery: WireDelivery }
  | ({ op: 'sent'; packetId: number } & DeliveryName)
  | ({ op: 'released'; packetId: number } & DeliveryName)
  | ({ op: 'settled' } & DeliveryName)
  | { op: 'received'; packetId: number }
  | { op: 'completed'; packetId: number }
  | { op: 'expiry'; expirySeconds: number }
  /** DISCONNECT has taken the will away */
  | { op: 'no-will' }
  /** the will is due while the session lives on, at a new connection: to be taken off and published in one step */
  | { op: 'will'; due: DueWill }
  /** with the will that is due with the end; null: there is none */
  | { op: 'end'; due: DueWill | null };

/** A will that the session worker is to publish; the rules of its endpoint allow it. */
export interface DueWill {
  will: WireWill;
  /** id of the endpoint that its client came by */
  endpoint: string;
}
