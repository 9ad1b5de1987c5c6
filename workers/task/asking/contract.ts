/** The contract of an authenticator that is asked: what decides about a login outside of the endpoint's thread. */

import type { AskNotice, AskWho, LoginVerdict, ScramFound } from '../../../src/thread/access/ask.ts';

/** One configured authenticator. It keeps its connections, keys or files open between questions. */
export interface Asker {
  /**
   * Decides about one login, or finds the secret of a user for a SCRAM exchange.
   * @param signal aborts at the deadline: no answer is of use after that
   * @throws Error when there is no usable answer. The message goes to the log: it names no password, token or user
   */
  ask(who: AskWho, signal: AbortSignal): Promise<LoginVerdict | ScramFound>;
  /** Frees everything. Questions under way fail. */
  close(): Promise<void>;
}

/** Writes a line to the log of the node. It names no password, token or user. */
export type Notify = (level: AskNotice['level'], message: string, fields: AskNotice['fields']) => void;
