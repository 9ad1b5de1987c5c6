/** The ways in which a thread with uWebSockets.js may end, and the report of the program that kills such threads. */

export const KINDS = ['terminate', 'throw', 'reject', 'exit', 'block', 'heap'] as const;

export type Kind = (typeof KINDS)[number];

/** The ports of the threads, and the material of their TLS application. */
export interface Ports {
  ws: number;
  wss: number;
  cert: string;
  key: string;
}

/** Connections of one thread, by the step that they reached. */
export interface Served {
  accepted: number;
  adopted: number;
  upgraded: number;
  messages: number;
}

export interface DeathsReport {
  /** deaths by their kind and the exit code of the thread */
  deaths: Record<string, number>;
  /** results of all threads that died, reported just before */
  served: Served;
  /** sockets of the process before the storm and after it */
  sockets: { before: number; after: number };
  /** bytes of memory after a third of the deaths and after all of them */
  rss: { early: number; late: number };
  /** results of the thread that lived through everything, during the last third */
  survivor: Served;
}
