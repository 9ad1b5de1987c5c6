/** The bus contract: notices and requests between nodes. What it carries is news, never the truth: that is the store's. */

/** A request that came in. */
export interface Incoming {
  /** last word of the subject */
  readonly name: string;
  /** as it came: anybody may send anything */
  readonly body: Uint8Array;
  /** names in lower case; values of one name joined by ", ", as HTTP has it */
  readonly headers: ReadonlyMap<string, string>;
  /** a larger body of an answer is not taken */
  readonly answerBytesMax: number;
}

/** What a request is answered with. */
export interface Answer {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** null: all is well; else it is told and counted as a failure in the way of the bus, beside the body */
  readonly failure: { readonly code: number; readonly message: string } | null;
}

/** What a service of this node answers; of several nodes with the same service one takes each request. */
export interface BusService {
  /** `[A-Za-z0-9_-]+` */
  readonly name: string;
  /** semantic version */
  readonly version: string;
  readonly description: string;
  /** further facts, shown to whoever lists services */
  readonly metadata: Readonly<Record<string, string>>;
  /** each is `<prefix>.<name>` */
  readonly prefix: string;
  readonly endpoints: readonly string[];
  /** Failures are answers, too; does not throw. */
  handle(request: Incoming): Promise<Answer>;
}

/** A service while it is there. */
export interface Serving {
  /** Takes no new request; resolves when those under way are answered, or `timeoutMs` are over. Idempotent. */
  close(timeoutMs: number): Promise<void>;
}

export type BusState = { readonly connected: true; readonly server: string } | { readonly connected: false; readonly reason: string };

/**
 * Everything subscribed and served is so again after each reconnect. What is published while there is no connection is lost: receivers
 * are told by the next heartbeat, or read the store by themselves.
 */
export interface Bus {
  readonly state: BusState;
  /** Called at once and at each change of the connection. */
  onState(listener: (state: BusState) => void): void;
  /** @param body JSON; undefined for none. @returns false when it was lost at once */
  publish(subject: string, body: unknown): boolean;
  /** Own notices come back, too. `handler` gets parsed JSON, undefined for anything else. @returns ends the subscription */
  subscribe(subject: string, handler: (body: unknown, subject: string) => void): () => void;
  /** Answers every request on a subject by itself: each node that subscribed answers. @returns ends it */
  answer(subject: string, handler: (body: unknown) => Promise<unknown>): () => void;
  /** @throws FluxError `unavailable` (no connection, nobody answers there), `timeout` */
  request(subject: string, body: unknown, timeoutMs: number): Promise<unknown>;
  serve(service: BusService): Serving;
  /** Sends what is left, and ends. Idempotent. */
  close(): Promise<void>;
}
