/** The controls that peers exchange beside batches of publishes: plain data, delivered in order with the batches. */

import type { AclConfig } from '../../../src/endpoint/endpoint.ts';
import type { QoS } from '../../../src/mqtt/packet.ts';
import type { WireMessage } from '../messages/message.ts';
import type { ShareItem } from '../routing/share-group.ts';
import type { SharedLine, SharedName } from '../routing/shared-reports.ts';
import type { Holder } from './holder.ts';
import type { NodeNews } from './identifier-news.ts';
import type { RetainedPage } from './page.ts';

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
  /** seconds from the publication of the will; -1 = none */
  expirySeconds: number;
}

/** The will of a connection, and who may publish it by the rules. */
export interface HeldWill {
  will: WireWill;
  holder: Holder;
}

/** A shared subscription: filter and group name. */
export interface WireGroup {
  filter: string;
  name: string;
}

/** Names a delivery within its session: its message, and the shared subscription that brought it. */
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
  /** 0: never sent, still in the queue */
  packetId: number;
  /** QoS 2: PUBREC has come, PUBREL is due */
  isReleased: boolean;
  /** shared subscription that brought the message */
  group: WireGroup | null;
}

/** Some deliveries, in order: see shared/session/flight/delivery-batch.ts. */
export interface DeliveryBatch {
  count: number;
  bytes: Uint8Array;
}

/** A whole session, handed from one peer to another. */
export interface WireSession {
  namespace: string;
  clientId: string;
  /** null: the version that stored the session did not record it */
  holder: Holder | null;
  /** id of the endpoint that made the session, and whose quota the session uses */
  endpoint: string;
  /** seconds; 0xFFFFFFFF = never */
  expirySeconds: number;
  /** a moment of steadyNow(); 0 while connected */
  disconnectedAt: number;
  isDurable: boolean;
  maxQueued: number;
  subscriptions: WireSubscription[];
  /** in order: in flight first, then the queue */
  deliveries: WireDelivery[];
  /** received QoS 2 packet identifiers that wait for PUBREL */
  received: number[];
  nextPacketId: number;
  will: WireWill | null;
  /** stamp of the claim that got the session, in a cluster; absent: none */
  stamp?: number;
  /** keys (subscriptionKey()) of subscriptions with unsent retained messages; missing: none */
  retainedDue?: string[];
}

/** A change of the sender's interest. The lists are flat, because each storm of subscriptions copies them between threads. */
export interface InterestNews {
  namespace: string;
  filters: string[];
  /** INTEREST flags of each filter; 0 = none */
  flags: number[];
  shares: ShareItem[];
}

/** A session that moves to the sender from the peer `from`. */
export interface MoveNews {
  id: number;
  from: number;
}

/** A claim of a client identifier, with the properties of the connection. */
export interface Claim {
  /** unique over all peers; later controls name the connection by it */
  connection: number;
  namespace: string;
  clientId: string;
  /** the authenticated user; null when the endpoint demands no login */
  user: string | null;
  cleanStart: boolean;
  expirySeconds: number;
  endpoint: string;
  isDurable: boolean;
  maxSessions: number;
  /** the will, which another node keeps; absent: none, or a single node */
  held?: HeldWill;
  /** the claim's place in the order of all claims of a cluster, given by the session worker; absent: a single node */
  stamp?: number;
}

/** The client that a session is requested for; absent when the session worker fetches the session for itself. */
export type Claimant = Pick<Claim, 'user'>;

/** The access rules of an endpoint, as in its configuration. */
export interface EndpointRules {
  namespace: string;
  enableAcl: boolean;
  acl: AclConfig;
}

/** A session that a worker holds, as reported to a new session worker. */
export interface Registration extends Omit<Claim, 'user' | 'cleanStart' | 'maxSessions'> {
  /** the client is offline: the session worker fetches the session */
  isParked: boolean;
}

/** The content of a session that is about to move. */
export interface SessionOffer {
  /** the first subscriptions */
  subscriptions: WireSubscription[];
  /** number of the other subscriptions, which follow after `offer-next` */
  rest: number;
  /** number of messages in flight and in the queue */
  deliveries: number;
  /** true when messages of shared groups, which no journal sees, go to disk during the move, too */
  isDurable: boolean;
}

/** Every message that may stand between two batches. */
export type Control =
  // interest
  /** follows the last piece of the sender's interest, which a joining peer gets by `interest` */
  | { t: 'snapshot'; moves: MoveNews[] }
  | { t: 'snapshot-ok' }
  /** request 0 gets no answer */
  | { t: 'interest'; request: number; news: InterestNews[]; move: MoveNews | null }
  | { t: 'interest-ok'; request: number }
  /** from here on, the sender's messages for the moving session go to its new place */
  | { t: 'cut'; move: number }
  | { t: 'credit'; bytes: number }
  /** the chosen group had no member left: the receiver chooses again */
  | { t: 'bounce'; namespace: string; group: string; message: WireMessage }
  /** every record up to this serial is stored: `count` records since the last report */
  | { t: 'stored'; serial: number; count: number }
  /** the retained message with this serial found no room; sent before `stored` */
  | { t: 'refused'; serial: number }
  /** the message with this serial cannot be stored and is dropped; sent before `stored` */
  | { t: 'unstored'; serial: number }
  // relay → the other workers of its node
  /** the relay and the other nodes know each other's interest: messages may go to the relay from now on */
  | { t: 'linked' }
  /** every node that wants these messages has taken them */
  | { t: 'taken'; serials: number[] }
  // client identifiers of other nodes: session worker ↔ relay
  | NodeNews
  // relay ↔ session worker: the comparison of retained messages with other nodes
  /** the link to a node begins, or has ended */
  | { t: 'retained-node'; node: string; isUp: boolean }
  /** a frame (host/retained/sync-frames.ts) from or to the session worker of another node. clockShift: see BatchReader */
  | { t: 'retained-frame'; node: string; frame: Uint8Array; clockShift: number }
  /** this node has the retained messages that the other node had when their link began */
  | { t: 'retained-compared'; node: string }
  // client identifiers: endpoint worker → session worker
  | { t: 'claim'; claim: Claim }
  | { t: 'owned'; connection: number; namespace: string; clientId: string }
  /** the connection has ended; the session (expiry > 0) waits to be fetched */
  | { t: 'gone'; connection: number; namespace: string; clientId: string; expirySeconds: number; hasWill: boolean }
  /** the session and its connection have ended */
  | { t: 'ended'; connection: number; namespace: string; clientId: string }
  | { t: 'register'; sessions: Registration[] }
  /** answers `revoke`: the sessions of the group that this worker decided about */
  | { t: 'revoked'; group: number; sessions: Registration[] }
  /** the queue limit of an endpoint's sessions has changed */
  | { t: 'queue-limit'; endpoint: string; maxQueued: number }
  /** limits of an endpoint's retained and queued messages, and the port that names the endpoint in the log */
  | { t: 'endpoint-limits'; endpoint: string; port: number; messages: number; bytes: number; queuedBytes: number }
  /** the rules of an endpoint, for its offline sessions; null: the sender has closed it */
  | { t: 'rules'; endpoint: string; rules: EndpointRules | null }
  // session worker → endpoint worker
  | { t: 'grant'; connection: number; how: 'new' | 'local'; stamp: number }
  | { t: 'grant-move'; connection: number; move: number; from: number; offer: SessionOffer; namespace: string; stamp: number }
  | { t: 'deny'; connection: number; reason: 'quota' | 'busy' | 'foreign' }
  /** the session worker decides about this group of identifiers from now on, and asks for the sessions in the group */
  | { t: 'revoke'; group: number }
  | { t: 'release'; namespace: string; clientId: string; move: number; to: number; discard: boolean; by: Claimant | null }
  /** another node has published the will of this connection, because this node seemed to have died */
  | { t: 'will-told'; namespace: string; clientId: string; connection: number }
  // answers of the session's holder
  /** null: the session no longer exists; `foreign`: it belongs to another user and stays unchanged */
  | { t: 'released'; move: number; offer: SessionOffer | null | 'foreign' }
  /** the new place asks for the subscriptions that the offer left out */
  | { t: 'offer-next'; move: number }
  /** `waits`: the rest follows after `offer-next` */
  | { t: 'offer-part'; move: number; subscriptions: WireSubscription[]; isLast: boolean; waits: boolean }
  /** some deliveries of a moving session; more follow when the receiver has taken these */
  | { t: 'state-part'; move: number; batch: DeliveryBatch }
  | { t: 'state-next'; move: number }
  /** the rest of the session, without subscriptions and deliveries */
  | { t: 'state'; move: number; session: WireSession }
  // between endpoint workers, and from them to the session worker
  /** the copies of the sender's durable members of shared groups are on disk */
  | { t: 'kept'; source: number; serial: number }
  // between workers and the relay: see SharedReports
  | { t: 'shared-settled'; isHeld: boolean; lines: SharedLine[] }
  | { t: 'shared-named'; request: number; names: SharedName[] }
  | { t: 'shared-known'; request: number }
  // retained messages
  /** @param from the first filter of the answer */
  | { t: 'retained-get'; request: number; namespace: string; filters: readonly string[]; from: number }
  /** the subscriber has room for this page of a filter, or for the first page of a later filter */
  | { t: 'retained-next'; request: number; filterAt: number; page: number; isFresh: boolean }
  | { t: 'retained-end'; request: number }
  /** @param isLast no further page follows for the filter. page null: the filter has no such page; behind the last filter: no page is left */
  | { t: 'retained-page'; request: number; filterAt: number; at: number; page: RetainedPage | null; isLast: boolean }
  // durable sessions: endpoint worker → session worker
  | { t: 'durable'; namespace: string; clientId: string; op: DurableOp; request: number }
  /** asks for `durable-ok` once everything sent so far is on disk */
  | { t: 'commit'; request: number }
  /** the operations up to this request are applied: their filters are journalled from here on */
  | { t: 'durable-ok'; request: number };

/** A change of an online durable session that goes to disk. */
export type DurableOp =
  | { op: 'begin'; session: WireSession }
  /** a session on disk is online again; its lists are unchanged */
  | { op: 'resume'; session: WireSession }
  /** like `begin`, for a new session worker, whose state on disk is older */
  | { op: 'again'; session: WireSession }
  /** some subscriptions and deliveries of a large session, ahead of `again` without lists; `begins`: its state, with the first part */
  | { op: 'again-part'; begins: WireSession | null; subscriptions: WireSubscription[]; batch: DeliveryBatch }
  | { op: 'subscribe'; subscription: WireSubscription }
  | { op: 'unsubscribe'; filter: string; group: string | null }
  /** a shared or retained message, which the session worker does not see otherwise */
  | { op: 'put'; delivery: WireDelivery }
  | ({ op: 'sent'; packetId: number } & DeliveryName)
  | ({ op: 'released'; packetId: number } & DeliveryName)
  | ({ op: 'settled' } & DeliveryName)
  | { op: 'received'; packetId: number }
  | { op: 'completed'; packetId: number }
  | { op: 'expiry'; expirySeconds: number }
  /** DISCONNECT has removed the will */
  | { op: 'no-will' }
  /** the will is due while a new connection continues the session: one step removes and publishes the will */
  | { op: 'will'; due: DueWill }
  /** `due`: the will that is due with the end; null: none */
  | { op: 'end'; due: DueWill | null };

/** A will for the session worker to publish; the rules of its endpoint allow it. */
export interface DueWill {
  will: WireWill;
  /** id of the endpoint of its client */
  endpoint: string;
}
