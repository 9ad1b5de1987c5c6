/** The traffic between main and a worker thread: typed commands, questions and events, plain data only. */

import type { MessagePort } from 'node:worker_threads';
import type { RelayBoot, RelayedNode, RelayReport } from '../bus/relay.ts';
import type { BanChange } from '../endpoint/bans/ban-index.ts';
import type { FlappingLimits } from '../endpoint/bans/flapping.ts';
import type { AclConfig, AuthConfig, Encryption, Endpoint } from '../endpoint/endpoint.ts';
import type { WireError } from '../kernel/errors.ts';
import type { LogFields, LogLevel } from '../kernel/logger.ts';
import type { AskJob, AskResult } from './access/ask.ts';
import type { TlsMaterial } from './tls-material.ts';

/** Incremented when a command, a question or an event changes its form. `ready` carries it, and main refuses a worker with another version. */
export const THREAD_PROTOCOL_VERSION = 1;

/** `relay`: carries messages between nodes; only in a cluster. */
export type WorkerRole = 'endpoint' | 'session' | 'relay';

/** The `workerData` of every worker. */
export interface WorkerBoot {
  role: WorkerRole;
  /** unique in this process and never reused, 1..; identifies the worker in the mesh */
  peer: number;
  node: string;
  version: string;
  /** folder of durable sessions and retained messages (session worker); null: keep nothing on disk */
  dataPath: string | null;
  /** advanced while the event loop of the thread runs: see heartbeat.ts */
  heartbeat: SharedArrayBuffer;
  /** the thread that decides about each client identifier, shared by all threads: see identifier-table.ts */
  identifiers: SharedArrayBuffer;
  /** numbers of messages, shared by all threads: see message-numbers.ts */
  numbers: SharedArrayBuffer;
  /** bytes that all threads hold for their clients, and the slot of this thread: see memory-budget.ts */
  memory: SharedArrayBuffer;
  memorySlot: number;
  /** failed logins, shared by all threads: see kernel/logins/login-memory.ts */
  logins: SharedArrayBuffer;
  /** addresses of right logins, shared by all threads */
  knownLogins: SharedArrayBuffer;
  /** when a client that connects too often is banned, and the connects of clients, shared by all threads; null: never */
  flapping: { limits: FlappingLimits; memory: SharedArrayBuffer } | null;
  /** whether messages can be stored: see store-state.ts */
  storeState: SharedArrayBuffer;
  /** the node carries messages to and from other nodes, so it has a relay */
  hasRelay: boolean;
  /** members of shared subscriptions on this node come before those of other nodes */
  prefersOwnMembers: boolean;
  /** how long another node may be down before this one publishes the wills of its clients, ms */
  willGraceMs: number;
  /** relay only; null for all others */
  relay: RelayBoot | null;
  /** prefix of the client identifiers of this process's own health checks; no stranger can guess it */
  probePrefix: string;
}

/** An endpoint as a worker runs it: configuration with the node's fallbacks resolved, and its shared memory. */
export interface EndpointRuntimeConfig {
  endpoint: Endpoint;
  revision: number;
  /** effective authenticators: the endpoint's own or the node's `auth` */
  auth: AuthConfig[];
  /** effective rules: the endpoint's own or the node's `acl` */
  acl: AclConfig;
  /** null: no TLS */
  tls: TlsMaterial | null;
}

/** Shared memory handed over once, when the listener of an endpoint opens in a worker. */
export interface EndpointMemory {
  /** one per endpoint, shared by all its workers: see metrics/shared-limits.ts */
  limits: SharedArrayBuffer;
  /** one per endpoint, shared by all its workers: see metrics/address-table.ts */
  addresses: SharedArrayBuffer;
  /** places by address of one worker, written by it alone */
  places: SharedArrayBuffer;
  /** one per endpoint and worker, written by that worker alone: see metrics/counters.ts */
  counters: SharedArrayBuffer;
}

/** Connected clients by name, as two lists of the same length: a node may have very many. */
export interface WireClientNames {
  clientIds: string[];
  namespaces: string[];
}

/**
 * The identifiers of all connected clients, in no order: of each namespace one text, in which U+0000 separates them, because no identifier
 * has it [MQTT-1.5.4-2]. A hundred thousand strings would keep both threads busy for tens of milliseconds.
 */
export type WireClientList = { namespace: string; clientIds: string }[];

/** One connected client. */
export interface WireClient {
  clientId: string;
  username: string | null;
  namespace: string;
  endpoint: string;
  port: number;
  address: string;
  protocolVersion: 3 | 4 | 5;
  cleanStart: boolean;
  keepAlive: number;
  sessionExpiry: number;
  /** milliseconds since the epoch */
  connectedAt: number;
  subscriptions: number;
  inflight: number;
  queued: number;
}

/** How clients are disconnected: all at once or spread over a time. */
export interface Drain {
  /** milliseconds over which the disconnects are spread evenly; 0: at once */
  ms: number;
  reasonCode: number;
  /** Server References for MQTT 5 clients, which get them in turns; empty: none */
  serverReferences: readonly string[];
}

export interface Drained {
  disconnected: number;
  /** false: the drain was cancelled, and the remaining clients stay or a newer drain continues with them */
  done: boolean;
}

/** Sessions of an endpoint, as the session worker counts them. */
export interface SessionCount {
  endpoint: string;
  persistent: number;
  offline: number;
  /** dropped messages by reason since the last call */
  dropped: Record<string, number>;
  /** subscriptions that access rules took away since the last call */
  withdrawn: number;
}

/** Listening sockets that main offers to a worker (socket-passing.ts), by main's numbers. */
export interface SocketOffer {
  path: string;
  keys: number[];
}

/** Commands: main → worker, each answered once. `endpoint` is an endpoint id. */
export interface Commands {
  /** Joins a peer to the mesh. The MessagePort travels as `port`. Resolves when the peer's interest is known. */
  'peer.add': { params: { peer: number; role: WorkerRole; port: MessagePort }; result: null };
  /** The peer has crashed or closed: retract its interest and drop its port. */
  'peer.remove': { params: { peer: number }; result: null };
  /** Opens an endpoint in this worker, ready to accept; no client is let in yet. @throws unprocessable */
  'endpoint.open': { params: { config: EndpointRuntimeConfig; memory: EndpointMemory; sockets: SocketOffer }; result: null };
  /** Resolves when the worker accepts. @throws port-in-use, unprocessable */
  'endpoint.start-accepting': { params: { endpoint: string }; result: null };
  /** Accepts from these sockets too. */
  'endpoint.accept-from': { params: { endpoint: string; sockets: SocketOffer }; result: null };
  /** Stops accepting from sockets from which other workers accept too. */
  'endpoint.drop': { params: { endpoint: string; keys: number[] }; result: null };
  /**
   * New configuration of an endpoint that keeps its listener: live keys at once, admission keys from the next CONNECT, the namespace,
   * TLS, WebSocket and the listen backlog from the next connection. Clients of another namespace stay in it.
   */
  /** `isRebind`: clients connected now become the former ones of `endpoint.drain-former` */
  'endpoint.update': { params: { config: EndpointRuntimeConfig; isRebind: boolean }; result: null };
  /** Stops accepting; established clients stay. With `isShared` false the worker waits for a moment with an empty accept queue. */
  'endpoint.stop-accepting': { params: { endpoint: string; isShared: boolean }; result: null };
  /**
   * Stops accepting and disconnects all clients of the endpoint. Resolves when the last client has gone and every session with expiry is
   * with the session worker. Also resolves when the drain is cancelled or a newer one supersedes it; then the endpoint is still open.
   */
  'endpoint.close': { params: { endpoint: string; drain: Drain }; result: Drained };
  /** Disconnects the clients that connected before the last update with `isRebind`; resolves as `endpoint.close` does. */
  'endpoint.drain-former': { params: { endpoint: string; drain: Drain }; result: Drained };
  /** Ends a drain of the two commands above: the remaining clients stay. */
  'endpoint.cancel-drain': { params: { endpoint: string }; result: null };
  'clients.list': { params: { endpoint: string | null }; result: WireClientList };
  /** clients still connected */
  'clients.describe': { params: WireClientNames; result: WireClient[] };
  /** Disconnects clients by identifier or user name with 0x98; null = every namespace. */
  'clients.close': { params: { by: 'clientId' | 'username'; ids: string[]; namespace: string | null }; result: { closed: number } };
  /** Endpoint workers: bans that are new, have another end, or are gone. Clients that new ones are about are disconnected. */
  'bans.take': { params: { changes: BanChange[] }; result: { kicked: number } };
  /** Finds those of the identifiers that are connected here; namespace null = in every namespace. */
  'clients.find': {
    params: { ids: string[]; namespace: string | null };
    result: { clientId: string; namespace: string; endpoint: string }[];
  };
  /** Session worker only: which identifiers it knows, and their worker. A client whose session ends with its connection may be known to its worker alone. */
  'sessions.locate': {
    params: { ids: string[]; namespace: string | null };
    result: { clientId: string; namespace: string; connected: boolean; peer: number | null; endpoint: string | null }[];
  };
  /** Session worker only: sessions by endpoint id, and messages to offline sessions dropped since the last call, by reason. */
  'sessions.count': {
    params: Record<string, never>;
    result: SessionCount[];
  };
  /** Session worker only: retained messages kept, and those refused for lack of room since the session worker started. */
  'retained.count': { params: Record<string, never>; result: RetainedCounts };
  /** Session worker only: counts of claims agreed with other nodes, since it started; null: a single node. */
  'claims.count': { params: Record<string, never>; result: ClaimCounts | null };
  /** Session worker only, when the node stops: its offline sessions go to these nodes, for at most this time. */
  'sessions.evacuate': { params: { nodes: string[]; timeoutMs: number }; result: { moved: number; left: number } };
  /** Session worker only: publishes of the server itself (admin API, $SYS), routed like a client's message. */
  publish: { params: { namespace: string; topic: string; payload: Uint8Array; qos: 0 | 1 | 2; retain: boolean }; result: null };
  /** Relay only: the other nodes that carry messages. Messages kept for a node that is missing here are lost. */
  'relay.nodes': { params: { nodes: RelayedNode[] }; result: null };
  'relay.report': { params: Record<string, never>; result: RelayReport };
  /** Loop utilization of the thread since the last call, its heap, and its event-loop lag. */
  'thread.usage': { params: Record<string, never>; result: ThreadUsage };
  /** Closes everything, says `closed`, and lets the thread end by itself. */
  shutdown: { params: { timeoutMs: number }; result: null };
}

/** Sessions of this node that clients of other nodes have claimed. */
export interface ClaimCounts {
  /** the client was closed, or was offline, when another node claimed the identifier */
  recalled: number;
  /** sessions that came here from other nodes */
  moved: number;
  /** two nodes had the identifier when they met, the other node by the later claim: the session here ended */
  duplicates: number;
  /** wills that this node keeps now for clients of other nodes */
  willsKept: number;
  /** of them, those that it published because their node had died */
  willsPublished: number;
  /** wills that no node keeps, for lack of room */
  willsRefused: number;
}

/** Retained messages of the node, of each namespace, and of each endpoint that published them; bytes as quotas count them. */
export interface RetainedCounts {
  messages: number;
  bytes: number;
  /** since the session worker started */
  refused: number;
  namespaces: { namespace: string; messages: number; bytes: number }[];
  endpoints: { endpoint: string; messages: number; bytes: number; refused: number }[];
  /** null: the node is not in a cluster */
  cluster: ClusterRetainedCounts | null;
}

/** How the nodes of a cluster keep the same retained messages, since the session worker started. */
export interface ClusterRetainedCounts {
  /** topics that are remembered because they have lost their messages */
  deletions: number;
  /** messages of other nodes that had no room here */
  refused: number;
  /** messages of other nodes whose clock is too far ahead of this node's clock */
  ahead: number;
  /** messages and deletions that this node has got from, and given to, nodes in a comparison */
  pulled: number;
  sent: number;
  /** linked nodes whose messages are still being compared with those of this node */
  behind: number;
}

export interface ThreadUsage {
  heapUsedBytes: number;
  externalBytes: number;
  cpuPercent: number;
  /** over the last 30 to 60 s, milliseconds; reading does not reset */
  eventLoopLagMsP99: number;
  eventLoopLagMsMax: number;
  /** times that the loop was over 50 ms late since the thread began */
  eventLoopBlocks: number;
  /** messages handed to other endpoint workers of this node since the thread began */
  crossedMessages: number;
  /** messages handed to the relay since the thread began */
  relayedMessages: number;
}

/** A password to compare with its stored form, as a job of the access pool. */
export interface VerifyJob {
  encrypt: Encryption;
  stored: string;
  salt: string;
  saltMode: 'disable' | 'prefix' | 'suffix';
  password: Uint8Array;
}

/** Questions: worker → main, each answered once. */
export interface Questions {
  /** True when the password matches. Runs in the access pool; rejects with `unavailable` when its queue is full. */
  'access.verify': { params: VerifyJob; result: boolean };
  /** Puts a login to an authenticator, in the asking thread; rejects with `unavailable` or `timeout` when that thread cannot answer. */
  'access.ask': { params: AskJob; result: AskResult };
}

/** Events: worker → main, never answered. */
export type WorkerEvent =
  | { event: 'ready'; protocolVersion: number }
  | { event: 'log'; level: LogLevel; message: string; fields: LogFields }
  /** The error that ends the thread; nothing follows from this thread. */
  | { event: 'fault'; message: string; stack: string | null }
  /** A client has connected too often. */
  | { event: 'flapping'; namespace: string; clientId: string }
  | { event: 'closed' };

export type CommandName = keyof Commands;
export type QuestionName = keyof Questions;

/** The frames on the wire in both directions. */
export type ThreadFrame =
  | { kind: 'command'; id: number; name: CommandName; params: unknown }
  | { kind: 'question'; id: number; name: QuestionName; params: unknown }
  | { kind: 'result'; id: number; ok: true; result: unknown }
  | { kind: 'result'; id: number; ok: false; error: WireError }
  | { kind: 'event'; body: WorkerEvent };
