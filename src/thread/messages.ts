/** What may cross between main and a worker thread: typed commands, questions and events, plain data only. */

import type { MessagePort } from 'node:worker_threads';
import type { AclConfig, AuthConfig, Endpoint } from '../endpoint/endpoint.ts';
import type { WireError } from '../kernel/errors.ts';
import type { LogFields, LogLevel } from '../kernel/logger.ts';
import type { TlsMaterial } from './tls-material.ts';

/** Raised when a message changes its form; `ready` carries it and main refuses a worker that speaks another one. */
export const THREAD_PROTOCOL_VERSION = 1;

export type WorkerRole = 'endpoint' | 'session';

/** The `workerData` of every worker of ours. */
export interface WorkerBoot {
  role: WorkerRole;
  /** unique in this process, never reused: 1.. ; identifies the worker in the mesh */
  peer: number;
  node: string;
  version: string;
  /** folder of durable sessions and retained messages (session worker); null: keep nothing on disk */
  dataPath: string | null;
  /** moved by the thread while its event loop runs: see heartbeat.ts */
  heartbeat: SharedArrayBuffer;
  /** who decides about client identifiers, of all threads: see identifier-table.ts */
  identifiers: SharedArrayBuffer;
  /** from which all threads number messages: see message-numbers.ts */
  numbers: SharedArrayBuffer;
  /** what all threads hold for their clients, and the slot of this one: see memory-budget.ts */
  memory: SharedArrayBuffer;
  memorySlot: number;
  /** logins that failed, of all threads: see kernel/logins/login-memory.ts */
  logins: SharedArrayBuffer;
  /** whether messages can be stored: see store-state.ts */
  storeState: SharedArrayBuffer;
  /** client identifiers of this process's own health checks begin with it; nobody else can guess it */
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

/** Connected clients by name, as two lists of the same length: there may be very many. */
export interface WireClientNames {
  clientIds: string[];
  namespaces: string[];
}

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

/** How clients are disconnected. */
export interface Drain {
  /** milliseconds over which they are spread evenly; 0: at once */
  ms: number;
  reasonCode: number;
  /** where MQTT 5 clients may go instead [MQTT-3.14.2.2.5]; null: nowhere in particular */
  serverReference: string | null;
}

export interface Drained {
  disconnected: number;
  /** false: it was cancelled, and the clients that were left stay, or a newer one goes on with them */
  done: boolean;
}

/** Sessions of an endpoint, as the session worker counts them. */
export interface SessionCount {
  endpoint: string;
  persistent: number;
  offline: number;
  /** messages, by reason, since the last call */
  dropped: Record<string, number>;
  /** subscriptions that access rules took back, since the last call */
  withdrawn: number;
}

/** Listening sockets that main offers to a worker (socket-passing.ts), by the numbers that it has for them. */
export interface SocketOffer {
  path: string;
  keys: number[];
}

/** Commands: main → worker, each answered once. `endpoint` is an endpoint id. */
export interface Commands {
  /** Joins a peer to the mesh. The MessagePort travels as `port`. Resolves when the peer's interest is known. */
  'peer.add': { params: { peer: number; role: WorkerRole; port: MessagePort }; result: null };
  /** The peer is gone (crashed or closed): retract its interest, drop its port. */
  'peer.remove': { params: { peer: number }; result: null };
  /** Opens an endpoint in this worker, ready to accept: nobody comes in yet. @throws unprocessable */
  'endpoint.open': { params: { config: EndpointRuntimeConfig; memory: EndpointMemory; sockets: SocketOffer }; result: null };
  /** Accepting when it resolves. @throws port-in-use, unprocessable */
  'endpoint.accept': { params: { endpoint: string }; result: null };
  /** Accepts from these sockets too. */
  'endpoint.adopt': { params: { endpoint: string; sockets: SocketOffer }; result: null };
  /** Stops accepting from sockets that others accept from. */
  'endpoint.drop': { params: { endpoint: string; keys: number[] }; result: null };
  /**
   * New configuration of an endpoint that keeps its listener: live keys at once, admission keys from the next CONNECT, the namespace,
   * TLS, WebSocket and the listen backlog from the next connection. Clients of another namespace stay in it.
   */
  /** `isRebind`: clients of now are the former ones of `endpoint.drain-former` */
  'endpoint.update': { params: { config: EndpointRuntimeConfig; isRebind: boolean }; result: null };
  /** Stops accepting; established clients stay. Where `isShared` is false, in a moment in which nobody waits to be accepted. */
  'endpoint.stop-accepting': { params: { endpoint: string; isShared: boolean }; result: null };
  /**
   * Stops accepting and disconnects all clients of the endpoint; resolves when the last is gone and every session with expiry has been
   * handed to the session worker, or when it is cancelled or a newer one takes its place: the endpoint is then still open.
   */
  'endpoint.close': { params: { endpoint: string; drain: Drain }; result: Drained };
  /** Disconnects the clients that connected before the last update with `isRebind`; resolves as `endpoint.close`. */
  'endpoint.drain-former': { params: { endpoint: string; drain: Drain }; result: Drained };
  /** Ends what the two above have begun: the clients that are left stay. */
  'endpoint.cancel-drain': { params: { endpoint: string }; result: null };
  'clients.list': { params: { endpoint: string | null }; result: WireClientNames };
  /** those that are still connected */
  'clients.describe': { params: WireClientNames; result: WireClient[] };
  /** Disconnects clients by identifier with 0x98; null = every namespace. */
  'clients.close': { params: { ids: string[]; namespace: string | null }; result: { closed: number } };
  /** Which of these identifiers are connected here; null = in every namespace. */
  'clients.find': {
    params: { ids: string[]; namespace: string | null };
    result: { clientId: string; namespace: string; endpoint: string }[];
  };
  /** Session worker only: which identifiers it knows, and where; clients whose session ends with them may be known to their worker alone. */
  'sessions.locate': {
    params: { ids: string[]; namespace: string | null };
    result: { clientId: string; namespace: string; connected: boolean; peer: number | null; endpoint: string | null }[];
  };
  /** Session worker only: sessions per endpoint id, and messages to sessions that are away dropped since the last call, by reason. */
  'sessions.count': {
    params: Record<string, never>;
    result: SessionCount[];
  };
  /** Session worker only: retained messages kept, and refused since it started because there was no room for them. */
  'retained.count': { params: Record<string, never>; result: RetainedCounts };
  /** Session worker only: publishes from the server itself (admin API, $SYS): routed like a client's message. */
  publish: { params: { namespace: string; topic: string; payload: Uint8Array; qos: 0 | 1 | 2; retain: boolean }; result: null };
  /** Loop utilization of the thread since the last call, its heap, and its event-loop lag. */
  'thread.usage': { params: Record<string, never>; result: ThreadUsage };
  /** Closes everything, says `closed`, and lets the thread end by itself. */
  shutdown: { params: { timeoutMs: number }; result: null };
}

/** Retained messages of the node, of its namespaces, and of the endpoints by which they came; bytes as quotas count them. */
export interface RetainedCounts {
  messages: number;
  bytes: number;
  /** since the session worker started */
  refused: number;
  namespaces: { namespace: string; messages: number; bytes: number }[];
  endpoints: { endpoint: string; messages: number; bytes: number; refused: number }[];
}

export interface ThreadUsage {
  heapUsedBytes: number;
  externalBytes: number;
  cpuPercent: number;
  /** over the last 30 to 60 s, milliseconds; reading does not reset */
  eventLoopLagMsP99: number;
  eventLoopLagMsMax: number;
  /** times the loop was over 50 ms late since the thread began */
  eventLoopBlocks: number;
  /** handed to endpoint workers of this node since the thread began */
  crossedMessages: number;
}

/** One password to compare with one stored form; work for a thread of the access pool. */
export interface VerifyJob {
  encrypt: 'plain' | 'md5' | 'sha1' | 'sha256' | 'sha512' | 'scrypt' | 'bcrypt';
  stored: string;
  salt: string;
  saltMode: 'disable' | 'prefix' | 'suffix';
  password: Uint8Array;
}

/** Questions: worker → main, each answered once. */
export interface Questions {
  /** True when the password matches. Runs in the access pool; rejects with `unavailable` when its queue is full. */
  'access.verify': { params: VerifyJob; result: boolean };
}

/** Events: worker → main, never answered. */
export type WorkerEvent =
  | { event: 'ready'; protocolVersion: number }
  | { event: 'log'; level: LogLevel; message: string; fields: LogFields }
  /** The thread ends because of this error; sent as the last thing that it does. */
  | { event: 'fault'; message: string; stack: string | null }
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
