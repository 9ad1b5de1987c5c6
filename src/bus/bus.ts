/** The bus contract: notices and requests between nodes. The bus carries news; the store holds the truth. */

/** The data of an error: nobody is subscribed to the subject of a request. */
export const NOBODY = 'nobody answers there';

/** A request from another node or an operator. */
export interface Incoming {
  /** last word of the subject */
  readonly name: string;
  /** raw bytes: any sender may send anything */
  readonly body: Uint8Array;
  /** names in lower case; the values of one name are joined by ", ", as in HTTP */
  readonly headers: ReadonlyMap<string, string>;
  /** the largest body of an answer that the requester can receive, bytes */
  readonly answerBytesMax: number;
}

/** The answer to a request. */
export interface Answer {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** null for success; otherwise the bus reports and counts the answer as a failure, beside the body */
  readonly failure: { readonly code: number; readonly message: string } | null;
}

/** A service of this node. When several nodes have the same service, one node takes each request. */
export interface BusService {
  /** `[A-Za-z0-9_-]+` */
  readonly name: string;
  /** semantic version */
  readonly version: string;
  readonly description: string;
  /** further facts, shown in the list of services */
  readonly metadata: Readonly<Record<string, string>>;
  /** each is `<prefix>.<name>` */
  readonly prefix: string;
  readonly endpoints: readonly string[];
  /** Answers failures too; does not throw. */
  handle(request: Incoming): Promise<Answer>;
}

/** A running service. */
export interface Serving {
  /** Takes no new request; resolves when all open requests are answered, or after `timeoutMs`. Idempotent. */
  close(timeoutMs: number): Promise<void>;
}

export type BusState = { readonly connected: true; readonly server: string } | { readonly connected: false; readonly reason: string };

/**
 * Subscriptions and services return after each reconnect. A notice published without a connection is lost: receivers learn the news from
 * the next heartbeat, or read the store by themselves.
 */
export interface Bus {
  readonly state: BusState;
  /** Called at once and at each change of the connection. */
  onState(listener: (state: BusState) => void): void;
  /** @param body JSON; undefined for none. @returns false when there was no connection to send on */
  publish(subject: string, body: unknown): boolean;
  /**
   * A node receives its own notices too. `handler` gets parsed JSON, or undefined for anything else.
   * @returns a function that ends the subscription
   */
  subscribe(subject: string, handler: (body: unknown, subject: string) => void): () => void;
  /** Answers every request on a subject: each subscribed node answers. @returns a function that ends the subscription */
  answer(subject: string, handler: (body: unknown) => Promise<unknown>): () => void;
  /** @throws FluxError `unavailable` (no connection; nobody answers there: its data is NOBODY), `timeout` */
  request(subject: string, body: unknown, timeoutMs: number): Promise<unknown>;
  serve(service: BusService): Serving;
  /** Sends what is queued, then closes. Idempotent. */
  close(): Promise<void>;
}
